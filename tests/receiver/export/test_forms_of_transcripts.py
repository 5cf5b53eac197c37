"""Exports, judged by other people's readers: every recorded case in every form, hostile texts, odd times."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import srt as srt_reader  # type: ignore[import-untyped]
import webvtt
from exports_of import a_transcript, recorded, said, spoken

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import Analysis, Call, Speaker, Transcript, Word
from receiver.export.cues import LONGEST, SHORTEST, WIDTH, cues
from receiver.export.formats import FORMATS, known
from receiver.export.plain import txt
from receiver.export.subtitles import srt, vtt
from receiver.export.table import COLUMNS, cell, head, rows
from receiver.export.vcon import MOST_BYTES, Callback, vcon
from receiver.export.words import clock

SCHEMA = json.loads(Path(__file__).with_name("vcon.schema.json").read_text("utf-8"))
JUDGE = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
CASES = list(recorded())
HOSTILE = (
    "<script>alert(1)</script> --> 00:00:01.000 --> 00:00:02.000\n\n7\n00:00:00,000 --> 00:00:09,000\n"
    "\u202egnp.exe\u2066 \x00 \x1b[31m \x9b {\\an8} &amp; =cmd|' /C calc'!A0"
)
STEERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def contained(*transcripts: Transcript, callbacks: Any = None) -> Any:
    """Return transcripts as a vCon, as another program reads it, after the schema had its say."""
    made = vcon(transcripts, callbacks or {}, host="calls.example.com", about="call_1", made_at=1_790_000_000_000)
    document = json.loads(json.dumps(made))
    JUDGE.validate(document)
    return document


def cells(transcript: Transcript) -> list[dict[str, str]]:
    """Return the rows of a transcript as a program reads them."""
    return list(csv.DictReader(io.StringIO(head() + rows(transcript), newline="")))


def captions(transcript: Transcript) -> Any:
    """Return the cues of WebVTT as webvtt-py reads them."""
    return webvtt.from_string(vtt(transcript)).captions


@pytest.mark.parametrize(("name", "transcript"), CASES, ids=[name for name, _ in CASES])
def test_every_recorded_case_in_every_form(name: str, transcript: Transcript) -> None:
    """Other people's readers take each form, and find as much in it as there is."""
    shown, untimed = cues(transcript)
    document = contained(transcript)
    said_by = [one["party"] for entry in document.get("analysis", []) if entry["type"] == "transcript"
               for one in entry["body"]["segments"]]  # fmt: skip
    assert len(said_by) == len(transcript.segments)
    assert all(place < len(document["parties"]) for place in said_by)
    assert len(cells(transcript)) == max(1, len(transcript.segments))
    assert not STEERS.search(txt(transcript) + rows(transcript))
    if not shown and (untimed or transcript.text):
        with pytest.raises(UsageError, match="no times"):
            vtt(transcript)
        return
    assert len(captions(transcript)) == len(shown) == len(list(srt_reader.parse(srt(transcript))))
    assert not STEERS.search(vtt(transcript) + srt(transcript))


def test_hostile_words_do_nothing_anywhere() -> None:
    """Tags, arrows, marks of direction, escapes and formulas are text in every form, in names too."""
    segment = said(1.0, 3.0, HOSTILE, HOSTILE)
    speaker = Speaker(id=HOSTILE, label=HOSTILE)
    bad = a_transcript(
        text=HOSTILE, job_id="=1+1", segments=[segment], speakers=[speaker], analysis=Analysis(summary=HOSTILE)
    )
    for written in (vtt(bad), srt(bad), txt(bad), rows(bad)):
        assert not STEERS.search(written)
    arrows = [line for line in vtt(bad).splitlines() if "-->" in line]
    assert arrows
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}", line) for line in arrows)
    assert "<script" not in vtt(bad)
    assert len(list(srt_reader.parse(srt(bad)))) == sum("-->" in line for line in srt(bad).splitlines())
    assert not re.search(r"[<>{}]", srt(bad).replace("-->", ""))
    (row,) = cells(bad)
    assert row["job_id"] == "'=1+1"
    entry = contained(bad)["analysis"][0]
    assert entry["body"]["segments"][0]["text"] == HOSTILE, "JSON keeps what was said as it is"


@pytest.mark.parametrize("text", ["=cmd", "+1", "-1", "@a", "\tx=1", "\r=1", " =cmd", "\n=cmd", "\uff1dcmd"])
def test_no_cell_is_a_formula(text: str) -> None:
    """Whatever a spreadsheet would compute begins with an apostrophe."""
    assert cell(text).startswith("'")


def test_cells_hold_numbers_as_numbers() -> None:
    """Times and confidences stay numbers, and what is not there stays empty."""
    (row,) = cells(a_transcript(segments=[said(-0.5, None, 'a, "b"\nc', confidence=0.5)]))
    assert (row["start"], row["end"], row["confidence"], row["text"]) == ("-0.5", "", "0.5", 'a, "b"\nc')
    assert tuple(row) == COLUMNS
    (whole,) = cells(a_transcript())
    assert (whole["segment"], whole["text"]) == ("", "hello world")


def test_cues_are_short_enough_to_read() -> None:
    """A long turn becomes cues of two lines, cut between words at their own times, without losing one."""
    text = " ".join(f"word{number}" for number in range(120)) + "."
    shown, _ = cues(a_transcript(segments=[said(0.0, 60.0, text, words=spoken(text))]))
    assert len(shown) > 8
    assert all(len(one.lines) <= 2 and max(map(len, one.lines)) <= WIDTH for one in shown)
    assert all(one.end - one.start <= LONGEST + 0.5 for one in shown)
    assert " ".join(" ".join(one.lines) for one in shown) == text
    assert [one.start for one in shown] == sorted(one.start for one in shown)


def test_cues_end_where_sentences_and_pauses_do() -> None:
    """A pause begins a new cue, and so does a sentence once the line is long enough."""
    words = (*spoken("one two", 0.0), *spoken("three four", 9.0))
    shown, _ = cues(a_transcript(segments=[said(0.0, 10.0, "one two three four", words=words)]))
    assert [(one.start, one.lines) for one in shown] == [(0.0, ("one two",)), (9.0, ("three four",))]
    long = "this sentence is just as long as one line is. And another"
    shown, _ = cues(a_transcript(segments=[said(0.0, 9.0, long, words=spoken(long, pace=0.3))]))
    assert " ".join(shown[0].lines).endswith("is.")


def test_cues_spell_as_the_segment_does() -> None:
    """Words without punctuation take it from the segment; where they do not fit together, the words count."""
    words = spoken("hello world")
    (fits,), _ = cues(a_transcript(segments=[said(0.0, 2.0, "Hello, world!", words=words)]))
    (differs,), _ = cues(a_transcript(segments=[said(0.0, 2.0, "Hello", words=words)]))
    assert (fits.lines, differs.lines) == (("Hello, world!",), ("hello world",))


def test_segments_without_word_times_share_theirs_out() -> None:
    """A long segment is cut by length; one without an end is shown as long as reading takes, at most to the next."""
    long = " ".join(["abcdefgh"] * 40)
    shown, _ = cues(a_transcript(segments=[said(10.0, 50.0, long), said(60.0, None, long), said(61.0, None, "b")]))
    first = [one for one in shown if one.start < 50]
    assert first[0].start == 10.0
    assert first[-1].end == pytest.approx(50.0)
    assert all(one.end > one.start for one in shown)
    assert max(one.end for one in shown if one.start < 61) == pytest.approx(61.0)


def test_odd_times_make_valid_cues() -> None:
    """Negative, huge and backward times, and words without any, still make cues that go forward."""
    odd = [
        said(-5.0, -1.0, "a"),
        said(5.0, 2.0, "b"),
        said(1e300, None, "c"),
        said(None, None, "d", words=(Word(start=3.0, end=None, text="d"),)),
        said(2.0, 2.0, "e"),
    ]
    shown = captions(a_transcript(segments=odd))
    assert [one.text for one in shown] == ["a", "e", "d", "b", "c"]
    assert all(one.end_in_seconds >= one.start_in_seconds for one in shown)
    assert clock(1e300) == "99:59:59.999"


def test_short_cues_stay_until_they_are_seen() -> None:
    """A cue of a moment is shown for a second, but never over the next one."""
    shown, _ = cues(a_transcript(segments=[said(0.0, 0.1, "a"), said(0.4, 0.5, "b"), said(9.0, 9.1, "c")]))
    assert [round(one.end - one.start, 3) for one in shown] == [0.4, SHORTEST, SHORTEST]


def test_what_has_no_times_is_told() -> None:
    """Nothing to show at all is an error with the way out; some of it is counted in the file."""
    with pytest.raises(UsageError, match="take txt"):
        srt(a_transcript())
    some = vtt(a_transcript(segments=[said(0.0, 1.0, "a"), said(None, None, "b")]))
    assert "1 segments without times are not shown" in some
    assert vtt(a_transcript(text=None)).startswith("WEBVTT\n\n")


def test_voices_have_names() -> None:
    """Label before role before id before channel; nobody known is nobody named."""
    speakers = [Speaker(id="A", label="Zoë", role="agent"), Speaker(id="B", role="customer")]
    segments = [
        said(0.0, 1.0, "a", "A"),
        said(2.0, 3.0, "b", "B"),
        said(4.0, 5.0, "c", "C"),
        said(6.0, 7.0, "d", None, channel=1),
        said(8.0, 9.0, "e", None),
    ]
    one = a_transcript(speakers=speakers, segments=segments)
    assert [cue.voice for cue in captions(one)] == ["Zoë", "customer", "C", "channel 1", None]
    assert [cue.content for cue in srt_reader.parse(srt(one))] == ["Zoë: a", "customer: b", "C: c", "channel 1: d", "e"]


def test_text_for_people_has_everything_that_people_ask_for() -> None:
    """The call, who said what when, and what was concluded; a failure with its reason."""
    call = Call(id="call_1", direction="inbound", from_="+44 20 7946 0000", to="100", started_at="2026-11-20T07:00:00Z")
    found = Analysis(
        summary="All\nwell.",
        sentiment="mixed",
        topics=("a", "b"),
        action_items=("call back",),
        flags=({"name": "greeting", "ok": True}, {"name": "consent", "ok": False}, {"name": "other", "ok": None}),  # type: ignore[arg-type]
    )
    written = txt(
        a_transcript(call=call, segments=[said(3661.0, 3662.0, "hi"), said(None, None, "x", None)], analysis=found)
    )
    for part in (
        "inbound, +44 20 7946 0000 to 100",
        "[01:01:01] A: hi",
        "\nx\n",
        "Summary: All well.",
        "Sentiment: mixed",
    ):
        assert part in written
    assert written.endswith(
        "To do: call back\nCheck: greeting: passed\nCheck: consent: not passed\nCheck: other: unknown\n"
    )
    failed = txt(a_transcript(status="failed", text=None, error={"code": "E1", "message": "no audio"}))
    assert failed.endswith("\n\nError: E1 no audio\n")
    assert "\n\nhello\nworld\n" in txt(a_transcript(text="hello\n\nworld"))


def test_a_container_holds_the_whole_call() -> None:
    """Parties once, one dialog, what was said and concluded by each provider, and the callbacks as they came."""
    call = Call(id="call_1", external_id="ext-1", direction="inbound", from_="+44 20 7946 0000", to="a@b.example",
                agent_id="7", started_at="2026-11-20T07:00:00Z")  # fmt: skip
    first = a_transcript(
        call=call,
        speakers=[Speaker(id="A", role="agent", label="Zoë"), Speaker(id="B", role="customer")],
        segments=[said(0.0, 1.0, "hi", "A"), said(1.0, 2.0, "yes", "B"), said(2.0, 3.0, "?", "C"),
                  said(3.0, 4.0, "?", None, channel=2), said(4.0, 5.0, "?", None)],
    )  # fmt: skip
    second = a_transcript(
        id="trn_0000000000002", provider="other", call=Call(id="call_1"), text=None, operation="summarization",
        analysis=Analysis(summary="fine", sentiment="positive", topics=("a",), raw={"x": 1}),
        provenance={"receipt_id": "rcp_2", "verdict": "token", "normalizer": "o/1"},
    )  # fmt: skip
    callbacks = {
        "rcp_0000000000001": Callback(
            receipt_id="rcp_0000000000001", received_at="2026-11-20T08:00:00.000Z", media_type=None, body=b"\xff?>"
        ),
        "rcp_2": Callback(
            receipt_id="rcp_2", received_at="2026-11-20T08:00:00.000Z", media_type="a/b", body=b"x" * MOST_BYTES
        ),
    }
    document = contained(first, second, callbacks=callbacks)
    assert document["parties"][:2] == [
        {"name": "Zoë", "mailto": "mailto:a@b.example", "uuid": "7"},
        {"name": "customer", "tel": "tel:+442079460000"},
    ]
    assert document["subject"] == "ext-1"
    assert document["dialog"] == [
        {"type": "recording", "start": "2026-11-20T07:00:00Z", "duration": 8.0, "parties": [0, 1, 2, 3, 4]}
    ]
    assert [one["type"] for one in document["analysis"]] == ["transcript", "summary", "sentiment", "report"]
    assert [one["vendor"] for one in document["analysis"]] == ["acme", "other", "other", "other"]
    assert [one["party"] for one in document["analysis"][0]["body"]["segments"]] == [0, 1, 2, 3, 4]
    (attached,) = document["attachments"]
    assert (attached["body"], attached["purpose"]) == ("_z8-", "provider-callback")
    assert document["parties"][attached["party"]] == {"name": "acme", "type": "organization"}


def test_a_container_keeps_its_id() -> None:
    """The same call has the same UUID each time, another call or host another one."""
    one = a_transcript()
    made = [vcon([one], {}, host=host, about=about, made_at=1_790_000_000_000)["uuid"]
            for host, about in (("a", "1"), ("a", "1"), ("b", "1"), ("a", "2"))]  # fmt: skip
    assert made[0] == made[1]
    assert len(set(made)) == 3


@pytest.mark.parametrize(
    ("address", "party"),
    [("sip:a@b", {"sip": "sip:a@b"}), ("front desk", {"name": "front desk"}), ("(020) 79-46", {"tel": "tel:0207946"})],
)
def test_addresses_are_told_apart(address: str, party: dict[str, str]) -> None:
    """Numbers, SIP addresses and names each have their place, also where nobody knows who called whom."""
    assert contained(a_transcript(call=Call(from_=address)))["parties"] == [party]


def test_forms_have_names() -> None:
    """A form that there is not says which there are."""
    assert known("vtt") is FORMATS["vtt"]
    with pytest.raises(NotFound, match="json, txt, csv, vtt, srt, vcon"):
        known("docx")
