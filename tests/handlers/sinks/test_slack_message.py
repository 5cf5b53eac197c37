"""What a Slack message says, and that no data brings it to life or beyond Slack's limits."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.sinks.slack.blocks import SHORTENED, cut, defuse, escape, weight
from handlers.sinks.slack.message import message
from receiver.contract.model import Analysis, Flag, ResultError, Segment
from receiver.testing.events import HOSTILE, hostile_transcript, sample_event, sample_transcript
from receiver.testing.slack import alive, length, texts, validated

LINKS = "https://hookscribe.internal"


def shown(content: dict[str, Any]) -> str:
    """Return all texts of a message's blocks, unescaped, as a person reads them."""
    text = "\n".join(texts(content["blocks"]))
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def rendered(data: Any = None, *, text: bool = False, links: str | None = LINKS, **event: Any) -> str:
    """Return what people read for an event; what Slack would refuse or bring to life fails."""
    encoded = msgspec.json.encode(sample_transcript() if data is None else data)
    content = message(sample_event(data=encoded, **event), links=links, include_text=text)
    validated(json.dumps(content).encode())
    assert alive(content, LINKS) == []
    return shown(content)


def test_a_transcript_says_who_when_how_long_and_what_came_out() -> None:
    """The whole message, as it is read."""
    assert rendered().split("\n") == [
        "⚠️ Transcript completed, 1 of 2 checks failed · callcov",
        "+4930123456 → +4930654321 (inbound)",
        "Agent: ann · Speakers: Ann (agent, 2 s), B (customer, 2 s)",
        "Started: 2026-11-20 09:56:00 UTC · Length: 1 min 2 s",
        "Status: completed · Sentiment: mixed · Language: en",
        "❌ identity_checked",
        "✅ greeting",
        "Summary: A parcel never came; a new one is sent.",
        "<https://hookscribe.internal/transcripts/trn_00000000000000000000000001|Open in Hookscribe>",
        "call-analysis · job job-1 · trn_00000000000000000000000001 · version 1 · evt_00000000000000000000000001",
    ]


def test_no_word_of_the_call_without_include_text() -> None:
    """Text, segments, topics, action items, insights and details of checks stay away; metadata always does."""
    content = rendered()
    quoting = ("Good morning", "parcel never came.", "delivery", "send a new parcel", "politeness", "not asked")
    assert [words for words in (*quoting, "autumn", "T-1", "8.25") if words in content] == []


def test_include_text_brings_the_words() -> None:
    """With include_text they are there, with the time and who said them."""
    content = rendered(text=True)
    assert "0:00 Ann: Good morning, you are through to Ann." in content
    assert "0:02 customer: Hello, my parcel never came." in content
    for words in ("Topics: delivery, refund", "• send a new parcel", "politeness: 8", "identity_checked: not asked"):
        assert words in content


def test_text_without_segments_is_shown_whole() -> None:
    """A transcript without segments shows its text."""
    assert "One.\nTwo." in rendered(sample_transcript(segments=(), text="One.\nTwo."), text=True)


def test_failed_checks_come_first() -> None:
    """Failed checks, then those without a verdict, then the passed ones on one line; many are counted."""
    verdicts = [("a", True), ("b", None), ("c", False), ("d", True), *((f"x{n}", False) for n in range(20))]
    flags = tuple(Flag(name=name, ok=ok, at=75.5 if name == "c" else None) for name, ok in verdicts)
    lines = rendered(sample_transcript(analysis=Analysis(flags=flags))).split("\n")
    assert lines[0] == "⚠️ Transcript completed, 21 of 23 checks failed · callcov"
    assert lines[5:7] == ["❌ c (at 1:15)", "❌ x0"]
    assert "… and 7 more" in lines
    assert "✅ a, d" in lines


def test_a_failure_says_why_first() -> None:
    """The error stands below the headline and in the notification."""
    transcript = sample_transcript(status="failed", analysis=None, error=ResultError(code="E7", message="no audio"))
    event = sample_event(data=msgspec.json.encode(transcript), type="transcript.failed")
    content = message(event, links=None, include_text=False)
    assert shown(content).split("\n")[:2] == ["❌ Transcription failed · callcov", "Error: E7: no audio"]
    assert content["text"].endswith("callcov · Error: E7: no audio · +4930123456 → +4930654321 (inbound)")


@pytest.mark.parametrize(
    ("kind", "data", "subject", "expected"),
    [
        (
            "analysis.updated",
            {"status": "completed", "version": 2},
            "trn_1",
            ["🔁 Analysis updated · callcov", "version 2"],
        ),
        ("call.completed", {"id": "call_1", "from": "+491", "agent_id": "bo"}, "call_1", ["+491 → unknown", "/calls/"]),
        ("job.overdue", {"id": "job_1", "recording": "https://x/r.wav?sig=secret"}, "job_1", ["⏰ Job", "/jobs/job_1"]),
        ("ops.sink_tripped", {"sink": "team", "last_error": "410"}, "team", ["Last error: 410\nSink: team"]),
        ("com.example.ops.delivery_dead", {"sink": "q"}, "dlv_1", ["🚨 Delivery given up · callcov", "/deliveries/"]),
        (
            "ringcentral.call.completed",
            {"provider": "ringcentral", "name": "call.completed", "body": {"a": 1}},
            "x",
            [],
        ),
        ("acme.unheard_of", {"words": "psst"}, "x", ["acme.unheard of"]),
    ],
)
def test_every_type_of_event_has_a_message(kind: str, data: Any, subject: str, expected: list[str]) -> None:
    """Ours are read as what they are, behind a prefix too; the others show that they happened, and no more."""
    content = rendered(data, type=kind, subject=subject)
    assert [words for words in expected if words not in content] == []
    assert "psst" not in content
    assert "sig=secret" not in content
    assert '"a"' not in content


def test_a_providers_own_event_shows_its_body_on_demand() -> None:
    """Provider and name always, the body with include_text."""
    data = {"provider": "callmissed", "name": "agent.handoff", "body": {"reason": "asked"}}
    assert rendered(data, type="callmissed.agent.handoff").startswith("ℹ️ callmissed: agent.handoff")  # noqa: RUF001
    assert '{"reason": "asked"}' in rendered(data, text=True, type="callmissed.agent.handoff")


def test_no_link_without_an_address_or_a_page() -> None:
    """Links need admin_url, and a subject that has a page."""
    assert "Open in" not in rendered(links=None)
    assert "Open in" not in rendered(subject="acme")
    assert "Open in" not in rendered(links="https://" + "x" * 3000)


def test_what_does_not_fit_is_cut_and_said() -> None:
    """An hour of talk fills four sections, then a note says that there is more."""
    said = tuple(Segment(start=n * 2.0, end=None, speaker="A", text="<b>&" * 30) for n in range(1800))
    content = rendered(sample_transcript(segments=said), text=True)
    assert content.endswith(SHORTENED)
    assert content.count("\n") < 150


def test_cutting_counts_as_slack_might() -> None:
    """Entities and characters beyond the BMP cost what they cost at worst; a text that fits is left alone."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
    assert cut("a<<", 8) == "a<…"
    assert cut("a\U0001f926", 2) == "a…"
    assert cut("a b", 2) == "a…"
    assert cut("&" * 10, 50) == "&" * 10


# Hostile data

ANY_TEXT = st.text(max_size=400) | st.sampled_from(HOSTILE) | st.text("<>&!@*_~`|\n\u202e\ud800a", max_size=9000)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


def members(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with some of these members, of any shape."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANY_JSON))


FLAGS = st.lists(members("name", "ok", "detail", "at") | ANY_JSON, max_size=4)
ANALYSIS = st.fixed_dictionaries({"flags": FLAGS, "insights": FLAGS, "topics": ANY_JSON, "summary": ANY_JSON})
SEGMENTS = st.lists(members("start", "speaker", "text") | ANY_JSON, max_size=4)
SPEAKERS = st.lists(members("id", "label", "role", "talk_time") | ANY_JSON, max_size=4)
SHAPES = {
    "analysis": ANALYSIS | ANY_JSON,
    "call": members("from", "to", "direction", "agent_id", "started_at") | ANY_JSON,
    "error": members("code", "message") | ANY_JSON,
    "segments": SEGMENTS | ANY_JSON,
    "speakers": SPEAKERS | ANY_JSON,
    **dict.fromkeys(("text", "duration", "version", "provider", "name", "body", "sentiment", "job_id"), ANY_JSON),
}


def holds(content: dict[str, Any]) -> None:
    """Fail where Slack would refuse a message, or bring any of its text to life."""
    body = msgspec.json.encode(content)
    assert validated(body) == json.loads(body)
    assert alive(content, LINKS) == []
    assert length(content["text"]) <= 4_000


@given(ANY_TEXT, st.booleans())
@example("x" * 4000, True)
@example("<" * 4000, True)
@example("\U0001f926" * 4000, True)
def test_any_text_in_any_field_arrives_inert_and_within_limits(text: str, include_text: bool) -> None:
    """Each field of a transcript, the envelope's and the error's hold the text; Slack takes the message, all is inert."""
    hostile = hostile_transcript(1, text)
    hostile = msgspec.structs.replace(hostile, error=ResultError(code=text, message=text))
    data = json.dumps(msgspec.to_builtins(hostile)).encode()
    event = sample_event(data=data, type=f"acme.{text}", source_name=text, subject=f"trn_{text}", time=text)
    holds(message(event, links=LINKS, include_text=include_text))
    holds(message(msgspec.structs.replace(event, type="transcript.updated"), links=LINKS, include_text=include_text))


@given(
    st.fixed_dictionaries({}, optional=SHAPES),
    st.sampled_from(["transcript.completed", "call.completed", "job.lost", "ops.x", "acme.y"]),
    st.booleans(),
)
def test_data_of_any_shape_gives_a_message(data: dict[str, Any], kind: str, include_text: bool) -> None:
    """Members of any shape, known or not, are shown or left out; nothing raises."""
    event = sample_event(data=json.dumps(data).encode(), type=kind)
    holds(message(event, links=LINKS, include_text=include_text))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"null", b"[" * 100_000, b'{"body":' * 100_000])
def test_data_that_is_no_json_gives_a_message(data: bytes) -> None:
    """Unreadable data leaves the envelope."""
    holds(message(sample_event(data=data), links=LINKS, include_text=True))


@given(ANY_TEXT)
def test_the_notification_is_defused(text: str) -> None:
    """No mention, address or mark-up stands whole in the top-level text, and it never doubles more than once."""
    assert not set(defuse(text)) & set("*_~`@") or "\u2060" in defuse(text)
    assert length(escape(defuse(text))) <= 2 * sum(map(weight, text))
