"""Endings: how attempts ended is written beside the sends, one transaction at a time for all that ended meanwhile."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from receiver import logs
from receiver.contract.model import DeliveryState
from receiver.store.ids import DELIVERY, encode
from receiver.store.records import DueDelivery, Tried
from receiver.store.store import Store

log = structlog.get_logger()

Ending = tuple[DueDelivery, Tried]

_GROUP = 512
"""Endings that are worth a transaction of their own: smaller groups cost more for each."""
_MOMENT = 0.02
"""Seconds that an ending waits for others at most."""


class Endings:
    """What one sink's attempts came to and is not on disk yet.

    What a crash loses of it is sent a second time, under the same id.
    """

    def __init__(
        self,
        store: Store,
        *,
        buried: Callable[[DueDelivery, Tried], Awaitable[None]],
        written: Callable[[Sequence[Ending]], None],
        wake: Callable[[], None],
        busy: Callable[[], bool],
    ) -> None:
        """`written` is told of each group that is on disk, `buried` of each delivery in it that is dead, and `wake` that a
        group ended, also of one that failed.

        While `busy` says that more ends at once and nobody waits for what ended, a group may wait a moment to grow.
        """
        self._store = store
        self._buried = buried
        self._written = written
        self._wake = wake
        self._more_soon = busy
        self._grown = asyncio.Event()
        self._left: list[Ending] = []
        self._writing: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    def __len__(self) -> int:
        """Return how many wait to be written."""
        return len(self._left)

    @property
    def busy(self) -> bool:
        """Say whether something is being written, or waits to be."""
        return self._writing is not None or bool(self._left)

    def add(self, endings: Sequence[Ending]) -> None:
        """Write these next; after a failure not before `again`."""
        self._left += endings
        if len(self._left) >= _GROUP:
            self._grown.set()
        if self._error is None:
            self._begin()

    def again(self) -> None:
        """Begin anew where writing failed, and raise what it failed with."""
        if (error := self._error) is not None:
            self._begin()
            raise error

    async def flush(self) -> None:
        """Wait until everything is written. Raises StoreError, and what is not written stays."""
        await self._idle()
        self._begin()
        await self._idle()
        if self._error is not None:
            raise self._error

    async def _idle(self) -> None:
        while self._writing is not None:
            await asyncio.wait([self._writing])

    def _begin(self) -> None:
        self._error = None
        if self._left and self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="write endings")

    async def _write(self) -> None:
        try:
            while self._left:
                await self._grow()
                await self._write_group()
                self._wake()
        except Exception as error:  # noqa: BLE001 -- raised again by `again` and `flush`
            self._error = error
        finally:
            self._writing = None
            self._wake()

    async def _grow(self) -> None:
        self._grown.clear()
        if len(self._left) < _GROUP and self._more_soon():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MOMENT):
                    await self._grown.wait()

    async def _write_group(self) -> None:
        group, self._left = self._left, []
        try:
            await self._store.tried([one for _, one in group])
        except BaseException:
            self._left = group + self._left
            raise
        self._written(group)
        if logs.is_on("debug"):
            _log([one for _, one in group if one.outcome and one.state != DeliveryState.DEAD])
        for row, one in group:
            if one.state == DeliveryState.DEAD:
                await self._buried(row, one)


def _log(attempts: Sequence[Tried]) -> None:
    for one in attempts:
        line = {"outcome": one.outcome, "attempt": one.number, "ms": one.duration, "detail": one.detail}
        log.debug("delivery.attempted", id=encode(DELIVERY, one.delivery_id), **line)
