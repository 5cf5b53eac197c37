"""Which deliveries or events an operator means: a filter as conditions that the store understands."""

from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import DeliveryState
from receiver.store.ids import EVENT, at, decode
from receiver.store.listing import is_state, milliseconds
from receiver.store.store import Engine

MISSING = "missing"
"""A state for `replay`: events that a sink takes and that never were on their way to it, such as those before it."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is meant. Times as texts, RFC 3339 or a day, by when delivery or event was made; `type` may be a glob."""

    state: str = DeliveryState.DEAD.value
    sink: str | None = None
    source: str | None = None
    event: str | None = None
    type: str | None = None
    since: str | None = None
    until: str | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries go from one sink to another: those that wait, `dead` ones too where it is said."""

    from_: str = msgspec.field(name="from")
    to: str
    dead: bool = False
    source: str | None = None
    event: str | None = None
    type: str | None = None
    since: str | None = None
    until: str | None = None

    def chosen(self, state: str) -> Chosen:
        """Return the same as a filter for deliveries in one state."""
        given = {name: getattr(self, name) for name in ("source", "event", "type", "since", "until")}
        return Chosen(state=state, sink=self.from_, **given)


class Where:
    """Conditions and their parameters; `column` is the id by which rows are walked, `end` the first that is not meant."""

    def __init__(self, column: str, end: int) -> None:
        self.column = column
        self.conditions = [f"{column} < :end"]
        self.params: dict[str, Any] = {"end": end}

    def add(self, condition: str, **params: Any) -> None:
        """Add a condition."""
        self.conditions.append(condition)
        self.params |= params

    def among(self, column: str, name: str, values: Collection[str]) -> None:
        """Add that a column has one of these values."""
        params = {f"{name}{number}": value for number, value in enumerate(values)}
        self.add(f"{column} IN ({', '.join(':' + key for key in params)})" if params else "1 = 0", **params)


async def of_deliveries(engine: Engine, chosen: Chosen, end: int) -> Where:
    """Return the conditions for deliveries. Raises UsageError, which names the parameter."""
    where = Where("d.id", end)
    where.add(is_state("d.state", DeliveryState(chosen.state), DeliveryState.DELIVERED))
    if chosen.sink is not None:
        where.add("d.sink = :sink", sink=chosen.sink)
    return await _narrowed(engine, chosen, where)


async def of_events(engine: Engine, chosen: Chosen, end: int) -> Where:
    """Return the conditions for events that never were on their way to the sink; those about sinks are left out."""
    if chosen.sink is None:
        raise UsageError(f"sink: state {MISSING} asks which sink lacks the events")
    where = Where("e.id", end)
    where.add("NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.event_id = e.id AND d.sink = :sink)", sink=chosen.sink)
    where.add("e.type NOT LIKE 'ops.%'")
    return await _narrowed(engine, chosen, where)


async def _narrowed(engine: Engine, chosen: Chosen, where: Where) -> Where:
    if chosen.source is not None:
        where.add("e.source = :source", source=chosen.source)
    if chosen.event is not None:
        where.add("e.id = :event", event=_read("event", lambda text: decode(EVENT, text), chosen.event))
    if chosen.since is not None:
        where.add(f"{where.column} >= :since", since=_read("since", _moment, chosen.since))
    if chosen.until is not None:
        where.add(f"{where.column} < :until", until=_read("until", _moment, chosen.until))
    if chosen.type is not None:
        types = [row[0] for row in await engine.rows("event_types")]
        where.among("e.type", "type", [one for one in types if fnmatchcase(one, chosen.type)])
    return where


def _moment(text: str) -> int:
    return at(milliseconds(text))


def _read(name: str, read: Callable[[str], int], text: str) -> int:
    try:
        return read(text)
    except (ValueError, OverflowError, NotFound) as error:
        raise UsageError(f"{name}: {error}") from None
