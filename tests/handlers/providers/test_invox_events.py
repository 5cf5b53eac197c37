"""INVOX webhook events: signatures made by Node, what guards the names that are not signed, and what is read."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invox_samples import CALLBACK, DOCUMENTED, ORGANIZATION, TOKEN, arriving, outcome, signed, source
from javascript import Node

from handlers.providers.invox import Invox, InvoxSettings
from receiver.contract.errors import Unreadable
from receiver.contract.model import Notice, Progress, Result, Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.contract.settings import Secret

HEAD = ["organizationId", "userId", "timestamp", "consultationSessionId"]
ORDERS = {
    "OnInvoxAuraTranscriptionFinished": [*HEAD, "id", "vttTranscript", "sentAt", "patientId"],
    "OnInvoxAuraClinicalNoteCreated": [*HEAD, "id", "summary", "sentAt", "patientId"],
    "OnInvoxAuraClinicalNoteFinished": [*HEAD, "patientId", "clinicalNoteId", "language", "metadata", "summary"],
    "OnMedicalReportFinished": [*HEAD, "medicalReport"],
}
VALUES: dict[str, Any] = {
    "organizationId": "1111111",
    "userId": "2222222",
    "timestamp": "2026-03-31T19:06:58.667Z",
    "consultationSessionId": "consultation-1",
    "id": "aura-1",
    "vttTranscript": "WEBVTT\n\n00:00.000 --> 00:05.000\nGood | morning\n",
    "summary": "A | summary\nof “two” lines",
    "sentAt": 1738670400000,
    "patientId": "PAT-1",
    "clinicalNoteId": "note-1",
    "language": "ES",
    "metadata": {"id": "note-1", "processingStatus": "COMPLETED", "createdAt": 1738670000000, "finishedAt": 1.5e12},
    "medicalReport": {"fields": [{"customName": "a|b", "customValue": 1.0}], "summary": "s", "createdAt": 0},
}
NOW = 1774984018.667
KEYS = {"api_key": "public-key", "key": "secret-key"}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(Path(__file__).with_name("invox_sign.mjs")) as process:
        yield process


def event(name: str, **other: Any) -> dict[str, Any]:
    """Return an event as its page has it, with other members."""
    return {"eventName": name, **{member: VALUES[member] for member in ORDERS[name]}, **other}


def genuine(node: Node, body: dict[str, Any], names: list[str] | None = None, **keys: str) -> dict[str, Any]:
    """Sign an event by Node over these members, or those of its page."""
    made = signed(node, body, names or ORDERS[body["eventName"]], **(KEYS | keys))
    return {**body, "requestSignature": made["signature"]}


def events_only() -> Invox:
    return source("off", token=False, **ORGANIZATION)


def judged(body: Any, provider: Invox | None = None, token: str | None = None) -> Reason | Verdict:
    proof = (provider or events_only()).prove(arriving(body, token), NOW)
    return proof.reason if isinstance(proof, Refused) else proof.verdict


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("change", [{}, {"userId": None, "consultationSessionId": None, "patientId": None}])
def test_events_signed_by_node_prove_in_both_readings(node: Node, name: str, change: dict[str, Any]) -> None:
    """Whole, with nulls, and without optional members: as empty slots, and over those that are there."""
    body = event(name, **{member: value for member, value in change.items() if member in ORDERS[name]})
    assert judged(genuine(node, body)) is Verdict.SIGNATURE
    absent = {member: value for member, value in body.items() if member not in ("userId", "patientId")}
    assert judged(genuine(node, absent)) is Verdict.SIGNATURE
    assert judged(genuine(node, absent, [member for member in absent if member != "eventName"])) is Verdict.SIGNATURE
    assert judged(genuine(node, dict(reversed(body.items())))) is Verdict.SIGNATURE


@pytest.mark.parametrize("name", ORDERS)
def test_received_order_counts_only_where_no_page_gives_one(node: Node, name: str) -> None:
    """Two pages show no order of signing: there, the order of the body is tried as well."""
    shuffled = dict(reversed(event(name).items()))
    order = [member for member in shuffled if member != "eventName"]
    known = name in ("OnInvoxAuraTranscriptionFinished", "OnInvoxAuraClinicalNoteCreated")
    expected = Reason.SIGNATURE_MISMATCH if known else Verdict.SIGNATURE
    assert judged(genuine(node, shuffled, order)) is expected


@settings(max_examples=60, deadline=None)
@given(
    summary=st.text(max_size=40).filter(lambda text: not text.startswith("WEBVTT")),
    value=st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists
    ),
)
def test_any_note_and_report_signed_by_node_prove(node: Node, summary: str, value: Any) -> None:
    """Whatever is written in them."""
    report = {"fields": [{"customValue": value}], "summary": summary}
    for body in (
        event("OnInvoxAuraClinicalNoteCreated", summary=summary),
        event("OnMedicalReportFinished", medicalReport=report),
    ):
        assert judged(genuine(node, body)) is Verdict.SIGNATURE
        assert isinstance(outcome(body), Result)


@pytest.mark.parametrize("name", ORDERS)
def test_no_change_of_one_to_three_bits_proves(node: Node, name: str) -> None:
    """Unless the event says exactly what it said: same name, same members, same signature."""
    made = genuine(node, event(name))
    body = json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()
    provider, dice = events_only(), random.Random(name)
    assert judged(body, provider) is Verdict.SIGNATURE
    for _ in range(4000):
        changed = bytearray(body)
        for _ in range(dice.randint(1, 3)):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        if isinstance(provider.prove(arriving(bytes(changed), None), NOW), Proven):
            assert json.loads(changed) == made, bytes(changed)


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("other", ORDERS)
def test_an_event_is_no_other_whatever_its_members_are_called(node: Node, name: str, other: str) -> None:
    """Neither the event's name nor those of its members are signed: renamed in order, it is refused all the same."""
    if name == other:
        return
    made = genuine(node, event(name))
    assert judged({**made, "eventName": other}) is Reason.BODY_UNEXPECTED
    values = [made[member] for member in ORDERS[name]]
    for names in (ORDERS[other], [*ORDERS[other], *"xyz"], [*"xyz", *ORDERS[other]]):
        renamed = dict(zip(names, values, strict=False))
        renamed |= {"eventName": other, "requestSignature": made["requestSignature"]}
        assert isinstance(events_only().prove(arriving(renamed, None), NOW), Refused)


def test_a_transcript_is_no_note_and_a_note_no_transcript(node: Node) -> None:
    """The two have the same values in the same places: what WebVTT begins with tells them apart."""
    transcript = genuine(node, event("OnInvoxAuraTranscriptionFinished"))
    note = genuine(node, event("OnInvoxAuraClinicalNoteCreated"))
    as_note = {"summary" if name == "vttTranscript" else name: value for name, value in transcript.items()}
    as_transcript = {"vttTranscript" if name == "summary" else name: value for name, value in note.items()}
    assert judged(as_note | {"eventName": "OnInvoxAuraClinicalNoteCreated"}) is Reason.BODY_UNEXPECTED
    assert judged(as_transcript | {"eventName": "OnInvoxAuraTranscriptionFinished"}) is Reason.BODY_UNEXPECTED
    both = events_only().explain(arriving(as_note | {"eventName": "OnInvoxAuraClinicalNoteCreated"}, None), NOW)
    assert [check.ok for check in both] == [None, True]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": "aura-2"}, Reason.SIGNATURE_MISMATCH),
        ({"sentAt": 1738670400001}, Reason.SIGNATURE_MISMATCH),
        ({"extra": None}, Reason.SIGNATURE_MISMATCH),
        ({"requestSignature": None}, Reason.SIGNATURE_MISSING),
        ({"requestSignature": 1}, Reason.SIGNATURE_MALFORMED),
        ({"requestSignature": "ab" * 32}, Reason.SIGNATURE_MALFORMED),
        ({"requestSignature": "A" * 43 + "="}, Reason.SIGNATURE_MISMATCH),
        ({"id": ""}, Reason.BODY_UNEXPECTED),
        ({"id": 7}, Reason.BODY_UNEXPECTED),
        ({"id": "a|b"}, Reason.BODY_UNEXPECTED),
        ({"userId": "2026-03-31T19:06:58Z"}, Reason.BODY_UNEXPECTED),
        ({"timestamp": "yesterday"}, Reason.BODY_UNEXPECTED),
        ({"sentAt": "soon"}, Reason.BODY_UNEXPECTED),
        ({"sentAt": True}, Reason.BODY_UNEXPECTED),
        ({"vttTranscript": ["WEBVTT"]}, Reason.BODY_UNEXPECTED),
        ({"eventName": "OnSomethingElse"}, Reason.BODY_UNEXPECTED),
        ({"eventName": None}, Reason.BODY_UNEXPECTED),
        ({"eventName": ["OnInvoxAuraTranscriptionFinished"]}, Reason.BODY_UNEXPECTED),
        ({"eventName": "OnInvoxAuraAudioCreated"}, Reason.BODY_UNEXPECTED),
    ],
    ids=str,
)
def test_a_changed_event_is_refused(node: Node, change: dict[str, Any], why: Reason) -> None:
    """Also under the right token, and where callbacks need no signature."""
    body = genuine(node, event("OnInvoxAuraTranscriptionFinished")) | change
    assert judged(body) is why
    assert judged(body, source(**ORGANIZATION), TOKEN) is why


@pytest.mark.parametrize("twice", ['{"eventName":"x",', '{"id":"aura-0",', '{"requestSignature":"x",'])
def test_a_member_that_stands_twice_is_refused(node: Node, twice: str) -> None:
    """Also where the last one was signed."""
    body = twice + json.dumps(genuine(node, event("OnInvoxAuraTranscriptionFinished")))[1:]
    assert judged(body) is Reason.BODY_UNEXPECTED
    with pytest.raises(Unreadable, match="appears twice"):
        outcome(body)


def test_every_pair_proves_and_the_application_key_does_not(node: Node) -> None:
    """Rotation has no gap; api_key may sign callbacks, but the events' key is documented."""
    name = "OnInvoxAuraClinicalNoteCreated"
    pairs = {"webhook_api_key": ["old", "new"], "webhook_secret_key": ["older", "newer"], "api_key": ["ai"]}
    provider = source("off", token=False, **pairs)
    assert judged(genuine(node, event(name), api_key="old", key="older"), provider) is Verdict.SIGNATURE
    assert judged(genuine(node, event(name), api_key="new", key="newer"), provider) is Verdict.SIGNATURE
    assert judged(genuine(node, event(name), api_key="new", key="ai"), provider) is Reason.SIGNATURE_MISMATCH
    assert judged(genuine(node, event(name), api_key="ai", key="ai"), provider) is Reason.SIGNATURE_MISMATCH
    without = source("advisory", api_key=["ai"]).prove(arriving(genuine(node, event(name))), NOW)
    assert isinstance(without, Refused)
    assert "not set" in without.checks[0].detail


def test_callbacks_and_events_come_to_one_source(node: Node) -> None:
    """callback_signature is about callbacks alone; a token, where there is one, is asked of both."""
    made = genuine(node, event("OnMedicalReportFinished"))
    for mode in ("off", "advisory", "required"):
        provider = source(mode, **ORGANIZATION)
        assert judged(made, provider, TOKEN) is Verdict.SIGNATURE
        assert judged(made, provider, "wrong") is Reason.TOKEN_UNKNOWN
        assert judged(made, provider) is Reason.TOKEN_MISSING
    body = signed(node, CALLBACK, DOCUMENTED, **KEYS)
    assert judged(body, source(**ORGANIZATION), TOKEN) is Verdict.TOKEN
    assert judged(body, source("required", **ORGANIZATION), TOKEN) is Verdict.SIGNATURE
    assert judged(body) is Reason.TOKEN_MISSING
    assert judged(made, token="unasked") is Reason.TOKEN_UNKNOWN
    said = CALLBACK | {"transcription": [{"text": "eventName", "start": 0, "end": 1}]}
    assert judged(said, source(), TOKEN) is Verdict.TOKEN


@pytest.mark.parametrize("late", [-301, -299, 299, 301])
def test_a_tolerance_refuses_what_was_sent_too_long_ago(node: Node, late: float) -> None:
    """Both sides of our clock count; without the setting any time does."""
    keys: dict[str, Any] = {name: (Secret(value[0]),) for name, value in ORGANIZATION.items()}
    strict = Invox("clinic", InvoxSettings(provider="invox", event_tolerance=300, **keys))
    request = arriving(genuine(node, event("OnInvoxAuraTranscriptionFinished")), None)
    proof = strict.prove(request, NOW + late)
    assert isinstance(proof, Proven if abs(late) < 300 else Refused)
    assert isinstance(events_only().prove(request, NOW + late * 1e6), Proven)
    if isinstance(proof, Refused):
        assert proof.reason is Reason.TIMESTAMP_STALE
        assert proof.checks[0].skew == pytest.approx(-late)
    odd = genuine(node, event("OnInvoxAuraTranscriptionFinished", timestamp="2026-02-31T25:61:00"))
    assert judged(odd, strict) is Reason.TIMESTAMP_STALE
    local = genuine(node, event("OnInvoxAuraTranscriptionFinished", timestamp="2026-03-31T19:06:58"))
    assert judged(local, strict) is Verdict.SIGNATURE


def test_sign_gives_what_node_gives(node: Node) -> None:
    """What `simulate` sends is signed as a stranger signs it, and sent now."""
    for name in ORDERS:
        sent = json.loads(events_only().sign(json.dumps(event(name)).encode(), 1762934391.25).body)
        assert sent["timestamp"] == "2025-11-12T07:59:51.250Z"
        assert sent == genuine(node, event(name, timestamp=sent["timestamp"]))
    assert source().sign(json.dumps(event(name)).encode(), 0).headers[1][1] == b"Invox-Medical-Webhook/1.0"
    assert events_only().sign(b'{"eventName":', 0).body == b'{"eventName":'


def key(body: dict[str, Any]) -> bytes:
    return events_only().message_key(Proven(request=arriving(body), verdict=Verdict.SIGNATURE))


def test_message_keys_go_by_what_makes_a_message() -> None:
    """A second delivery has another `timestamp` and signature, and the same key; another message has another."""
    again = {"timestamp": "2026-04-01T00:00:00Z", "requestSignature": "other", "userId": "other"}
    for name in ORDERS:
        assert key(event(name)) == key(event(name, **again))
        assert key(event(name)).startswith(name.encode() + b":")
    transcript, note, finished, report = ORDERS
    record = VALUES["metadata"]
    others = [
        event(transcript, id="aura-2"),
        event(transcript, sentAt=1),
        event(note, id="aura-2"),
        event(finished, clinicalNoteId="note-2"),
        event(finished, summary="other"),
        event(finished, metadata=record | {"processingStatus": "FAILED"}),
        event(report, consultationSessionId="consultation-2"),
        event(report, medicalReport=VALUES["medicalReport"] | {"summary": "other"}),
    ]
    assert len({key(body) for body in [*map(event, ORDERS), *others]}) == 4 + len(others)
    assert key(event(finished, metadata=record | {"isFavorite": True})) == key(event(finished))
    assert key(event(transcript, id=7)).startswith(b"unreadable:")
    assert len(key(event(transcript, id="ü" * 5000))) < 400


def test_a_pending_note_with_a_summary_is_a_result() -> None:
    """Nothing that was written is swallowed; without a summary it is progress, and an unknown status is named."""
    name = "OnInvoxAuraClinicalNoteFinished"
    pending = {"processingStatus": "PENDING", "createdAt": 1}
    found = outcome(event(name, metadata=pending))
    assert isinstance(found, Result)
    assert found.metadata["metadata"] == {"processingStatus": "PENDING"}
    assert outcome(event(name, metadata=pending, summary=None)) == Progress(job_id="note-1", status="PENDING")
    kept = {**VALUES["metadata"], "summary": "kept", "transcription": [{"text": 1}], "createdAt": "then"}
    found = outcome(event(name, metadata=kept, summary=""))
    assert isinstance(found, Result)
    assert found.analysis is not None
    assert (found.analysis.summary, found.segments, found.created_at) == ("kept", (), None)
    assert found.metadata["metadata"] == {"id": "note-1", "transcription": [{"text": 1}], "createdAt": "then"}


def test_odd_fields_of_a_report_stay_visible() -> None:
    """What is no object, has no name or no value is an insight all the same."""
    report = {"fields": ["odd", {}, {"customName": "", "customValue": 0}], "more": 1, "createdAt": "x"}
    found = outcome(event("OnMedicalReportFinished", medicalReport=report))
    assert isinstance(found, Result)
    assert found.analysis is not None
    assert [(one.name, one.value) for one in found.analysis.insights] == [
        ("fields[0]", "odd"),
        ("fields[1]", None),
        ("fields[2]", 0),
    ]
    assert found.metadata["medicalReport"] == {"more": 1, "createdAt": "x"}


@pytest.mark.parametrize("name", ORDERS)
def test_fresh_events_grow_and_are_read(name: str) -> None:
    """Another consultation's, at least as large as asked for."""
    provider = events_only()
    body = provider.fresh(json.dumps(event(name)).encode(), "7", 50_000)
    assert 50_000 <= len(body) < 70_000
    assert not isinstance(outcome(body), Notice | Progress)
    assert b"fresh-session-7" in body
    with pytest.raises(Unreadable):
        provider.fresh(json.dumps({"eventName": name}).encode(), "7")
