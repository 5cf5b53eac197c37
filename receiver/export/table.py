"""CSV (RFC 4180): a row for each segment, or one for a transcript without segments."""

import csv as csv_module
import io
from collections.abc import Iterator
from typing import Any

from receiver.contract.model import Transcript
from receiver.export.words import inert, speakers

COLUMNS = (
    *("transcript_id", "version", "source", "provider", "operation", "job_id", "call_id", "status", "received_at"),
    *("segment", "start", "end", "speaker", "label", "role", "channel", "text", "confidence", "sentiment"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 -- spreadsheets read the wide ones too


def head() -> str:
    """Return the line with the names of the columns."""
    return _written([COLUMNS])


def rows(transcript: Transcript) -> str:
    """Return the lines of a transcript."""
    return _written(_rows(transcript))


def _rows(transcript: Transcript) -> Iterator[tuple[Any, ...]]:
    one = transcript
    call = one.call.id if one.call else None
    whole = (
        one.id,
        one.version,
        one.source,
        one.provider,
        one.operation,
        one.job_id,
        call,
        one.status,
        one.received_at,
    )
    known = speakers(transcript)
    for number, segment in enumerate(transcript.segments, 1):
        speaker = known.get(segment.speaker or "")
        who = (segment.speaker, speaker.label if speaker else None, speaker.role if speaker else None, segment.channel)
        said = (segment.text, segment.confidence, segment.sentiment)
        yield (*whole, number, segment.start, segment.end, *who, *said)
    if not transcript.segments:
        yield (*whole, *[None] * 7, one.text, None, None)


def _written(lines: Any) -> str:
    text = io.StringIO(newline="")
    csv_module.writer(text, lineterminator="\r\n").writerows([cell(value) for value in line] for line in lines)
    return text.getvalue()


def cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula: an apostrophe stands before what begins like one."""
    if not isinstance(value, str):
        return value
    text = inert(value)
    return "'" + text if value.lstrip(" \n").startswith(_FORMULA) else text
