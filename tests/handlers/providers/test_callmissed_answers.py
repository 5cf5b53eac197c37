"""CallMissed: answers of its read endpoints, fetched by us, told apart by shape."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.providers.callmissed import CallMissed, CallMissedSettings
from receiver.contract.errors import Unreadable
from receiver.contract.model import InboundRequest, Outcome, Progress, Result, Verdict
from receiver.contract.proof import Proven
from receiver.contract.settings import Secret
from receiver.testing.fixtures import receipt_of

ANSWERS = Path(__file__).parents[3] / "fixtures" / "callmissed" / "answers"
LOCATION = "https://api.callmissed.com/v1/voice/sessions/{}/transcript?format=json"


def callmissed(**settings: Any) -> CallMissed:
    """Make a provider."""
    whole = {"provider": "callmissed", "secrets": ["s"], **settings}
    return CallMissed("source", msgspec.convert(whole, CallMissedSettings, dec_hook=lambda _, value: Secret(value)))


def fetched(body: Any, location: str | None = None, verdict: Verdict = Verdict.FETCHED) -> Proven:
    """Make what fetching a body makes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = ((b"content-location", location.encode()),) if location else ()
    request = InboundRequest(source="source", token=None, headers=headers, body=content, received_at=0)
    return Proven(request=request, verdict=verdict)


def outcome_of(proven: Proven, **settings: Any) -> Outcome:
    """Normalize an answer."""
    (outcome,) = callmissed(**settings).normalize(receipt_of(proven, "callmissed"))
    return outcome


def result_of(proven: Proven, **settings: Any) -> Result:
    """Normalize an answer that is a result."""
    outcome = outcome_of(proven, **settings)
    assert isinstance(outcome, Result)
    return outcome


def recorded(name: str) -> Any:
    """Return a recorded answer."""
    return json.loads((ANSWERS / name / "body").read_bytes())


def test_turns_belong_to_the_session_that_they_were_fetched_for() -> None:
    """`Content-Location` of a fetched answer names the session, escaped or not."""
    for session, escaped in (("6f1d", "6f1d"), ("a/ü", "a%2F%C3%BC")):
        result = result_of(fetched(recorded("turns"), LOCATION.format(escaped)))
        assert (result.kind, result.operation, result.job_id) == ("transcript", "conversation", session)
        assert result.call is not None
        assert result.call.external_id == session
        assert "job_id_from" not in result.metadata


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.FETCHED])
def test_a_posted_header_names_no_session(verdict: Verdict) -> None:
    """Headers that came with a delivery are signed by nobody: turns go by their own id then."""
    result = result_of(fetched(recorded("turns"), LOCATION.format("6f1d"), verdict))
    assert (result.job_id, result.call) == (recorded("turns")[0]["id"], None)
    assert result.metadata["job_id_from"] == "id of the first turn"


def test_a_transcript_without_turns_needs_its_session() -> None:
    """An empty list is a transcript where it is known of what, and unreadable elsewhere."""
    result = result_of(fetched([], LOCATION.format("6f1d")))
    assert (result.job_id, result.text, result.segments, result.metadata) == ("6f1d", None, (), {})
    with pytest.raises(Unreadable, match="Content-Location"):
        outcome_of(fetched([]))


def test_who_speaks_in_turns() -> None:
    """The caller is the customer and the bot the agent, unless the settings say otherwise."""
    turns = recorded("turns")
    assert {one.id: one.role for one in result_of(fetched(turns)).speakers} == {"agent": "agent", "user": "customer"}
    other = result_of(fetched(turns), roles={"user": "agent", "agent": "customer"})
    assert {one.id: one.role for one in other.speakers} == {"agent": "customer", "user": "agent"}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (None, "completed"),
        ({}, "completed"),
        ({"status": "pending"}, "pending"),
        ({"status": "completex"}, "completex"),
    ],
)
def test_an_analysis_that_is_not_there_yet_is_progress(found: Any, status: str) -> None:
    """A session without its analysis touches the job and makes no event."""
    session = {**recorded("session"), "analysis": found}
    assert outcome_of(fetched(session)) == Progress(job_id=session["id"], status=status)


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        ({"status": "failed", "error": "no_words"}, "failed", "no_words"),
        ({"status": "failed"}, "failed", None),
        ({"status": "skipped", "error": "retention"}, "failed", "retention"),
        ({"status": "completed", "error": ""}, "completed", None),
    ],
)
def test_an_analysis_that_failed_says_why(found: Any, status: str, code: str | None) -> None:
    """Its short code is the error; a word of its own that says something else is kept."""
    result = result_of(fetched({**recorded("session"), "analysis": found}))
    assert (result.status, result.error.code if result.error else None) == (status, code)
    assert result.metadata.get("analysis.status") == ("skipped" if code == "retention" else None)


def test_the_key_of_a_session_goes_no_further() -> None:
    """Neither `token` nor its address is in what is passed on."""
    session = {**recorded("session"), "token": "SEALED-1", "ws_url": "wss://SEALED-2"}
    assert b"SEALED" not in msgspec.json.encode(outcome_of(fetched(session)))


def test_names_that_meet_in_metadata_are_both_kept() -> None:
    """A submitter's metadata comes under its own names; a member of CallMissed's with the same name is told apart."""
    session = {**recorded("session"), "metadata": {"status": "mine", "analysis.model": "mine"}}
    metadata = result_of(fetched(session)).metadata
    assert (metadata["status"], metadata["callmissed.status"]) == ("mine", "completed")
    assert (metadata["analysis.model"], metadata["callmissed.analysis.model"]) == ("mine", "gpt-oss-120b")


def test_an_upload_analysis_is_text_by_speaker() -> None:
    """Labels of any width part the text; a line without one goes on; nothing is read out of the free text."""
    said = "SPEAKER_1: a\nb\nSPEAKER_002:c\nSPEAKER_1: \nnot SPEAKER_3: d"
    body = {"transcript": said, "speaker_timing": {"SPEAKER_1": 2, "SPEAKER_9": "long"}, "analysis": "x: y"}
    result = result_of(fetched(body), roles={"SPEAKER_1": "agent"})
    assert result.text == said
    assert [(one.speaker, one.text) for one in result.segments] == [
        ("SPEAKER_1", "a\nb"),
        ("SPEAKER_002", "c"),
        ("SPEAKER_1", "\nnot SPEAKER_3: d"),
    ]
    assert [(one.id, one.role, one.talk_time) for one in result.speakers] == [
        ("SPEAKER_1", "agent", 2),
        ("SPEAKER_002", None, None),
        ("SPEAKER_9", None, None),
    ]
    assert result.metadata["speaker_timing.SPEAKER_9"] == "long"
    bare = result_of(fetched({"transcript": "", "speaker_timing": {}}))
    assert (bare.text, bare.segments, bare.speakers, bare.analysis) == (None, (), (), None)


def test_answers_are_known_by_what_they_say() -> None:
    """The same answer to the same question is one message; another session's is another."""
    provider, turns = callmissed(), recorded("turns")
    keys = [
        provider.message_key(fetched(turns, LOCATION.format("s1"))),
        provider.message_key(fetched(turns, LOCATION.format("s2"))),
        provider.message_key(fetched(turns)),
        provider.message_key(fetched(turns[:1])),
        provider.message_key(fetched(recorded("session"))),
        provider.message_key(fetched(recorded("upload"))),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == provider.message_key(fetched(turns, LOCATION.format("s1")))
