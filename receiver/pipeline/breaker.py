"""Breaker: whether a sink may be sent to. It trips after failures and is probed; an operator's word counts before that."""

import contextlib
import time
from collections.abc import Callable, Sequence

import structlog

from receiver.contract.errors import StoreError
from receiver.contract.model import SinkState
from receiver.contract.sink import Delivered, Rejected, SendOutcome, TryLater
from receiver.pipeline.attempt import cut
from receiver.pipeline.schedule import Health
from receiver.store.records import SinkRow
from receiver.store.store import Store

log = structlog.get_logger()

_LOOK = 1.0
"""Seconds between two looks for what an operator said."""


class Breaker:
    """The breaker of one sink: its health here, and what the store knows of it for others and for the next start."""

    def __init__(self, sink: str, store: Store, now: Callable[[], float]) -> None:
        """`now` is Unix seconds."""
        self.health = Health()
        self._sink = sink
        self._store = store
        self._now = now
        self._looked: float | None = None
        self._remembered = 0

    @property
    def state(self) -> SinkState:
        """Return whether the sink runs, has tripped, or is paused."""
        return self.health.state

    def allowed(self, most: int) -> int:
        """Return how many sends may be under way at once, of `most`."""
        return self.health.allowed(self._now(), most)

    def probe_in(self) -> float:
        """Return the seconds until the next probe of a sink that tripped."""
        return self.health.probe_at - self._now()

    def elsewhere(self) -> None:
        """Another process sends to this sink for now, and knows better how it fares."""
        self._looked = None

    async def look(self) -> SinkState | None:
        """See what an operator said, now and then; return the state that was ordered, if one was. Raises StoreError."""
        first, now = self._looked is None, time.monotonic()
        if self._looked is not None and now - self._looked < _LOOK:
            return None
        row = (await self._store.sinks()).get(self._sink)
        self._looked = now
        if row is None:
            return None
        state = SinkState(row.state)
        if first:  # as it was before the start; a sink that had tripped is probed at once
            self.health = Health(state, row.failures)
            self._remembered = row.updated_at
        elif self.health.is_ordered(state, later=row.updated_at > self._remembered):
            self.health.ordered(state)
            log.info("sink.state", sink=self._sink, state=str(state))
            return state
        return None

    async def judge(self, outcomes: Sequence[SendOutcome], *, probing: bool) -> str | None:
        """Let a batch count for or against the sink, where one success is a sink that works; return why it tripped, if it did."""
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            if self.health.succeeded():
                log.info("sink.resumed", sink=self._sink)
                await self._remember()
            return None
        if self.state is SinkState.TRIPPED and not probing:
            return None  # sent before it tripped: tells nothing new
        last = outcomes[-1]
        return await self.failed(last.reason if isinstance(last, TryLater | Rejected) else "")

    async def failed(self, reason: str) -> str | None:
        """Count a failure; return why the sink tripped, where it did so by this one."""
        tripped = self.health.failed(self._now(), reason)
        log.warning("delivery.failed", sink=self._sink, failures=self.health.failures, reason=cut(reason))
        if self.state is SinkState.TRIPPED:
            await self._remember()
        return reason if tripped else None

    async def _remember(self) -> None:
        health = self.health
        with contextlib.suppress(StoreError):
            await self._store.put_health(
                SinkRow(
                    name=self._sink,
                    state=health.state,
                    failures=health.failures,
                    reason=cut(health.reason),
                    probe_at=int(health.probe_at * 1000),
                )
            )
            self._remembered = self._store.now_ms()
