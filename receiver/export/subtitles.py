"""Subtitles: WebVTT with a voice tag for each speaker, and SubRip."""

import html

from receiver.contract.errors import UsageError
from receiver.contract.model import Transcript
from receiver.export.cues import Cue, cues
from receiver.export.words import clock

_SRT = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})  # noqa: RUF001 -- that they look alike is the point
"""SubRip has no way to write what its players read as tags and as arrows; these look alike and mean nothing."""


def vtt(transcript: Transcript) -> str:
    """Return WebVTT (W3C). Raises UsageError for a transcript without times."""
    made, untimed = _timed(transcript, "vtt")
    left_out = f"\n{untimed} segments without times are not shown" if untimed else ""
    blocks = ["WEBVTT", f"NOTE {transcript.id} version {transcript.version}{left_out}"]
    blocks += [f"{clock(cue.start)} --> {clock(cue.end)}\n{_voiced(cue)}" for cue in made]
    return "\n\n".join(blocks) + "\n"


def srt(transcript: Transcript) -> str:
    """Return SubRip. Raises UsageError for a transcript without times."""
    made, _ = _timed(transcript, "srt")
    blocks = [
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{_named(cue).translate(_SRT)}\n"
        for number, cue in enumerate(made, 1)
    ]
    return "\n".join(blocks)


def _timed(transcript: Transcript, wanted: str) -> tuple[list[Cue], int]:
    made, untimed = cues(transcript)
    if not made and (untimed or transcript.text):
        raise UsageError(f"{transcript.id} has no times, which {wanted} needs: take txt, csv, json or vcon")
    return made, untimed


def _voiced(cue: Cue) -> str:
    text = html.escape("\n".join(cue.lines), quote=False)
    return f"<v {html.escape(cue.speaker, quote=False)}>{text}</v>" if cue.speaker else text


def _named(cue: Cue) -> str:
    return "\n".join([f"{cue.speaker}: {cue.lines[0]}", *cue.lines[1:]] if cue.speaker else cue.lines)
