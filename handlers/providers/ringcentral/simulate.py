"""Makes another job's body of a recorded one, for `simulate` and load tests."""

import hashlib
import re
import uuid
from typing import Any

import msgspec

_GROWING = ("words", "utterances", "utteranceInsights", "texts", "")
"""Lists in `response` that can be said again; "" stands for a response that is a list itself."""

_TIMES = ("start", "end")


def fresh(body: bytes, serial: str, grow_to: int = 0) -> bytes:
    """Return `body` with the jobId that `serial` makes, and at least `grow_to` bytes where something can be repeated."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return body + serial.encode()
    if not isinstance(document, dict):
        return body
    document = {"jobId": job_id(serial), **{name: value for name, value in document.items() if name != "jobId"}}
    missing = grow_to - len(msgspec.json.encode(document))
    if missing > 0:
        _grow(document, missing)
    return msgspec.json.encode(document)


def job_id(serial: str) -> str:
    """Return a version-1 UUID, as every sample's jobId is, on a node with the samples' prefix 00:50:56."""
    made = hashlib.sha256(serial.encode("utf-8", "surrogatepass")).digest()
    return str(uuid.UUID(bytes=made[:10] + b"\x00\x50\x56" + made[10:13], version=1))


def _grow(document: dict[str, Any], missing: int) -> None:
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
