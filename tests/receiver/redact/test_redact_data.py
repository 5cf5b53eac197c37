"""The JSON of events: every place that can hold a value, and nothing else changed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.contract.errors import Unreadable
from receiver.contract.model import Analysis, Call, Flag, Insight, Job, Segment, Speaker, Word
from receiver.contract.settings import RedactSettings
from receiver.redact.data import redact_data
from receiver.redact.found import Deadline
from receiver.redact.redactor import Redactor, Rules
from receiver.testing.events import hostile_events, sample_event, sample_transcript

RULES = Rules(RedactSettings(words={"product": ("Atlas",)}))
CARD = "4111 1111 1111 1111"
SAID = "four one one one one one one one one one one one one one one one"
PLACES = (CARD, "ann@example.com", "212-736-5000")


def redacted(data: bytes) -> bytes:
    """Return an event's data masked."""
    return redact_data(data, Redactor(RULES, Deadline(30)))


def table(value: Any) -> dict[str, Any]:
    """Return what becomes of a value."""
    read: dict[str, Any] = json.loads(redacted(msgspec.json.encode(value)))
    return read


def segment(speaker: str | None, text: str | None, words: str | None = None) -> Segment:
    """Return a segment; its words are those of its text, or others."""
    said = (words if words is not None else text or "").split()
    return Segment(
        start=0.0, end=1.0, speaker=speaker, text=text, words=tuple(Word(start=0.1, end=0.2, text=one) for one in said)
    )


def texts(event: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Return what segments say, and their words."""
    said = [one["text"] for one in event["segments"]]
    return said, [" ".join(word["text"] for word in one["words"] or ()) for one in event["segments"]]


def test_words_are_masked_with_their_text() -> None:
    """Each word that is part of a value is the mask; signs around it stay."""
    found = table(sample_transcript(text=f"It is {CARD}, yes", segments=(segment("A", f"It is {CARD}, yes"),)))
    assert found["text"] == "It is [card], yes"
    assert texts(found) == (["It is [card], yes"], ["It is [card] [card] [card] [card], yes"])
    assert found["redacted"] == {"phone": 2, "card": 1}


def test_words_that_are_written_otherwise() -> None:
    """What the text writes in digits and the words say is masked in both; so is what only one of them shows."""
    found = table(sample_transcript(segments=(segment("A", f"It is {CARD}.", f"It is {SAID}"),)))
    assert texts(found) == (["It is [card]."], ["It is " + "[card] " * 15 + "[card]"])
    found = table(sample_transcript(segments=(segment("A", "ann@example.com", "ann @example .com"),)))
    assert texts(found) == (["[email]"], ["[email] [email] [email]"])
    found = table(sample_transcript(segments=(segment("A", None, SAID),)))
    assert texts(found)[1] == ["[card] " * 15 + "[card]"]


def test_a_value_over_segments() -> None:
    """A speaker's next segments belong to it, with an "okay" of another between; a speech between ends it."""
    parts = ("My card is four one one one", "one one one one", "one one one one, one one one one thanks")
    between = (segment("B", "mm-hm"), segment("B", "okay, go ahead please"))
    said = (segment("A", parts[0]), between[0], segment("A", parts[1]), between[1], segment("A", parts[2]))
    whole = "\n".join(f"{one.speaker}: {one.text}" for one in said)
    found = table(sample_transcript(text=whole, segments=said))
    assert texts(found)[0] == ["My card is [card]", "mm-hm", "[card]", "okay, go ahead please", "[card] thanks"]
    assert found["text"] == "A: My card is [card]\nB: mm-hm\nA: [card]\nB: okay, go ahead please\nA: [card] thanks"
    assert found["redacted"]["card"] == 1
    speech = segment("B", "before you go on I have to tell you something else")
    apart = table(sample_transcript(text=None, segments=(said[0], speech, said[2], said[4])))
    assert "card" not in apart["redacted"]


def test_speakers_stay_different() -> None:
    """Speakers who are named by their numbers are masked alike wherever they stand, and told apart."""
    one, other = "+12127365000", "+12127365001"
    words = (Word(start=0, end=1, text="hi", speaker=other),)
    found = table(
        sample_transcript(
            speakers=(Speaker(id=one, label="ann@example.com"), Speaker(id=other)),
            segments=(segment(one, "hello"), Segment(start=0, end=1, speaker=other, text="hi", words=words)),
        )
    )
    assert [one["id"] for one in found["speakers"]] == ["[phone]", "[phone] 2"]
    assert found["speakers"][0]["label"] == "[email]"
    assert [one["speaker"] for one in found["segments"]] == ["[phone]", "[phone] 2"]
    assert found["segments"][1]["words"][0]["speaker"] == "[phone] 2"


def test_speech_of_another_shape() -> None:
    """Members that segments, words and speakers do not have with us are masked as any JSON is."""
    words = [
        {"text": "4111"},
        "ann@example.com",
        {"text": None, "more": ["212-736-5000"]},
        {"text": "x", "words": [CARD]},
    ]
    event = {
        "segments": [{"text": None, "words": words, "more": {"a": CARD}}, {"words": None}, {"words": CARD}],
        "speakers": [1, CARD],
    }
    found = table(event)
    assert found["segments"][0]["words"] == [
        {"text": "4111"},
        "[email]",
        {"text": None, "more": ["[phone]"]},
        {"text": "x", "words": ["[card]"]},
    ]
    assert found["segments"][0]["more"] == {"a": "[card]"}
    assert found["speakers"] == [1, "[card]"]
    found = table({"segments": [{"speaker": 1, "text": "x"}], "speakers": [{"id": 1, "more": CARD}]})
    assert found["speakers"] == [{"id": 1, "more": "[card]"}]


def test_identifiers_stay() -> None:
    """What routes and joins is not masked: ids, times, source; the numbers of the call are."""
    before = sample_transcript(
        job_id="2127365000",
        call=Call(id="call_1", external_id="4111111111111111", from_="+12127365000", agent_id="ann@example.com"),
        job=Job(id="job_1", recording="212-736-5000.wav", metadata={"to": "ann@example.com"}),
    )
    found = table(before)
    assert (found["id"], found["job_id"], found["received_at"]) == (before.id, "2127365000", before.received_at)
    assert found["call"]["external_id"] == "4111111111111111"
    assert (found["call"]["from"], found["call"]["agent_id"]) == ("[phone]", "[email]")
    assert found["job"] == {"id": "job_1", "recording": "[phone].wav", "metadata": {"to": "[email]"}}
    assert found["provenance"] == msgspec.to_builtins(before.provenance)


def test_any_json() -> None:
    """Texts, keys, whole numbers, and texts over the items of a list; numbers that are no values stay."""
    raw = {
        "deep": [{"a": [f"x {CARD}"]}, 4111111111111111, 4111111111111111.0, 1732105200000, 0.25, True, None],
        CARD: 1,
        SAID: 2,
        "words": [{"word": one, "n": 1} for one in CARD.split()] + [{"word": 1}, "x"],
        "list": CARD.split(),
    }
    found = table(sample_transcript(analysis=Analysis(raw=raw)))["analysis"]["raw"]
    assert found["deep"] == [{"a": ["x [card]"]}, "[card]", "[card]", 1732105200000, 0.25, True, None]
    assert (found["[card]"], found["[card] 2"]) == (1, 2)
    assert found["words"] == [{"word": "[card]", "n": 1}] * 4 + [{"word": 1}, "x"]
    assert found["list"] == ["[card]"] * 4


def test_other_events() -> None:
    """What a provider's own event holds, and what ours say of themselves, is masked too."""
    notice = {"provider": "callmissed", "name": "call.started", "body": {"from": "+12127365000", "id": "x"}}
    assert table(notice) == {**notice, "body": {"from": "[phone]", "id": "x"}, "redacted": {"phone": 1}}
    dead = {"id": "dlv_1", "sink": "crm", "reason": "400: no mailbox ann@example.com", "attempts": 3}
    assert table(dead) == {**dead, "reason": "400: no mailbox [email]", "redacted": {"email": 1}}
    assert redacted(b'["ann@example.com"]') == b'["[email]"]'
    assert table({"segments": [1], "text": CARD})["text"] == "[card]"


def test_nothing_found_is_said() -> None:
    """The bytes stay as they are, but for an empty `redacted`."""
    assert redacted(b'{ "a": 1.50 }') == b'{ "a": 1.50 ,"redacted":{}}'
    assert redacted(b"{}") == b'{"redacted":{}}'
    assert redacted(b'{"redacted":{"card":1}}') == b'{"redacted":{"card":1}}'
    assert redacted(b"[1]") == b"[1]"


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff", b'{"a": NaN, "b": "ann@example.com"}', b'{"a": 1e999, "b": "ann@example.com"}', b"[" * 100_000],
)
def test_what_cannot_be_read_is_not_sent(data: bytes) -> None:
    """No event goes out that could not be read."""
    with pytest.raises(Unreadable):
        redacted(data)


def test_lone_surrogates_stay() -> None:
    """JSON that has no UTF-8 form is masked, and escaped as it was."""
    assert redacted(
        b'{"a":"\\ud800 ann@example.com"}'
    ) == b'{"a": "\\ud800 [email]", "redacted": {"email": 1}}'.replace(b": ", b":").replace(b", ", b",")


def test_hostile_texts() -> None:
    """Whatever people say is read, and masking again changes nothing."""
    for event in hostile_events():
        once = redacted(event.data)
        assert redacted(once) == once


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6) + 1, 10**6 - 1)
    | st.floats(0, 1)
    | st.sampled_from(("ok", "Ann", "")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
    max_leaves=12,
)
VALUES = st.sampled_from((*PLACES, SAID, "Atlas"))


@settings(max_examples=60)
@given(ANY, VALUES, VALUES, st.integers(0, 40))
def test_no_value_is_left_anywhere(plain: Any, value: str, other: str, cut: int) -> None:
    """In no text, word, insight, summary, metadata or raw part; all else is as it was; twice is as once."""
    said = f"well {value} then"
    first, rest = said[: said.rfind(" ", 0, cut + 5)], said[said.rfind(" ", 0, cut + 5) + 1 :]
    segments = (segment("A", first), segment("A", rest))
    flags, insights = (Flag(name="f", ok=True, detail=[other, plain]),), (Insight(name="i", value={value: plain}),)
    analysis = Analysis(
        summary=said, topics=(other,), flags=flags, insights=insights, raw={"p": plain, "v": [value, 1]}
    )
    before = sample_transcript(
        text=f"{first} {rest}", segments=segments, analysis=analysis, metadata={"p": plain, other: value}, call=None
    )
    once = redacted(msgspec.json.encode(before))
    assert not any(one.encode() in once for one in (value, other))
    found, was = json.loads(once), msgspec.to_builtins(before)
    assert found["analysis"]["raw"]["p"] == found["metadata"]["p"] == plain
    same = [name for name in was if name not in {"text", "segments", "analysis", "metadata"}]
    assert {name: found[name] for name in same} == {name: json.loads(json.dumps(was[name])) for name in same}
    words = [word["text"] for one in found["segments"] for word in one["words"]]
    assert not {*value.split()} & {*words}
    assert redacted(once) == once


def test_a_large_transcript_is_whole() -> None:
    """A large one comes out with the segments, words and times that it had."""
    event = sample_event(grow_to=300_000)
    found, was = json.loads(redacted(event.data)), json.loads(event.data)
    assert found["segments"] == was["segments"]
    assert found.pop("redacted") == {"phone": 2}
