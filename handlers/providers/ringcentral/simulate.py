"""Makes another job's body, or another notification, of a recorded one, for `simulate` and load tests."""

import hashlib
import re
import uuid
from typing import Any

import msgspec

from handlers.providers.ringcentral.identity import is_notification

_GROWING = ("words", "utterances", "utteranceInsights", "texts", "")
"""Lists in `response` that can be said again; "" stands for a response that is a list itself."""

_TIMES = ("start", "end")

_SESSION = ("telephonySessionId", "sourceSessionId")
_NUMBERS = ("uuid", "sourceRecordId", "sessionId")
"""Members of a notification that are its own, or of what it is about: ids of sessions, and numbers as text."""


def fresh(body: bytes, serial: str, grow_to: int = 0) -> bytes:
    """Return `body` with the ids that `serial` makes, and at least `grow_to` bytes where something can be repeated."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return body + serial.encode()
    if not isinstance(document, dict):
        return body
    if is_notification(document):
        document = _renamed({"uuid": "", **document}, _digest(serial).hex())
    else:
        document = {"jobId": job_id(serial), **{name: value for name, value in document.items() if name != "jobId"}}
    missing = grow_to - len(msgspec.json.encode(document))
    if missing > 0:
        _grow(document, missing)
    return msgspec.json.encode(document)


def job_id(serial: str) -> str:
    """Return a version-1 UUID, as every sample's jobId is, on a node with the samples' prefix 00:50:56."""
    made = _digest(serial)
    return str(uuid.UUID(bytes=made[:10] + b"\x00\x50\x56" + made[10:13], version=1))


def _digest(serial: str) -> bytes:
    return hashlib.sha256(serial.encode("utf-8", "surrogatepass")).digest()


def _renamed(envelope: dict[str, Any], seed: str) -> dict[str, Any]:
    """Give a notification, the one inside `pn_apns`, and the call and recording that it is about, other ids."""
    new = dict.fromkeys(_NUMBERS, str(int(seed[:15], 16))) | dict.fromkeys(_SESSION, f"s-{seed[:32]}")
    changed = dict(envelope)
    for name, value in envelope.items():
        if name in new and isinstance(value, str | int):
            changed[name] = new[name]
        elif name in ("pn_apns", "body") and isinstance(value, dict):
            changed[name] = _renamed(value, seed)
    return changed


def _grow(document: dict[str, Any], missing: int) -> None:
    if is_notification(document):
        _grow_transcript(document, missing)
        return
    response = document.get("response")
    members = {"": response} if isinstance(response, list) else response if isinstance(response, dict) else {}
    growing = {name: items for name, items in members.items() if name in _GROWING and items and isinstance(items, list)}
    if not growing:
        return
    length = _length(growing)
    more = sum(len(msgspec.json.encode(_later(items, length))) - 1 for items in growing.values())
    times = 1 - (-missing // more)
    grown: dict[str, Any] = {name: _repeated(items, times, length) for name, items in growing.items()}
    transcript = members.get("transcript")
    if isinstance(transcript, str):
        grown["transcript"] = " ".join([transcript] * times)
    document["response"] = grown[""] if isinstance(response, list) else {**members, **grown}


def _grow_transcript(envelope: dict[str, Any], missing: int) -> None:
    """Say the transcript of ACE insights again, where there is one."""
    insights = _below(envelope, "body", "insights") or _below(envelope, "pn_apns", "body", "insights")
    lines = _below(insights, "Transcript")
    if isinstance(lines, list) and lines:
        length = _length(lines)
        more = len(msgspec.json.encode(_later(lines, length))) - 1
        insights["Transcript"] = _repeated(lines, 1 - (-missing // more), length)


def _below(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _length(value: Any) -> float:
    """Return the latest time below `value`."""
    text = msgspec.json.encode(value)
    return max((float(end) for end in re.findall(rb'"end":(-?[0-9.]+)', text)), default=0.0)


def _repeated(items: list[Any], times: int, length: float) -> list[Any]:
    return [_later(item, turn * length) for turn in range(times) for item in items]


def _later(value: Any, by: float) -> Any:
    if isinstance(value, list):
        return [_later(item, by) for item in value]
    if isinstance(value, dict):
        return {
            name: round(item + by, 3) if name in _TIMES and isinstance(item, int | float) else _later(item, by)
            for name, item in value.items()
        }
    return value
