"""Leaves: every value of a body is an object of its own, so that those which no expression took are known afterwards.

JMESPath hands on the objects that it finds. So a body is copied with texts and numbers that are told apart by
identity, expressions are evaluated on the copy, and whatever was not taken stays visible.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from receiver.contract.expressions import Expression

T = TypeVar("T")

# JMESPath judges types by the names of their classes: these are called as what they stand for.
_Text = type("str", (str,), {"__slots__": ()})
_Whole = type("int", (int,), {})
_Real = type("float", (float,), {})

_NOTHING: Any = object()


class Leaves:
    """A body being read: `document` is what expressions are evaluated on."""

    def __init__(self, document: Any) -> None:
        self.document = marked(document)
        self._taken: set[int] = set()

    def take(self, expression: Expression | None, scope: Any, read: Callable[[Any], T | None]) -> T | None:
        """Return what `read` makes of an expression's value, and count its leaves as taken; None takes nothing."""
        if expression is None:
            return None
        value = expression.of(scope)
        if value is None:
            return None
        found = read(plain(value))
        if found is not None:
            self.count(value)
        return found

    def count(self, value: Any) -> None:
        """Count every leaf of a value as taken."""
        if isinstance(value, dict):
            for item in value.values():
                self.count(item)
        elif isinstance(value, list):
            for item in value:
                self.count(item)
        elif not isinstance(value, bool):
            self._taken.add(id(value))

    def left(self, leave_out: Mapping[str, str]) -> dict[str, Any]:
        """Return the leaves that nobody took, by dotted path, lists whole; without those that are left out."""
        return dict(_flat(self._left(self.document, "", leave_out)))

    def _left(self, value: Any, path: str, leave_out: Mapping[str, str]) -> Any:
        if isinstance(value, dict):
            members = ((key, self._left(item, f"{path}.{key}".lstrip("."), leave_out)) for key, item in value.items())
            return {key: item for key, item in members if item is not _NOTHING} or _NOTHING
        if isinstance(value, list):
            items = (self._left(item, f"{path}[]", leave_out) for item in value)
            return [item for item in items if item is not _NOTHING] or _NOTHING
        if value is None or id(value) in self._taken or _is_left_out(path, leave_out):
            return _NOTHING
        return plain(value)


def marked(value: Any) -> Any:
    """Return a copy of JSON in which every text and number is an object of its own."""
    kind = type(value)
    if kind is dict:
        return {key: marked(item) for key, item in value.items()}
    if kind is list:
        return [marked(item) for item in value]
    if kind is str:
        return _Text(value)
    if kind is int:
        return _Whole(value)
    return _Real(value) if kind is float else value


def plain(value: Any) -> Any:
    """Return JSON of the usual types again."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else None


def _is_left_out(path: str, table: Mapping[str, str]) -> bool:
    return path in table or any(path.startswith(known[:-1]) for known in table if known.endswith(".*"))


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{path}.{key}" if path else key)]
    return [] if value is _NOTHING else [(path, value)]
