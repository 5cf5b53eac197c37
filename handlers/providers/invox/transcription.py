"""What a transcription callback, or the answer to polling, says in our words.

Source: developer.invoxmedical.com/ai-services/transcribe-pre-recorded-audio/generate-presign-url (the callback: no
status, no error) and .../get-transcription-status (polling: a status under one of two names, no speakers).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from receiver.contract import ecmascript
from receiver.contract.errors import Unreadable
from receiver.contract.model import Outcome, Progress, Result, ResultError, Segment, Speaker
from receiver.contract.times import from_ms

Roles = Mapping[str, Literal["agent", "customer"]]

_YEAR_10000 = 253_402_300_800_000
_OF_SEGMENT = frozenset({"text", "start", "end", "speaker"})
_COPIED = frozenset({"vttTranscription", "transcriptionStatus"})
"""What only polling says: the segments once more, as WebVTT, and the status under its second name. It makes no other result."""


def read(body: bytes) -> dict[str, Any]:
    """Return the body's object, in strings that can be kept. Raises Unreadable."""
    document = ecmascript.parse(body)
    if not isinstance(document, dict):
        raise Unreadable(f"the body is {_kind(document)}, not an object")
    return ecmascript.well_formed(document) if b"\\u" in body else document


def outcome(document: dict[str, Any], roles: Roles, asked_for: str | None = None) -> Outcome:
    """Return the result, or the progress, that `document` tells of. Raises Unreadable.

    `asked_for` is the request id of a polled body, which has none.
    """
    if "eventName" in document:
        raise Unreadable("member eventName: a webhook event is no transcription callback")
    job_id = _text(document, "requestId") or asked_for
    if not job_id:
        raise Unreadable("member requestId is missing or empty")
    status = _status(document)
    if status == "PENDING":
        return Progress(job_id=job_id, status=status)
    return _result(document, job_id, roles, failed=status == "ERROR")


def says_as_much(came: bytes, polled: bytes) -> bool:
    """Say whether a callback has the very segments of a polled body that is complete, speakers aside."""
    try:
        ours, theirs = read(came), read(polled)
        same = _unspoken(ours) == _unspoken(theirs)
        return same and _status(ours) == _status(theirs) == "COMPLETED"
    except (Unreadable, ecmascript.NotJson):
        return False


def _unspoken(document: dict[str, Any]) -> list[Segment]:
    return [
        msgspec.structs.replace(segment(index, item), speaker=None)
        for index, item in enumerate(_listed(document, required=True))
    ]


def _result(document: dict[str, Any], job_id: str, roles: Roles, *, failed: bool) -> Result:
    segments = tuple(segment(index, item) for index, item in enumerate(_listed(document, required=not failed)))
    metadata = _metadata(document, failed=failed)
    return Result(
        kind="transcript",
        operation="transcription",
        job_id=job_id,
        status="failed" if failed else "completed",
        completed_at=moment(document.get("createdAt")),
        text=None if failed and not segments else lines(segments),
        speakers=speakers(segments, roles),
        segments=segments,
        error=ResultError(code="ERROR", message=_text(document, "errorMessage")) if failed else None,
        metadata=metadata,
        volatile=_COPIED,
    )


def _status(document: dict[str, Any]) -> str:
    """Return the status. A callback has none: it comes when the work is done."""
    name = _status_name(document)
    status = _text(document, name)
    if status not in {None, "COMPLETED", "PENDING", "ERROR"}:
        raise Unreadable(f"member {name} is none of COMPLETED, PENDING, ERROR")
    return status or "COMPLETED"


def _status_name(document: dict[str, Any]) -> str:
    """Return the member that holds the status: the page's declared type and its printed example differ."""
    return "processingStatus" if document.get("processingStatus") is not None else "transcriptionStatus"


def _listed(document: dict[str, Any], *, required: bool) -> list[Any]:
    value = document.get("transcription")
    if value is None and not required:
        return []
    if "transcription" not in document:
        raise Unreadable("member transcription is missing")
    if not isinstance(value, list):
        raise _wrong("transcription", value, "a list")
    return value


def segment(index: int, value: Any) -> Segment:
    """Read one segment. Raises Unreadable."""
    where = f"transcription[{index}]"
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    return Segment(
        start=_seconds(value, "start", where),
        end=_seconds(value, "end", where),
        speaker=_speaker(value, where),
        text=_text(value, "text", where),
    )


def _speaker(segment: dict[str, Any], where: str) -> str | None:
    """Return the label as given; a number is taken too, since the documented label is a digit as text."""
    value = segment.get("speaker")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ecmascript.text(value)
    return _text(segment, "speaker", where) or None


def _seconds(owner: dict[str, Any], name: str, where: str) -> float | None:
    value = owner.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(f"{where}.{name}", value, "a number")
    return float(value) if math.isfinite(value) else None


def _text(owner: dict[str, Any], name: str, where: str = "") -> str | None:
    value = owner.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(f"{where}.{name}" if where else name, value, "a string")


def moment(value: Any) -> str | None:
    """Read Unix milliseconds, as a number (the page's example) or as digits (its type); anything else is no time."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_10000:
        return None
    return from_ms(int(value)) if value == int(value) else None


def lines(segments: Iterable[Segment]) -> str:
    """Return the whole text, a line for each segment."""
    return "\n".join(segment.text for segment in segments if segment.text is not None)


def speakers(segments: Iterable[Segment], roles: Roles) -> tuple[Speaker, ...]:
    """Return the speakers as they appear; a segment without both times, or one that ends early, adds nothing."""
    talked: dict[str, float | None] = {}
    for segment in segments:
        if segment.speaker is None:
            continue
        so_far = talked.setdefault(segment.speaker, None)
        if segment.start is not None and segment.end is not None and segment.end >= segment.start:
            talked[segment.speaker] = (so_far or 0.0) + segment.end - segment.start
    return tuple(
        Speaker(id=label, label=label, role=roles.get(label), talk_time=None if talk is None else round(talk, 3))
        for label, talk in talked.items()
    )


def _metadata(document: dict[str, Any], *, failed: bool) -> dict[str, Any]:
    """Return what has no place of its own: members under their names, those of segments by index."""
    placed = {"requestId", "transcription", "signature", _status_name(document)}
    if failed:
        placed.add("errorMessage")
    if moment(document.get("createdAt")) is not None:
        placed.add("createdAt")
    metadata = {name: value for name, value in document.items() if name not in placed and value is not None}
    extras = {
        str(index): {name: value for name, value in item.items() if name not in _OF_SEGMENT}
        for index, item in enumerate(document.get("transcription") or ())
        if not item.keys() <= _OF_SEGMENT
    }
    return {**metadata, "transcription": extras} if extras else metadata


def _wrong(where: str, value: Any, wanted: str) -> Unreadable:
    return Unreadable(f"member {where} is {_kind(value)}, not {wanted}")


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
