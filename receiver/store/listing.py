"""Reading page by page: parameters become conditions, places become cursors; the same for API and command line.

A page goes on after the last row of the one before, by key and not by number: rows added meanwhile move nothing.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from receiver.contract.errors import NotFound, UsageError
from receiver.store import ids, sql
from receiver.store.store import Engine

DEFAULT_LIMIT = 50
MOST = 1000
_LAST = (1 << 63) - 1
_NO_CALL = -1
_TIME = {"type": "string", "description": "RFC 3339, or a day", "examples": ["2026-11-20T08:00:00Z", "2026-11-20"]}

Condition = tuple[str, dict[str, Any]]


class Filter(msgspec.Struct, frozen=True):
    """Makes a condition, with its parameters, of a text: `read` raises UsageError or ValueError, which says what was expected.

    `schema` says the same of the text as JSON schema.
    """

    read: Callable[[str], Condition]
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})

    def __call__(self, text: str) -> Condition:
        """Read a text."""
        return self.read(text)


class Asked(msgspec.Struct, kw_only=True):
    """One page that is asked for."""

    where: list[str]
    params: dict[str, Any]
    limit: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A list: its name, the columns that order it (newest first), and its filters by the names of their parameters."""

    name: str
    order: tuple[str, ...]
    filters: dict[str, Filter]

    def read(self, given: Mapping[str, str]) -> Asked:
        """Read the parameters of a request or command. Raises UsageError, which names the parameter."""
        known = [*self.filters, "limit", "cursor"]
        if unknown := sorted(set(given) - set(known)):
            raise UsageError(f"{unknown[0][:40]!r} is no parameter of {self.name}; known are {', '.join(known)}")
        where, params = self._place(given.get("cursor"))
        for name in given:
            if name in self.filters:
                condition, values = _read(name, self.filters[name], given[name])
                where.append(condition)
                params |= values
        limit = _read("limit", _limit, given["limit"])[1]["limit"] if "limit" in given else DEFAULT_LIMIT
        return Asked(where=where, params={**params, "limit": limit + 1}, limit=limit)

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Return the JSON schema of each parameter by its name."""
        limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}
        filters = {name: one.schema for name, one in self.filters.items()}
        return {**filters, "limit": limit, "cursor": {"type": "string", "description": "`next` of the page before"}}

    def cursor(self, place: Sequence[int]) -> str:
        """Return the cursor that goes on after a row, by the values of its `order`."""
        return base64.urlsafe_b64encode(msgspec.json.encode([self.name, *place])).decode().rstrip("=")

    def _place(self, cursor: str | None) -> tuple[list[str], dict[str, Any]]:
        place = [_LAST] * len(self.order) if cursor is None else self._decoded(cursor)
        names = [f"before{number}" for number in range(len(place))]
        slots = ", ".join(f":{name}" for name in names)
        below = f"({', '.join(self.order)}) < ({slots})" if len(place) > 1 else f"{self.order[0]} < {slots}"
        return [below], dict(zip(names, place, strict=True))

    def _decoded(self, cursor: str) -> list[int]:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            name, *place = msgspec.json.decode(raw, type=list[int | str])
        except (binascii.Error, ValueError, msgspec.DecodeError):
            name, place = "", []
        numbers = [number for number in place if isinstance(number, int) and 0 <= number <= _LAST]
        if name != self.name or len(numbers) != len(self.order) or len(place) != len(numbers):
            raise UsageError(f"cursor: it is none of {self.name}; take `next` of the page before, or leave it out")
        return numbers


def equal(column: str, name: str) -> Filter:
    """Filter by a text."""
    return Filter(lambda text: (f"{column} = :{name}", {name: text}))


def word(column: str, words: type[StrEnum], usual: StrEnum | None = None) -> Filter:
    """Filter by one of a set of words; `usual` is the one that a partial index of the column leaves out."""

    def read(text: str) -> Condition:
        if text not in list(words):
            raise ValueError(f"expected one of {', '.join(words)}")
        return is_state(column, text, usual), {}

    return Filter(read, {"type": "string", "enum": [str(one) for one in words]})


def is_state(column: str, state: str, usual: str | None) -> str:
    """Return the condition that a column has a known word, put so that a partial index serves it.

    SQLite does not conclude from `state = 'dead'` that `state <> 'delivered'`; its engine opens the comment. PostgreSQL does,
    and where it reads it as well, it takes both for independent, and expects a hundredth of the rows.
    """
    unusual = f" {sql.ON_SQLITE} AND {column} <> '{usual}' */" if usual not in (None, state) else ""
    return f"{column} = '{state}'{unusual}"


def one_of(column: str, name: str, prefix: str) -> Filter:
    """Filter by a public id."""
    schema = {"type": "string", "pattern": ids.pattern(prefix)}
    return Filter(lambda text: (f"{column} = :{name}", {name: ids.decode(prefix, text)}), schema)


def of_call(column: str) -> Filter:
    """Filter by a call: by our id for it, or by the customer's own, which `call_named` looks up before the query runs."""

    def read(text: str) -> Condition:
        ours = ids.is_one(text)
        return f"{column} = :call", {"call": ids.decode(ids.CALL, text) if ours else text}

    return Filter(read, {"type": "string", "description": "call_…, or the ID that was given with it"})


async def call_named(engine: Engine, params: dict[str, Any]) -> None:
    """Put our id for a call where parameters have the customer's; a provider's own is written `SOURCE:ID`."""
    if isinstance(named := params.get("call"), str):
        found = await engine.rows("known_calls", {"keys": [f":{named}", named]})
        params["call"] = min(found)[1] if found else _NO_CALL


def since(column: str, moment: Callable[[int], int] = ids.at) -> Filter:
    """Filter by the earliest time; `moment` turns Unix milliseconds into a value of the column."""
    return Filter(lambda text: (f"{column} >= :since", {"since": moment(milliseconds(text))}), _TIME)


def until(column: str, moment: Callable[[int], int] = ids.at) -> Filter:
    """Filter by a time before which it was."""
    return Filter(lambda text: (f"{column} < :until", {"until": moment(milliseconds(text))}), _TIME)


def milliseconds(text: str) -> int:
    """Read a time as Unix milliseconds: RFC 3339, or a day; without an offset it is UTC. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise ValueError("expected a time such as 2026-11-20T08:00:00Z, or a day such as 2026-11-20") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def fitting(sizes: Sequence[int], most: int) -> int:
    """Return how many from the start fit into `most` bytes together; the first always does."""
    count = 0
    for size in sizes:
        most -= size
        if count and most < 0:
            break
        count += 1
    return count


def _limit(text: str) -> Condition:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST):
        raise ValueError(f"expected a number from 1 to {MOST}")
    return "", {"limit": int(text)}


def _read(name: str, read: Callable[[str], Condition], text: str) -> Condition:
    if "\0" in text:
        raise UsageError(f"{name}: no text that is kept holds a NUL")
    try:
        return read(text)
    except (ValueError, OverflowError, NotFound) as error:
        raise UsageError(f"{name}: {error}") from None
