"""Reading a provider's JSON: values by kind, each taken out once, so that what is left over is seen and kept."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.model import Insight, Segment, Speaker

T = TypeVar("T")
Table = dict[str, Any]
Role = Literal["agent", "customer"]

_decode = msgspec.json.Decoder().decode
_SURROGATES = re.compile("[\ud800-\udfff]")
_NAMES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
}
_ROLES: Mapping[str, Role] = {"agent": "agent", "customer": "customer"}
_DEEPEST = 12
"""Objects further down than this stay whole."""


def json_name(value: Any) -> str:
    """Return the name that JSON has for the type of `value`: `object`, `array`, `string` …, `null`."""
    return _NAMES.get(type(value), "null")


def read_object(body: bytes) -> Table:
    """Read a JSON object. A byte order mark, `NaN`, `Infinity` and half a surrogate pair are forgiven.

    The first is skipped, the next two become null, the last U+FFFD. Raises Unreadable for anything else.
    """
    try:
        value = _decode(body)
    except (ValueError, RecursionError):
        value = _forgiving(body)
    if not isinstance(value, dict):
        raise Unreadable(f"the body is a JSON {json_name(value)}; an object was expected")
    return value


def _forgiving(body: bytes) -> Any:
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_null, parse_float=_finite)
        return _decode(_SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8 text") from None
    except RecursionError:
        raise Unreadable("the body is nested too deeply") from None
    except ValueError:
        raise Unreadable("the body is not JSON") from None


def _null(_word: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def text(value: Any) -> str | None:
    """Return a string with content, else None."""
    return value if isinstance(value, str) and value else None


def identifier(value: Any) -> str | None:
    """Return an identifier: a string with content, or a whole number as its digits; else None."""
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int and 0 <= value < 1 << 63 else None


def number(value: Any) -> float | None:
    """Return a number that a float holds exactly enough, else None; a boolean is none."""
    if type(value) is float:
        return value
    return value if type(value) is int and abs(value) < 1 << 53 else None


def texts(value: Any) -> tuple[str, ...] | None:
    """Return a list of nothing but strings, else None."""
    return tuple(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def table(body: Table, key: str) -> Table:
    """Take the object at `key` out of `body`; where there is none, return an empty one and leave `body` as it is."""
    return body.pop(key) if isinstance(body.get(key), dict) else {}


def first(read: Callable[[Any], T | None], *places: tuple[Table, str]) -> T | None:
    """Return the first value that `read` can read, taken out with its equals; a value that differs is left over."""
    found: T | None = None
    for body, key in places:
        value = read(body.get(key))
        if value is not None and (found is None or value == found):
            found = value
            del body[key]
    return found


def insights(path: str, value: Any, depth: int = 0) -> Iterator[Insight]:
    """Yield every leaf below `path` under its dotted name; each object in a list is one finding, kept whole."""
    if isinstance(value, dict) and depth < _DEEPEST:
        for key, item in value.items():
            yield from insights(f"{path}.{key}", item, depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield _finding(path, item)
    elif value is not None and value not in ([], {}):
        yield Insight(name=path, value=value)


def _finding(path: str, item: Any) -> Insight:
    if not isinstance(item, dict):
        return Insight(name=path, value=item)
    return Insight(
        name=path,
        value=item,
        speaker=identifier(item.get("speaker")),
        start=number(item.get("start", item.get("timestamp"))),
        end=number(item.get("end")),
        confidence=number(item.get("confidence")),
    )


def speakers(segments: Sequence[Segment], roles: Mapping[str, Role]) -> tuple[Speaker, ...]:
    """Return who speaks, in order of appearance, with the seconds summed from their segments.

    The role is the one that `roles` has for the label, else that of the labels "Agent" and "Customer", else null.
    """
    talked: dict[str, float | None] = {}
    for segment in segments:
        if segment.speaker is not None:
            talked[segment.speaker] = _plus(talked.get(segment.speaker), segment.start, segment.end)
    return tuple(
        Speaker(id=label, role=roles.get(label) or _ROLES.get(label.lower()), talk_time=seconds)
        for label, seconds in talked.items()
    )


def _plus(total: float | None, start: float | None, end: float | None) -> float | None:
    if start is None or end is None or end < start:
        return total
    return round((total or 0) + end - start, 3)


def joined(segments: Sequence[Segment]) -> str | None:
    """Return the text of the segments, one a line, or None where there is none."""
    return "\n".join(segment.text for segment in segments if segment.text) or None
