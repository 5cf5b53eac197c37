"""A transcript as a conversation: colours, shares, the plot, and parts of long ones."""

from typing import Any

import msgspec

from receiver.contract.model import Transcript
from receiver.web.pages.conversation import SHOWN, conversation


def transcript(**changes: Any) -> Transcript:
    """Return a transcript."""
    fields: dict[str, Any] = {
        "id": "trn_0000000000001", "version": 1, "source": "a", "provider": "a", "operation": "o", "job_id": "j",
        "job": None, "call": None, "status": "completed", "language": None, "duration": None,
        "received_at": "2026-11-20T08:00:00Z", "created_at": None, "completed_at": None, "text": None, "speakers": [],
        "segments": [], "analysis": None, "error": None, "metadata": {},
        "provenance": {"receipt_id": "rcp_0000000000001", "verdict": "token", "normalizer": "a/1"},
    }  # fmt: skip
    return msgspec.convert({**fields, **changes}, Transcript)


def segment(start: float | None, end: float | None, speaker: str | None = "A", **more: Any) -> dict[str, Any]:
    """Return a segment."""
    return {"start": start, "end": end, "speaker": speaker, "text": "x", **more}


def test_voices_have_colours_and_shares() -> None:
    """Speakers in their order, then those who are only heard; shares are of the time that is known."""
    shown = conversation(
        transcript(
            speakers=[{"id": "A", "talk_time": 30.0, "role": "agent"}, {"id": "B", "label": "Zoë", "talk_time": 10.0}],
            segments=[segment(0, 1, "C"), segment(1, 2, "A"), segment(2, 3, None)],
        )
    )
    assert [(one.name, one.colour, one.share) for one in shown.voices] == [
        ("A", 0, 75.0),
        ("Zoë", 1, 25.0),
        ("C", 2, None),
    ]
    assert [one.voice.name if one.voice else None for one in shown.turns] == ["C", "A", None]


def test_the_plot_is_true_to_scale() -> None:
    """Marks stand where words were said, moods below them, flags where they are; all within the plot."""
    flags = [
        {"name": "late", "ok": False, "at": 60.0},
        {"name": "open", "ok": None, "at": 1.0},
        {"name": "out", "ok": True, "at": 999.0},
    ]
    shown = conversation(
        transcript(
            duration=100.0,
            segments=[segment(10, 30, sentiment="NEGATIVE"), segment(50, 75, "B", sentiment="odd"), segment(80, None)],
            analysis={"flags": flags},
        )
    )
    line = shown.timeline
    assert line is not None
    assert [(one.x, one.width, one.colour, one.turn) for one in line.marks] == [
        (10.0, 20.0, "v0", 1), (50.0, 25.0, "v1", 2), (80.0, 0.15, "v0", 3)
    ]  # fmt: skip
    assert [one.colour for one in line.moods] == ["mood-negative", "mood-other"]
    assert [(one.x, one.turn, one.colour) for one in line.flags] == [(60.0, 2, "flag-bad"), (1.0, 1, "flag-open")]
    assert [one.label for one in line.ticks][:2] == ["0:00", "0:30"]


def test_without_times_there_is_no_plot() -> None:
    """Neither where nothing was said."""
    assert conversation(transcript(segments=[segment(None, None)])).timeline is None
    assert conversation(transcript()).timeline is None


def test_long_ones_come_in_parts() -> None:
    """A page holds so many turns, and its plot all of them, as far as they can be told apart."""
    many = [segment(float(place), place + 0.9) for place in range(3 * SHOWN)]
    shown = conversation(transcript(segments=many), SHOWN + 1)
    assert (shown.first, shown.last, shown.count) == (SHOWN + 1, 2 * SHOWN, 3 * SHOWN)
    assert shown.turns[0].number == SHOWN + 1
    assert shown.timeline is not None
    assert len(shown.timeline.marks) <= 1001
    beyond = conversation(transcript(segments=many), 9999)
    assert beyond.turns == ()
