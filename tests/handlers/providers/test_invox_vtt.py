"""WebVTT as INVOX writes it: voices, times, markup, and what is none."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.providers.invox import vtt

Said = list[tuple[float | None, float | None, str | None, str | None]]


def said(text: str) -> Said:
    return [(one.start, one.end, one.speaker, one.text) for one in vtt.segments(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WEBVTT", []),
        ("\ufeffWEBVTT - a title\nKind: captions\n\n", []),
        ("WEBVTT\n\n00:00.010 --> 01:02.050\n<v Doctor>mock text\n", [(0.01, 62.05, "Doctor", "mock text")]),
        (
            "WEBVTT\r\n\r\n1\r\n100:00:00.000-->100:00:01.000 align:start\r\na\r\nb",
            [(360000.0, 360001.0, None, "a\nb")],
        ),
        ("WEBVTT\n00:00.000 --> 00:01.000\nat once", [(0.0, 1.0, None, "at once")]),
        ("WEBVTT\n\nNOTE a\nb\n\nSTYLE\n::cue {}\n\n\n00:00.000 --> 00:01.000\nx", [(0.0, 1.0, None, "x")]),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\n<v A>a</v> <v.loud B &amp; C>b", [(0, 1, "A", "a"), (0, 1, "B & C", "b")]),
        (
            "WEBVTT\n\n00:00.000 --> 00:01.000\n<i>so</i> <00:00.500><c.x>it</c> &lt;38 <b.a",
            [(0, 1, None, "so it <38 <b.a")],
        ),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\n<script>x</script> a < b", [(0, 1, None, "<script>x</script> a < b")]),
        ("WEBVTT\n\n00:02.000 --> 00:01.000\n<v>nobody", [(2, 1, None, "nobody")]),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\n\n", [(0, 1, None, "")]),
        ("WEBVTT\n\nNOTE\n00:00.000 --> 00:01.000\nits name is NOTE", [(0, 1, None, "its name is NOTE")]),
    ],
)
def test_what_was_said_by_whom(text: str, expected: Said) -> None:
    """Each cue is a segment, each voice in it one of its own; only tags that WebVTT has are taken out."""
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "WEBVTTX",
        "webvtt",
        "hello",
        "WEBVTT\n\nwords without times",
        "WEBVTT\n\n00:00,000 --> 00:01,000\nx",
        "WEBVTT\n\n00:00.000 --> 00:61.000\nx",
        "WEBVTT\n\n00:00.000 -->\nx",
        "WEBVTT\n\na\nb\n00:00.000 --> 00:01.000\nx",
        "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n00:01.000 --> 00:02.000\ny",
        "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n\nand more after an empty line",
    ],
)
def test_what_is_no_webvtt_is_said_to_be_none(text: str) -> None:
    """So that its text is kept whole, instead of a part of it."""
    with pytest.raises(vtt.NotVtt):
        vtt.segments(text)


@given(st.text(alphabet=st.sampled_from("WEBVTT\n\r -->0123456789:.<v >/cib&amp;NOTE"), max_size=200))
def test_any_text_is_read_or_refused(rest: str) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(vtt.NotVtt):
        assert isinstance(vtt.segments("WEBVTT\n" + rest), tuple)
