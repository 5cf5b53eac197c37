"""Claims: what is due to a sink is taken from the store, more of it and further ahead the faster it is used up."""

import time
from collections.abc import Callable
from typing import Any

import structlog

from receiver.contract.sink import Sink
from receiver.pipeline.endings import Endings
from receiver.pipeline.taken import Taken
from receiver.store.records import DueDelivery
from receiver.store.store import Store

log = structlog.get_logger()

_CLAIM = 1024
"""Deliveries that are taken from the store at once at most."""
_CLAIM_BYTES = 16 * 1024 * 1024
"""Events that a sink has in memory at once, but for one larger than that."""
_AHEAD = 4
"""How many times the concurrency is taken from the store at once; twice as many as before where that was used up soon."""
_SOON = 0.25
_HELD = _CLAIM
"""Deliveries that may wait behind others of their calls before no more such are taken."""
_DEEP = 4
"""Of one call: each that waits is looked at with every other that might be taken of it."""
_UNWRITTEN = 4 * _CLAIM
"""Endings that may wait for the store before nothing more is taken."""


class Claims:
    """Takes deliveries to one sink, one claim at a time."""

    def __init__(self, sink: Sink[Any], store: Store, taken: Taken, endings: Endings, *, most: int) -> None:
        """`taken` is what they are put into; `most` is how many sends may be under way at once."""
        self._sink = sink
        self._store = store
        self._taken = taken
        self._endings = endings
        self._most = most
        self._by = 0
        self._ahead = 0
        self._at = 0.0
        self._doubtful = True  # whoever sent to this sink before, in this process, may have left some behind
        self.more = False
        """Whether there may be more to take at once."""

    @property
    def low(self) -> bool:
        """Say whether so little of what was taken is left that more should be, before the last of it starts."""
        return len(self._taken) <= self._sink.batch * self._ahead // 2

    @property
    def valid(self) -> bool:
        """Say whether what was taken is ours: it was taken under the start number that the process has."""
        return self._by == self._store.start

    def drop_lost(self) -> None:
        """Let go of what was taken under a start number that is lost: it belongs to somebody else."""
        if not self.valid:
            self._taken.lose()

    async def take(
        self, free: int, *, deep: bool, one: bool, sending: bool, steady: Callable[[], bool]
    ) -> list[DueDelivery]:
        """Take what is due for `free` sends, `one` alone where a sink is probed; return what must go back.

        Not `deep`: nothing far behind calls that wait, which costs time while others are sent. `sending` says whether any
        send is under way, `steady` whether nothing slows the sink down. Raises StoreError.
        """
        room = _CLAIM_BYTES - self._taken.size
        if room <= 0 or len(self._endings) >= _UNWRITTEN or not await self._is_sure(sending=sending):
            return []
        self._ahead = self._further(free) if steady() else free
        limit = 1 if one else min(_CLAIM, self._sink.batch * self._ahead)
        self.drop_lost()
        self._by = self._store.start
        self._doubtful = True
        self._taken.expect()
        due = await self._store.due(
            self._sink.name,
            limit,
            in_order=self._taken.in_order,
            deep=deep,
            following=self._may_follow(room),
            max_bytes=room,
        )
        self._doubtful = not self.valid  # under which start number these were taken is not known any more
        self.more = steady() and (bool(due) if self._taken.in_order else 2 * len(due) >= limit)
        now = time.monotonic()
        for row in due:
            row.taken_at = now
        return self._taken.add(due)

    def _may_follow(self, room: int) -> bool:
        """Say whether there is room for deliveries that can only wait: they must not keep out others that could go."""
        return self._taken.held < _HELD and 2 * room > _CLAIM_BYTES and self._taken.deepest() < _DEEP

    async def _is_sure(self, *, sending: bool) -> bool:
        """Say whether all that counts as in flight here is known; what was taken unheard goes back where it was.

        A claim whose answer was lost may have been made, and nobody else would ever take it from a process that lives.
        """
        if self._doubtful and not (sending or self._taken or self._endings.busy):
            if count := await self._store.take_back(self._sink.name):
                log.warning("deliver.taken_back", sink=self._sink.name, count=count)
            self._doubtful = False
        return not self._doubtful

    def _further(self, free: int) -> int:
        """Return how many sends to take at once: more than can start, as nothing slows the sink down."""
        now, before = time.monotonic(), self._at
        self._at = now
        usual = max(free, _AHEAD * self._most)
        return max(usual, min(self._ahead * 2, _CLAIM)) if now - before < _SOON else usual
