"""Values of an event's data as words for people; anything of another shape is nothing, and nothing raises."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers.sinks.slack.blocks import one_line


def read(data: bytes) -> dict[str, Any]:
    """Return the event's data, if it is an object; the slower decoder knows lone surrogates."""
    for decode in (msgspec.json.decode, json.loads):
        try:
            return table(decode(data))
        except (ValueError, RecursionError):
            continue
    return {}


def table(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list) else []


def word(value: Any, limit: int = 200) -> str:
    """Return a scalar as one line; anything else as nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)[:40]
    return one_line(value, limit) if isinstance(value, str) else ""


def joined(parts: Iterable[tuple[str, str]]) -> str:
    """Return the values that are there, each after its name, on one line."""
    return " · ".join(name + value for name, value in parts if value)


def moment(value: str) -> str:
    """Return an RFC 3339 time for people, in UTC; other text as it is."""
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None:
            return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        pass
    return word(value, 40)


def span(value: Any) -> str:
    """Return seconds as `1 h 2 min 3 s`; nothing for what is no length."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e8:
        return ""
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def clock(value: Any) -> str:
    """Return seconds as a position in the recording, `1:02:03`."""
    if not span(value):
        return ""
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def value_of(value: Any, limit: int = 200) -> str:
    """Return any JSON value as one line."""
    try:
        return word(value, limit) or one_line(json.dumps(value, ensure_ascii=False), limit)
    except RecursionError:
        return "…"
