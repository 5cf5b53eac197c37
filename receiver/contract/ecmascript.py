"""JSON as JavaScript reads and writes it, for providers that sign values as JavaScript prints them.

`parse` takes JSON text to Python values, `stringify` is JSON.stringify, `text` is String, `entries` is Object.entries.
Rules: ECMA-262, sections 25.5 (JSON), 6.1.6.1.20 (Number::toString) and 10.1.11.1 (order of keys). The tests compare
them with Node.
"""

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NoReturn

from receiver.contract.errors import Unreadable

MAX_DEPTH = 100
"""Lists and objects may stand in each other this deep."""

_EXACT = 2**53
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJson(Unreadable):
    """The bytes are not JSON as we take it: the only error that `parse` raises."""


def parse(body: bytes) -> Any:
    """Read JSON; integers of 64 bits become `int`, other numbers `float`; lone surrogates stay in strings.

    Raises NotJson for anything but UTF-8 JSON, for NaN and Infinity, for a member that appears twice in an object, and
    for nesting deeper than MAX_DEPTH.
    """
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _bound_depth(value)
    return value


def stringify(value: Any) -> str:
    """Return what JSON.stringify gives for a value that `parse` made."""
    written = _json(value)
    if written.isascii() or _SURROGATE.search(written) is None:
        return written
    return _SURROGATE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", written)


def text(value: Any) -> str:
    """Return what String(value) gives, "" for null, and JSON.stringify for objects and lists."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity"
    return stringify(value)


def entries(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return the members in JavaScript's order: array indexes ascending, then the others as they came."""
    if not value or min(value) >= ":":
        return value.items()
    indexes = sorted((key for key in value if _is_index(key)), key=int)
    return [(key, value[key]) for key in (*indexes, *(key for key in value if not _is_index(key)))]


def well_formed(value: Any) -> Any:
    """Return a value that UTF-8 can hold: each lone surrogate becomes U+FFFD, as String.prototype.toWellFormed does."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {well_formed(key): well_formed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [well_formed(item) for item in value]
    return value


def _json(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is float or kind is int:
        return _number(value)
    if kind is dict:
        return "{" + ",".join([f"{encode_basestring(key)}:{_json(item)}" for key, item in entries(value)]) + "}"
    if kind is list:
        return "[" + ",".join([_json(item) for item in value]) + "]"
    return "null" if value is None else "true" if value else "false"


def _number(value: float) -> str:
    if type(value) is int:
        if -_EXACT <= value <= _EXACT:
            return repr(value)
        value = float(value)
    shown = repr(value)
    if shown.endswith(".0"):
        return "0" if value == 0 else shown[:-2]
    if "n" in shown:  # inf, nan: JSON has no such numbers
        return "null"
    return _scientific(shown) if "e" in shown else shown


def _scientific(shown: str) -> str:
    """Rewrite Python's exponent form (from 1e16 and below 1e-4) as JavaScript's (from 1e21 and below 1e-6)."""
    mantissa, _, exponent = shown.partition("e")
    power = int(exponent)
    return format(Decimal(shown), "f") if -7 < power < 21 else f"{mantissa}e{power:+d}"


def _is_index(key: str) -> bool:
    """Say whether JavaScript takes a key for an array index: canonical digits below 2**32 - 1."""
    digits = key.isascii() and key.isdigit() and len(key) <= 10
    return digits and (key == "0" or key[0] != "0") and int(key) < 2**32 - 1


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJson(f"member {twice[:64]!r} appears twice")
    return members


def _integer(digits: str) -> float:
    if len(digits) <= 20 and -(2**63) <= (value := int(digits)) < 2**64:
        return value
    return float(digits)


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"not JSON: {name}")


def _bound_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _inner(outer)]
        if not level:
            return
    raise _too_deep()


def _inner(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


def _too_deep() -> NotJson:
    return NotJson(f"nested deeper than {MAX_DEPTH}")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer, parse_constant=_no_constant)
