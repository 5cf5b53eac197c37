"""Texts on their way out: no character in them steers what shows them, and everybody has a name."""

import re

from receiver.contract.model import Segment, Speaker, Transcript

_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, half characters, and the marks that turn the direction of all that follows.

The marks that only touch their neighbours (U+200E, U+200F, U+061C) and the joiners are part of how languages are written.
"""
_BLANKS = re.compile(r"\s+")


def inert(text: str) -> str:
    """Return a text with U+FFFD in the place of every character that would steer a terminal, a player or an editor."""
    return _STEERS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def line(text: str | None) -> str:
    """Return a text as one inert line."""
    return inert(_BLANKS.sub(" ", text or "").strip())


def speakers(transcript: Transcript) -> dict[str, Speaker]:
    """Return the speakers of a transcript by id."""
    return {speaker.id: speaker for speaker in transcript.speakers}


def name(speaker: Speaker | None, segment: Segment) -> str:
    """Return what to call who speaks: label, role, id or channel; empty where nothing is known."""
    if speaker is not None and (speaker.label or speaker.role):
        return line(speaker.label or speaker.role)
    if segment.speaker is not None:
        return line(segment.speaker)
    return "" if segment.channel is None else line(f"channel {segment.channel}")


def clock(seconds: float, separator: str = ".") -> str:
    """Return seconds as `01:02:03.004`, never less than nothing and never more than 99 hours."""
    ms = round(min(max(seconds, 0.0), 359_999.999) * 1000)
    minutes, ms = divmod(ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{separator}{ms % 1000:03}"
