"""CallMissed: recorded cases, keys, and what an event becomes."""

import json
from typing import Any

import pytest
from callmissed_samples import FIXTURES, SIGNED, TIME, callmissed, event, key_of, outcome_of, result_of

from handlers.providers.callmissed import CallMissed
from receiver.contract.errors import Unreadable
from receiver.contract.model import Notice, Result
from receiver.testing.fixtures import Case, load_cases
from receiver.testing.provider import ProviderContract, changed, leaves

CATALOGUE = (
    *("conversation.started", "conversation.ended", "message.received", "message.sent", "message.status"),
    *("voice_session.started", "voice_session.ended", "voice_session.failed"),
    *("call.started", "call.completed", "call.failed", "call.amd_detected"),
    *("voice_analysis.completed", "campaign.started", "campaign.completed", "campaign.failed"),
    *("voice_alert.triggered", "budget.alert", "budget.exceeded", "credits.low"),
    *("api_key.expired", "invoice.created", "payment.succeeded", "payment.failed"),
    *("payment_request.partially_paid", "payment_request.paid", "payment_request.expired"),
    *("payment_request.cancelled", "quote.accepted", "invoice.paid"),
)
"""The 30 names that can be subscribed to (S1)."""


class TestCallMissed(ProviderContract):
    """CallMissed holds what every provider must hold, for deliveries and for answers."""

    provider = CallMissed
    fixtures = FIXTURES

    def cases(self) -> list[Case]:
        """Return deliveries and answers."""
        return [*load_cases(FIXTURES), *load_cases(FIXTURES / "answers")]


def test_every_event_of_the_catalogue_is_recorded() -> None:
    """Each of the 30 names, and `test`, has a fixture under which it comes out as what it is."""
    seen = {}
    for case in load_cases(FIXTURES):
        for outcome in case.expected.get("outcomes", ()):
            seen[json.loads(case.body).get("event")] = outcome.get("notice", {}).get("name", "analysis")
    assert len(CATALOGUE) == 30
    assert all(seen[name] == name for name in (*CATALOGUE, "test") if name != "voice_analysis.completed")
    assert seen["voice_analysis.completed"] == "analysis"


def test_every_leaf_of_a_notice_is_passed_on() -> None:
    """Whatever is changed in a recorded event that is no result is seen in the notice."""
    for case in load_cases(FIXTURES):
        if not any("notice" in outcome for outcome in case.expected.get("outcomes", ())):
            continue
        document = json.loads(case.body)
        for path, value in leaves(document):
            other = outcome_of(json.dumps(changed(document, path, value)).encode())
            assert isinstance(other, Notice)
            assert other.body == changed(document, path, value)


@pytest.mark.parametrize(
    ("data", "call"),
    [
        ({"session_id": "s", "conversation_id": "c", "call_id": "p"}, "s"),
        ({"voice_session_id": "s", "call_id": "p"}, "s"),
        ({"session_id": None, "conversation_id": "c", "call_id": "p"}, "c"),
        ({"session_id": "", "call_id": 77}, "77"),
        ({"bot_id": "b"}, None),
        ([], None),
        ("session_id", None),
    ],
)
def test_events_of_one_call_meet(data: Any, call: str | None) -> None:
    """A notice is about the session, else the conversation, else the phone call that its data name."""
    outcome = outcome_of(event("any.thing", data))
    assert isinstance(outcome, Notice)
    assert (outcome.call.external_id if outcome.call else None) == call


@pytest.mark.parametrize(
    ("name", "ours"),
    [("a.b_c", "a.b_c"), ("a-b/c d", "a_b_c_d"), ("ä<script>", "__script_"), ("x" * 999, "x" * 64), (".", ".")],
)
def test_names_are_mapped_to_ours(name: str, ours: str) -> None:
    """Any name is passed on, in letters that an event's type may have."""
    outcome = outcome_of(event(name, {}))
    assert isinstance(outcome, Notice)
    assert outcome.name == ours
    assert key_of(event(name, {})) == key_of(event(name, {}))


def test_a_replay_is_the_same_message() -> None:
    """Another time, another order of members, the row of the delivery log: one key, so no second event."""
    data = {"message_id": "m", "status": "read", "timestamp": "t1", "recipient": "r"}
    key = key_of(event("message.status", data))
    assert key == key_of(event("message.status", {**data, "timestamp": "t2"}, time="2026-07-04T00:00:00Z"))
    assert key == key_of(event("message.status", dict(reversed(data.items())), time=None))
    payload = {"event": "message.status", "data": data}
    assert key == key_of(json.dumps({"id": "d", "webhook_id": "w", "payload": payload}).encode())
    assert key == key_of(json.dumps({"type": "message.status", "data": data, "created_at": TIME}).encode())


def test_another_message_has_another_key() -> None:
    """Another event, id, status or anything else that is said is another message."""
    data = {"message_id": "m", "status": "read"}
    bodies = [
        event("message.status", data),
        event("message.sent", data),
        event("message.status", {**data, "status": "delivered"}),
        event("message.status", {**data, "message_id": "n"}),
        event("message.status", {**data, "error": {"code": 1}}),
        event("message.status", [data]),
        event("message.status", None),
        event('message.status","m', {}),
    ]
    assert len({key_of(body) for body in bodies}) == len(bodies)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("test", {"message": "hello"}),
        ("voice_alert.triggered", {"alert_id": "a", "value": 0.2}),
        ("call.amd_detected", {"amd_result": "human"}),
        ("message.received", {"conversation_id": "c", "role": "user"}),
        ("credits.low", {"balance": 5}),
        ("campaign.started", {"campaign_id": "c"}),
    ],
)
def test_what_can_happen_again_is_told_apart_by_its_time(name: str, data: dict[str, Any]) -> None:
    """Where no id does it, the signed time does: the second alert is not lost as a redelivery of the first."""
    assert key_of(event(name, data)) == key_of(event(name, data))
    assert key_of(event(name, data)) != key_of(event(name, data, time="2026-07-03T10:40:00+00:00"))


@pytest.mark.parametrize(
    ("said", "sentiment", "left"),
    [("positive", "positive", []), ("MIXED", "mixed", ["MIXED"]), ("calm", None, ["calm"]), (0.4, None, [0.4])],
)
def test_sentiment_is_mapped_where_the_word_is_known(said: Any, sentiment: str | None, left: list[Any]) -> None:
    """The vendor lists no values: a known word becomes ours, and what is not ours to the letter stays an insight."""
    analysis = result_of({"sentiment": said}).analysis
    assert analysis is not None
    assert (analysis.sentiment, [one.value for one in analysis.insights]) == (sentiment, left)


def test_what_is_not_given_is_null() -> None:
    """An analysis that says nothing has neither flags nor insights, and nothing is invented."""
    result = result_of({"goal_met": None, "sentiment": None, "disposition": None, "bot_id": None})
    assert result.analysis is not None
    assert (result.analysis.flags, result.analysis.insights, result.analysis.sentiment) == ((), (), None)
    assert (result.call, result.metadata, result.text) == (None, {}, None)
    assert result_of({"goal_met": "partly"}).metadata == {"data.goal_met": "partly"}


def test_the_time_of_dispatch_is_that_of_completion() -> None:
    """A naive time is read in the source's zone; without one it is null, and kept as it was written."""
    assert result_of({}).completed_at == "2026-07-03T10:39:41.324Z"
    naive = event("voice_analysis.completed", {"analysis_id": "a"}, time="2026-07-03T16:09:41")
    told, untold = outcome_of(naive, timezone="Asia/Kolkata"), outcome_of(naive)
    assert isinstance(told, Result)
    assert isinstance(untold, Result)
    assert (told.completed_at, told.metadata) == ("2026-07-03T10:39:41Z", {})
    assert (untold.completed_at, untold.metadata) == (None, {"timestamp": "2026-07-03T16:09:41"})


@pytest.mark.parametrize(
    "body",
    [
        b'{"sEcReT":1}',
        b'{"event":7,"type":null,"data":"sEcReT"}',
        b'[{"sEcReT":1}]',
        b"[1]",
        b"[]",
        b'{"event":"voice_analysis.completed","data":"sEcReT"}',
        b'{"event":"voice_analysis.completed","data":{"analysis_id":{"sEcReT":1}}}',
        b'{"transcript":"sEcReT"}',
        b"sEcReT",
    ],
)
def test_unreadable_messages_name_types_and_no_content(body: bytes) -> None:
    """What operators read and logs keep holds nothing of what was said."""
    with pytest.raises(Unreadable) as caught:
        outcome_of(body)
    assert "sEcReT" not in str(caught.value)
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize("depth", [50, 900, 5000, 100_000])
def test_deep_nesting_has_a_key(depth: int) -> None:
    """However deep a member is, a key comes out."""
    assert key_of(b'{"event":"x","data":' + b'{"x":' * depth + b"1" + b"}" * depth + b"}")


def test_fresh_deliveries_are_as_many_and_as_large_as_asked_for() -> None:
    """A thousand serials make a thousand keys; events of one serial meet in one session; a text grows."""
    provider, body = callmissed(SIGNED), (FIXTURES / "completed" / "body").read_bytes()
    assert len({key_of(provider.fresh(body, str(serial))) for serial in range(1000)}) == 1000
    assert provider.fresh(body, "7") == provider.fresh(body, "7")
    ended = (FIXTURES / "voice-session-ended" / "body").read_bytes()
    sessions = {json.loads(provider.fresh(one, "7"))["data"]["session_id"] for one in (body, ended)}
    assert len(sessions) == 1
    message = provider.fresh((FIXTURES / "message-received" / "body").read_bytes(), "7", 200_000)
    assert 200_000 <= len(message) < 210_000
