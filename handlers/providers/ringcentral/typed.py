"""Reads JSON values as typed ones; what has another shape is Unreadable, named by member and type, never by content."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from receiver.contract.errors import Unreadable

T = TypeVar("T")

Number = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""Seconds or a score: an integer, a float, or one of these as text (SPEC and samples disagree); no NaN or infinity."""


def read(kind: type[T], value: Any, path: str) -> T:
    """Return `value`, found at `path`, as a `kind`. Raises Unreadable."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise Unreadable(f"{path}{where.rstrip('`')}: {what[:1].lower()}{what[1:]}") from None


def unplaced(items: Iterable[Mapping[str, Any]], known: frozenset[str], path: str) -> dict[str, Any]:
    """Return the members of `items` that are not known, by their paths in the body."""
    items = list(items)
    if set[str]().union(*items) <= known:
        return {}
    return {
        f"{path}[{index}].{member}": value
        for index, item in enumerate(items)
        for member, value in item.items()
        if member not in known
    }
