"""A transcript as a conversation: its speakers with their colours and shares, its turns, and the plot of who talks when."""

from collections.abc import Sequence
from typing import Any

import msgspec

from receiver.contract.model import Flag, Segment, Speaker, Transcript
from receiver.web.pages.wording import clock

SHOWN = 500
"""Turns that one page holds; the rest is on further pages."""
_COLOURS = 8
_LANE = 22
_TOP = 16
_MARKS = 2000
"""Marks that a plot holds; what would stand at the same place is one mark."""


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """One speaker; `share` is the part of the talk time, in percent."""

    id: str
    name: str
    role: str | None
    colour: int
    talk_time: float | None
    share: float | None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One segment, numbered from 1."""

    number: int
    voice: Voice | None
    segment: Segment


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something on the plot: place and width in percent, pixels from the top, a class for its colour, what it links to."""

    x: float
    width: float
    y: int
    colour: str
    turn: int | None
    label: str


class Tick(msgspec.Struct, frozen=True):
    """A time on the plot's axis: its place in percent, and what it says."""

    x: float
    label: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Who talks when: a lane for each voice, moods below their words, flags above all."""

    voices: tuple[Voice, ...]
    marks: tuple[Mark, ...]
    moods: tuple[Mark, ...]
    flags: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    height: int
    duration: float


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript as the page shows it; `first` and `last` number the turns that are on it."""

    transcript: Transcript
    voices: tuple[Voice, ...]
    turns: tuple[Turn, ...]
    timeline: Timeline | None
    first: int
    last: int
    count: int


def conversation(transcript: Transcript, first: int = 1) -> Conversation:
    """Return a transcript with `SHOWN` of its turns, from number `first` on."""
    voices = _voices(transcript)
    by_id = {voice.id: voice for voice in voices}
    chosen = transcript.segments[first - 1 : first - 1 + SHOWN]
    turns = tuple(
        Turn(number=number, voice=by_id.get(one.speaker or ""), segment=one) for number, one in enumerate(chosen, first)
    )
    return Conversation(
        transcript=transcript,
        voices=voices,
        turns=turns,
        timeline=_timeline(transcript, voices),
        first=first,
        last=first - 1 + len(turns),
        count=len(transcript.segments),
    )


def _voices(transcript: Transcript) -> tuple[Voice, ...]:
    known = {one.id: one for one in transcript.speakers}
    heard = dict.fromkeys(one.speaker for one in transcript.segments if one.speaker is not None)
    speakers = [*known.values(), *(Speaker(id=name) for name in heard if name not in known)]
    total = sum(one.talk_time or 0 for one in speakers)
    return tuple(
        Voice(
            id=one.id,
            name=one.label or one.id,
            role=one.role,
            colour=place % _COLOURS,
            talk_time=one.talk_time,
            share=round(100 * one.talk_time / total, 1) if one.talk_time is not None and total else None,
        )
        for place, one in enumerate(speakers)
    )


def _timeline(transcript: Transcript, voices: Sequence[Voice]) -> Timeline | None:
    """Return the plot, or None where the provider gives no times."""
    timed = [(number, one) for number, one in enumerate(transcript.segments, 1) if one.start is not None]
    ends = [one.end if one.end is not None else one.start or 0.0 for _, one in timed]
    duration = max([*ends, transcript.duration or 0.0], default=0.0)
    if not timed or duration <= 0:
        return None
    marks, moods = _said(timed, voices, duration)
    return Timeline(
        voices=tuple(voices),
        marks=marks,
        moods=moods,
        flags=_flags(transcript, duration),
        ticks=_ticks(duration),
        height=_TOP + _LANE * max(1, len(voices)) + 18,
        duration=duration,
    )


def _said(
    timed: Sequence[tuple[int, Segment]], voices: Sequence[Voice], duration: float
) -> tuple[tuple[Mark, ...], tuple[Mark, ...]]:
    lanes = {voice.id: lane for lane, voice in enumerate(voices)}
    marks: dict[tuple[float, int], Mark] = {}
    moods: dict[tuple[float, int], Mark] = {}
    for number, one in timed:
        start = one.start or 0.0
        end = one.end if one.end is not None else start
        lane = lanes.get(one.speaker or "", 0)
        x, width = _percent(start, duration), max(0.15, _percent(end - start, duration))
        name = voices[lane].name if voices else ""
        place: dict[str, Any] = {"x": x, "width": width, "y": _TOP + lane * _LANE, "turn": number}
        key = (round(x, 1), lane)
        if key not in marks and len(marks) < _MARKS:
            colour = voices[lane].colour if voices else 0
            marks[key] = Mark(**place, colour=f"v{colour}", label=f"{clock(start)} {name}")
        if one.sentiment is not None and key not in moods and len(moods) < _MARKS:
            mood = _mood(one.sentiment)
            moods[key] = Mark(**place, colour=f"mood-{mood}", label=f"{clock(start)} {name}: {one.sentiment}")
    return tuple(marks.values()), tuple(moods.values())


def _mood(sentiment: str) -> str:
    word = sentiment.casefold()
    return word if word in {"positive", "negative", "neutral", "mixed"} else "other"


def _flags(transcript: Transcript, duration: float) -> tuple[Mark, ...]:
    flags: Sequence[Flag] = transcript.analysis.flags if transcript.analysis else ()
    found = []
    for flag in flags:
        if flag.at is not None and 0 <= flag.at <= duration:
            turn = _turn_at(transcript.segments, flag.at)
            colour = "flag-open" if flag.ok is None else "flag-good" if flag.ok else "flag-bad"
            label = f"{clock(flag.at)} {flag.name}: {verdict(flag.ok)}"
            found.append(Mark(x=_percent(flag.at, duration), width=0, y=2, colour=colour, turn=turn, label=label))
    return tuple(found[:_MARKS])


def verdict(ok: bool | None) -> str:
    """Return how a check ended, in a word."""
    return "not known" if ok is None else "passed" if ok else "failed"


def _turn_at(segments: Sequence[Segment], at: float) -> int | None:
    """Return the number of the last segment that begins by then."""
    begun = [number for number, one in enumerate(segments, 1) if one.start is not None and one.start <= at]
    return begun[-1] if begun else (1 if segments else None)


def _ticks(duration: float) -> tuple[Tick, ...]:
    step = next((one for one in (5, 10, 30, 60, 120, 300, 600, 1800, 3600) if duration / one <= 8), duration / 6)
    count = int(duration / step)
    return tuple(Tick(_percent(step * place, duration), clock(step * place)) for place in range(count + 1))


def _percent(seconds: float, duration: float) -> float:
    return round(min(100.0, max(0.0, 100 * seconds / duration)), 3)


def raw_of(transcript: Transcript) -> Any:
    """Return the provider's own words about it, None where there are none."""
    return transcript.analysis.raw if transcript.analysis else None
