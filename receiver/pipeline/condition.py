"""Condition: a sink's `where`, asked of each event that its globs let through."""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from receiver.contract.errors import Unreadable
from receiver.contract.expressions import Expression
from receiver.contract.model import Event
from receiver.store.records import DueDelivery

log = structlog.get_logger()


class Happened:
    """An event about to be sent to whoever wants it; its data is read once, and only where somebody asks."""

    __slots__ = ("_data", "row")

    def __init__(self, row: DueDelivery) -> None:
        self.row = row
        self._data: Any = msgspec.UNSET

    def document(self, render: Callable[[DueDelivery], Event]) -> dict[str, Any]:
        """Return the CloudEvent as JSON has it."""
        if self._data is msgspec.UNSET:
            self._data = msgspec.json.decode(self.row.data)
        return {**render(self.row).attributes(), "data": self._data}


class Condition:
    """One sink's condition on the events that it gets."""

    def __init__(self, text: str, render: Callable[[DueDelivery], Event]) -> None:
        """`render` makes the public event of a row. Raises ConfigError for what is no expression."""
        self._expression = Expression("where", text)
        self._render = render

    def holds(self, happened: Happened, sink: str) -> bool:
        """Say whether an event goes to the sink; one on which the condition cannot be evaluated does not, and is told.

        `hookscribe replay --sink NAME --state missing` finds it once the condition is another.
        """
        try:
            return self._expression.holds(happened.document(self._render))
        except (Unreadable, ValueError, RecursionError) as error:
            row, told = happened.row, str(error) if isinstance(error, Unreadable) else type(error).__name__
            log.warning("route.not_decided", sink=sink, type=row.type, source=row.source, why=told)
            return False
