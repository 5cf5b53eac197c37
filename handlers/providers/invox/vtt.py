"""WebVTT as INVOX writes transcripts: cues become segments, `<v Name>` the speaker.

Rules: https://www.w3.org/TR/webvtt1/ (parsing of blocks, timings and cue text). The text is a transcriber's, which may
hold a "<" that nobody escaped: only the tags that WebVTT has are taken out, all else was said.
"""

import html
import re
from collections.abc import Iterator
from itertools import groupby

from receiver.contract.model import Segment

SIGNATURE = "WEBVTT"

_LINE_END = re.compile(r"\r\n|\n|\r")
_TIMING = re.compile(r"[ \t]*([0-9:.]{9,20})[ \t]*-->[ \t]*([0-9:.]{9,20})(?:[ \t].*)?")
_TIME = re.compile(r"(?:([0-9]{2,9}):)?([0-5][0-9]):([0-5][0-9])\.([0-9]{3})")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?(?:[ \t]+([^<>]*))?>|</v>")
_TAG = re.compile(r"</?(?:c|i|b|u|ruby|rt|lang)(?:[.\s][^<>]*)?>|<(?:[0-9]{2,}:)?[0-9]{2}:[0-9]{2}\.[0-9]{3}>")
_BESIDE = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t]|$)")


class NotVtt(ValueError):
    """The text is no WebVTT, or holds something that WebVTT does not."""


def has_signature(text: str) -> bool:
    """Say whether a text begins as every WebVTT text does."""
    bare = text.removeprefix("\ufeff")
    return bare.startswith(SIGNATURE) and bare[len(SIGNATURE) : len(SIGNATURE) + 1] in {"", " ", "\t", "\r", "\n"}


def segments(text: str) -> tuple[Segment, ...]:
    """Return what was said by whom, in order; notes and styles are left out. Raises NotVtt."""
    if not has_signature(text):
        raise NotVtt
    lines = _LINE_END.split(text)[1:]
    blocks = [list(block) for full, block in groupby(lines, key=bool) if full]
    if lines and lines[0] and not any("-->" in line for line in blocks[0]):
        del blocks[0]
    return tuple(segment for block in blocks for segment in _cue(block))


def _cue(block: list[str]) -> Iterator[Segment]:
    """Yield a cue's segments, one for each voice, all with the cue's times; a line above the timing is its name."""
    place = next((number for number, line in enumerate(block) if "-->" in line), None)
    if place is None and _BESIDE.match(block[0]):
        return
    timing = _TIMING.fullmatch(block[place]) if place in {0, 1} else None
    if place is None or timing is None or any("-->" in line for line in block[place + 1 :]):
        raise NotVtt
    start, end = _seconds(timing[1]), _seconds(timing[2])
    for speaker, said in _voices("\n".join(block[place + 1 :])):
        yield Segment(start=start, end=end, speaker=speaker, text=said)


def _seconds(written: str) -> float:
    time = _TIME.fullmatch(written)
    if time is None:
        raise NotVtt
    hours, minutes, seconds, thousandths = (int(part or 0) for part in time.groups())
    return (hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + thousandths) / 1000


def _voices(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield who says what; a cue without words is one segment all the same."""
    place, speaker, spoke = 0, None, False
    for tag in _VOICE.finditer(text):
        if said := _plain(text[place : tag.start()]):
            yield speaker, said
            spoke = True
        place, speaker = tag.end(), _plain(tag[1] or "") or None
    said = _plain(text[place:])
    if said or not spoke:
        yield speaker, said


def _plain(text: str) -> str:
    return html.unescape(_TAG.sub("", text)).strip()
