"""Cues for subtitles: short enough to read, cut where words, pauses and sentences end, and shown long enough."""

import textwrap
from collections.abc import Iterator

import msgspec

from receiver.contract.model import Segment, Transcript, Word
from receiver.export.words import line, name, speakers

WIDTH = 42
"""Characters of a line; a cue has two, as broadcasters do."""
LONGEST = 7.0
SHORTEST = 1.0
"""Seconds that a cue is shown, as far as the next one leaves room."""
_PAUSE = 1.5
_PER_SECOND = 15.0
"""Characters that people read in a second: how long a cue is shown whose end nobody knows."""
_MOST = 359_999.0
_ENDS = (".", "?", "!", "…", "。", "？", "！")  # noqa: RUF001 -- Chinese and Japanese sentences end so


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """One text on the screen, of one or two lines; seconds from the start, `end` always later than `start`."""

    start: float
    end: float
    speaker: str
    lines: tuple[str, ...]


def cues(transcript: Transcript) -> tuple[list[Cue], int]:
    """Return the cues of a transcript by their start, and how many segments have words but no times to show them at."""
    known = speakers(transcript)
    timed = sorted((one for one in transcript.segments if _start(one) is not None), key=lambda one: _start(one) or 0)
    untimed = sum(bool(line(one.text)) for one in transcript.segments if _start(one) is None)
    made: list[Cue] = []
    for place, segment in enumerate(timed):
        following = _start(timed[place + 1]) if place + 1 < len(timed) else None
        who = name(known.get(segment.speaker or ""), segment)
        made += [
            Cue(start=start, end=end, speaker=who, lines=tuple(textwrap.wrap(text, WIDTH)))
            for start, end, text in _parts(segment, following)
        ]
    made.sort(key=lambda cue: cue.start)
    return [_shown(cue, made[place + 1] if place + 1 < len(made) else None) for place, cue in enumerate(made)], untimed


def _start(segment: Segment) -> float | None:
    if segment.start is not None:
        return min(max(segment.start, 0.0), _MOST)
    first = next((word.start for word in segment.words or () if word.start is not None), None)
    return None if first is None else min(max(first, 0.0), _MOST)


def _parts(segment: Segment, following: float | None) -> Iterator[tuple[float, float, str]]:
    words = [word for word in segment.words or () if line(word.text)]
    if words and all(word.start is not None and word.end is not None for word in words):
        yield from _by_words(segment, words)
    else:
        yield from _by_length(segment, following)


def _by_words(segment: Segment, words: list[Word]) -> Iterator[tuple[float, float, str]]:
    """Cut at word times; the segment's own spelling of them counts, where it has as many."""
    spelled = line(segment.text).split(" ")
    texts = spelled if len(spelled) == len(words) else [line(word.text) for word in words]
    part: list[str] = []
    start = end = 0.0
    for word, text in zip(words, texts, strict=True):
        begins, ends = word.start or 0.0, word.end or 0.0
        if part and _full([*part, text], begins - end, ends - start):
            yield start, end, " ".join(part)
            part = []
        if not part:
            start = begins
        part.append(text)
        end = max(ends, begins)
    if part:
        yield start, end, " ".join(part)


def _full(part: list[str], pause: float, lasts: float) -> bool:
    """Say whether the last word of a part belongs to the next cue."""
    so_far = " ".join(part[:-1])
    sentence_ends = so_far.endswith(_ENDS) and len(so_far) >= WIDTH
    return pause > _PAUSE or lasts > LONGEST or sentence_ends or len(textwrap.wrap(" ".join(part), WIDTH)) > 2


def _by_length(segment: Segment, following: float | None) -> Iterator[tuple[float, float, str]]:
    """Share the time of a segment out by the length of its parts."""
    lines = textwrap.wrap(line(segment.text), WIDTH)
    parts = [" ".join(lines[at : at + 2]) for at in range(0, len(lines), 2)]
    total = sum(map(len, parts))
    start = at = _start(segment) or 0.0
    end = segment.end
    if end is None or end <= start:
        end = start + total / _PER_SECOND
        end = min(end, following) if following is not None and following > start else end
    for part in parts:
        until = at + (end - start) * len(part) / total
        yield at, until, part
        at = until


def _shown(cue: Cue, following: Cue | None) -> Cue:
    """Show a cue long enough to be seen, until the next one comes."""
    room = cue.start + SHORTEST if following is None else min(cue.start + SHORTEST, following.start)
    start = min(max(cue.start, 0.0), _MOST)
    end = max(min(cue.end, _MOST + SHORTEST), room, start + 0.001)
    return msgspec.structs.replace(cue, start=start, end=end)
