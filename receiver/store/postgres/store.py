"""The domain verbs where several processes share one database: leases, claims by source, one leader a task.

A process is alive as long as it renews its row in `workers`, by the database's clock. What it holds - a source's receipts,
deliveries being sent, tasks that it leads - carries its start number, and is checked when it completes. Once the lease has
run out, any other process frees all of it in one transaction; a process that finds its row gone takes a new number.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from receiver.contract.errors import StoreUnavailable
from receiver.store.postgres.engine import PostgresEngine
from receiver.store.postgres.errors import Lost
from receiver.store.records import Kept, NewReceipt, StoredReceipt, Writes
from receiver.store.store import Store, Tx, chosen

log = structlog.get_logger()

LEASE = 15.0
"""Seconds after which a process that does not renew its lease counts as dead."""
BEAT = 3.0
"""Seconds between two renewals."""
_SURE = LEASE - 2 * BEAT
"""Seconds after a renewal for which a process may act on what it holds without asking."""
_ASK = 2.0
"""Seconds after which a task that another process led is asked for again."""
_AGAIN = (0.1, 0.5, 1.0)
_DAY_MS = 86_400_000
_MIDNIGHT_MS = 60_000
"""How long before and after midnight UTC; more than the clocks of two hosts may differ, and than a commit takes."""
_PATIENCE = 4.0
"""Seconds after which a sender is told to come again, instead of trying once more for it."""


class SharedStore(Store):
    """A store that is one of many."""

    keeps_at_once = 2
    """While the server has one group, the next is on its way there."""

    def __init__(self, engine: PostgresEngine, now: Callable[[], float]) -> None:
        """`now` is Unix time in seconds."""
        super().__init__(engine, now)
        self.shared = engine
        self.beat_every = BEAT
        self._name = ""
        self._renewed = float("-inf")
        self._leads: set[str] = set()
        self._asked: dict[str, float] = {}

    async def register(self, name: str) -> None:
        """Take a start number whose ids no living process makes, and a lease."""
        self._name = name
        params = {"name": name, "now": self.now_ms(), "seconds": LEASE}
        begun = time.monotonic()
        for _ in range(1024):
            async with self.engine.transaction() as tx:
                found = await tx.rows("register_start", params)
            if found:
                break
        else:
            raise StoreUnavailable("1024 processes work on this store already")
        self.start = found[0][0]
        self.ids.become(self.start)
        self._renewed, self._leads, self._asked = begun, set(), {}

    async def keep(self, batch: Sequence[NewReceipt]) -> list[Kept]:
        """Keep proven requests, as in `Store`; where the answer to a commit is lost, ask what became of it.

        The second attempt finds what the first one kept by its id, and waits for one that is still on its way.
        """
        kept = await self._kept(batch)
        self.shared.tell()
        return kept

    async def _kept(self, batch: Sequence[NewReceipt]) -> list[Kept]:
        begun = time.monotonic()
        for wait in _AGAIN:
            try:
                return await super().keep(batch)
            except Lost:
                if time.monotonic() - begun > _PATIENCE:
                    raise
                await asyncio.sleep(wait)
        return await super().keep(batch)

    async def _put(self, batch: Sequence[NewReceipt]) -> int:
        """Insert receipts, as in `Store`; around midnight one process after the other.

        A message that reaches two processes at once has the same key on the same day, which the database keeps unique;
        on two days only a look at the day before tells, and that does not see what is not committed yet.
        """
        if all(_MIDNIGHT_MS <= one.received_at % _DAY_MS < _DAY_MS - _MIDNIGHT_MS for one in batch):
            return await super()._put(batch)
        async with self.engine.transaction() as tx:
            await tx.rows("alone_at_midnight")
            return await tx.insert("keep_receipts", [msgspec.structs.astuple(receipt) for receipt in batch])

    async def write(self, writes: Writes, *, claim: int = 0) -> None:
        """Write what receipts became, as in `Store`, and let those who deliver know."""
        await super().write(writes, claim=claim)
        if writes.deliveries:
            self.shared.tell()

    async def claim(self, limit: int, *, max_bytes: int) -> tuple[int, list[StoredReceipt]]:
        """Take receipts of one source that no other process has in hand, in the order of their commits.

        Returns the claim's id, 0 when nothing waits.
        """
        waiting = await self.engine.rows("waiting_sources", {"worker": self.start})
        if not waiting:
            return 0, []
        claim = self.ids.next()
        async with self.engine.transaction() as tx:
            ids = await self._take(tx, claim, [row[0] for row in waiting], limit, max_bytes)
        return (claim, await self.receipts(ids)) if ids else (0, [])

    async def _take(self, tx: Tx, claim: int, sources: Sequence[str], limit: int, max_bytes: int) -> list[int]:
        for source in sources:
            if not await tx.run("take_source", {"source": source, "id": claim, "worker": self.start}):
                continue
            ids = chosen(await tx.rows("waiting_of_source", {"source": source, "limit": limit}), max_bytes)
            if ids:
                await tx.run("claim_receipts", {"id": claim, "ids": ids})
                return ids
            await tx.run("release_claim", {"id": claim})
        return []

    async def reclaim(self) -> int:
        """Free what dead processes held, and what this start holds, which has just begun; return how much."""
        return await self._free([self.start])

    async def beat(self) -> int:
        """Renew the lease, and free what dead processes held; return how much. Raises StoreError."""
        begun = time.monotonic()
        if await self.engine.write("renew_lease", {"start": self.start, "seconds": LEASE}):
            self._renewed = begun
        else:
            lost = self.start
            await self.register(self._name)
            log.warning("store.lease_lost", was=lost, now=self.start)
        return await self._free([])

    async def leave(self) -> None:
        """Let others take over at once what this process holds."""
        await self.engine.write("end_lease", {"start": self.start})
        await self._free([])

    async def _free(self, also: list[int]) -> int:
        count = 0
        async with self.engine.transaction() as tx:
            dead = [row[0] for row in await tx.rows("dead_workers")]
            workers = {"workers": [*dead, *also]}
            if not workers["workers"]:
                return 0
            for claim, receipts in await tx.rows("crashed_claims", workers):
                count += await tx.run("count_tries", {"ids": receipts})
                await tx.run("release_claim", {"id": claim})
            count += await tx.run("reclaim_deliveries", {**workers, "now": self.now_ms()})
            await tx.run("drop_leads", workers)
            await tx.run("drop_workers", {"workers": dead})
        return count

    async def leads(self, task: str) -> bool:
        """Say whether this process is the one that does a task; it becomes it where nobody is. Raises StoreError."""
        asked = time.monotonic()
        if task not in self._leads and asked - self._asked.get(task, float("-inf")) >= _ASK:
            self._asked[task] = asked
            start = self.start
            if await self.engine.write("take_lead", {"task": task, "worker": start}) and start == self.start:
                self._leads.add(task)
        return task in self._leads and self.holds()

    def holds(self) -> bool:
        """Say whether what this process holds is surely still its own."""
        return time.monotonic() - self._renewed < _SURE
