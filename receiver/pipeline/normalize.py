"""Normalize: receipts become transcripts, events and deliveries, batch by batch, each batch in one transaction."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from receiver.contract.errors import Conflict, StoreError, Unreadable
from receiver.contract.model import Notice, Outcome, Receipt, Result
from receiver.contract.provider import Provider
from receiver.pipeline.histogram import SECONDS, Histogram
from receiver.pipeline.joining import KnownJobs, call_key, wanted
from receiver.pipeline.keeping import receipt_of
from receiver.pipeline.offload import ChildDied, Offload
from receiver.pipeline.outbox import Outbox, Plan
from receiver.pipeline.roles import ruled
from receiver.pipeline.said import checked
from receiver.store.ids import RECEIPT, encode
from receiver.store.jobs import Jobs
from receiver.store.records import KnownCall, KnownTranscript, StoredReceipt
from receiver.store.store import Store

log = structlog.get_logger()

_BATCH = 256
_BATCH_BYTES = 8 * 1024 * 1024
_LARGE = 256 * 1024
_YIELD_EVERY = 16
_TRIES = 3
"""Crashes after which a receipt is given up."""
_CONFLICTS = 5
"""Times that a batch is planned and written before it waits, where another process writes the same."""
_SUSPECT = 2
"""Deaths of the worker after which a process of its own must show whether the receipt or something else killed it."""

GONE = "its source is not in the settings: put it back under the same name, and this is read then"
_READMIT = 500

Read = tuple[StoredReceipt, str, tuple[Outcome, ...] | Unreadable]
"""A receipt, the normalizer that read it, and what it said."""


class Normalize:
    """Takes waiting receipts, asks their provider what they say, and writes what follows."""

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Provider[Any]],
        outbox: Outbox,
        *,
        offload: Offload,
    ) -> None:
        self._store = store
        self._jobs = Jobs(store)
        self._sources = sources
        self._outbox = outbox
        self._offload = offload
        self._claim = 0
        self.counted: Counter[tuple[str, bool]] = Counter()
        """Receipts by source, and whether they could be read."""
        self.seconds = Histogram(SECONDS)
        """How long batches took."""
        self._left: dict[tuple[str, str], Provider[Any]] = {}

    def change(self, sources: Mapping[str, Provider[Any]]) -> None:
        """Go by other sources from the next receipt on; those that are left out still read what came before."""
        self._left |= {(name, one.name): one for name, one in self._sources.items()}
        self._sources = sources

    def _provider(self, receipt: StoredReceipt) -> Provider[Any] | None:
        """Return who reads a receipt: the source as it is now, or who had its name when it came."""
        provider = self._sources.get(receipt.source)
        if provider is not None and provider.name == receipt.provider:
            return provider
        return self._left.get((receipt.source, receipt.provider), provider)

    async def step(self) -> int:
        """Normalize one batch; return how many receipts it had, 0 when nothing waits."""
        await self._release()
        self._claim, batch = await self._store.claim(_BATCH, max_bytes=_BATCH_BYTES)
        if not batch:
            return 0
        begun = time.perf_counter()
        try:
            read = [await self.read(place, receipt) for place, receipt in enumerate(batch)]
            await self._write(read)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):
                await asyncio.shield(self._release())
            raise
        self._claim = 0
        self.seconds.add(time.perf_counter() - begun)
        self.counted.update((receipt.source, not isinstance(found, Unreadable)) for receipt, _, found in read)
        _log(read)
        return len(batch)

    async def readmit(self) -> int:
        """Read again what could not be read while its source was not in the settings, and is again; return how many."""
        count = 0
        while more := await self._store.readmit(GONE, list(self._sources), _READMIT):
            count += more
        if count:
            log.info("receipts.readmitted", count=count)
        return count

    async def _release(self) -> None:
        """Take back a claim whose batch was not written: a stop, or a store that fails, is no crash."""
        if self._claim:
            await self._store.release(self._claim)
            self._claim = 0

    async def _write(self, read: list[Read]) -> None:
        """Plan and write; where another process changed the same transcripts meanwhile, once more from what is there."""
        for tries in range(_CONFLICTS, 0, -1):
            plan = await self._plan(read)
            try:
                await self._store.write(plan.writes, claim=self._claim)
            except Conflict:
                if tries == 1:
                    raise
                continue
            return

    async def _plan(self, read: list[Read]) -> Plan:
        """Plan what follows from a batch; a receipt that cannot be written becomes unreadable, and the rest goes on."""
        known, calls, jobs = await self.known(read)
        while True:
            plan = self._outbox.plan(self._store.now_ms(), known, calls, jobs.fresh())
            spoiled = _fill(plan, read)
            if spoiled is None:
                return plan
            place, error = spoiled
            receipt, normalizer, _ = read[place]
            read[place] = (receipt, normalizer, Unreadable(f"what it says cannot be written: {type(error).__name__}"))

    async def known(self, read: Sequence[Read]) -> tuple[list[KnownTranscript], list[KnownCall], KnownJobs]:
        """Return what the store has of the transcripts, calls and jobs that receipts speak of."""
        said = [(receipt, outcome) for receipt, _, found in read if isinstance(found, tuple) for outcome in found]
        results = {(receipt.source, one.operation, one.job_id) for receipt, one in said if isinstance(one, Result)}
        known = await self._store.known_transcripts(sorted(results)) if results else []
        jobs = await self._known_jobs(said)
        calls = {call_key(receipt.source, one.call) for receipt, one in said if isinstance(one, Notice)}
        calls |= {jobs.joined(receipt, one).key for receipt, one in said if isinstance(one, Result)}
        keys = sorted(key for key in calls if key)
        return known, await self._store.known_calls(keys) if keys else [], jobs

    async def _known_jobs(self, said: Sequence[tuple[StoredReceipt, Outcome]]) -> KnownJobs:
        ids, names = wanted(said)
        found = {job.id: job for job in (*await self._jobs.by_name(names), *await self._jobs.by_id(ids))}
        keys = {job.call_key for job in found.values() if job.call_key}
        return KnownJobs(found.values(), await self._jobs.open_of(sorted(keys)))

    async def read(self, place: int, receipt: StoredReceipt) -> Read:
        """Ask today's handler what a receipt says; `place` in its batch, so that others get their turn."""
        if place % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        provider = self._provider(receipt)
        normalizer = provider.normalizer if provider else ""
        try:
            said = checked(await self._outcomes(provider, receipt))
            return receipt, normalizer, _with_roles(said, provider)
        except Unreadable as error:
            return receipt, normalizer, error

    async def _outcomes(self, provider: Provider[Any] | None, receipt: StoredReceipt) -> tuple[Outcome, ...]:
        if provider is None:
            raise Unreadable(GONE)
        value = receipt_of(receipt)
        if len(receipt.body) < _LARGE and receipt.tries < _SUSPECT:
            return _normalized(provider, value)
        for _ in range(max(1, _TRIES - receipt.tries)):
            try:
                return await self._offload.normalize(provider, value)
            except ChildDied:
                log.error("normalize.child_died", id=value.id, source=receipt.source)
        raise Unreadable("crashed: the process that normalized this died, each time it was tried")


def _fill(plan: Plan, read: Sequence[Read]) -> tuple[int, Exception] | None:
    """Add every receipt to a plan; return the place of the first that spoils it, and how."""
    for place, (receipt, normalizer, found) in enumerate(read):
        if isinstance(found, Unreadable):
            plan.unreadable(receipt, _writable(str(found)))
            continue
        try:
            plan.receipt(receipt, normalizer, found)
        except Exception as error:  # noqa: BLE001 -- a plugin's outcome: a lone surrogate, a set, a wrong member
            log.error("normalize.not_writable", id=encode(RECEIPT, receipt.id), error=type(error).__name__)
            return place, error
    return None


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _normalized(provider: Provider[Any], receipt: Receipt) -> tuple[Outcome, ...]:
    try:
        return provider.normalize(receipt)
    except Unreadable:
        raise
    except Exception as error:
        log.exception("normalize.raised", id=receipt.id, source=receipt.source)
        raise Unreadable(f"the normalizer raised {type(error).__name__}") from error


def _with_roles(said: tuple[Outcome, ...], provider: Provider[Any] | None) -> tuple[Outcome, ...]:
    try:
        return ruled(said, provider.settings) if provider else said
    except Exception as error:
        raise Unreadable(f"the rules for roles do not fit what it says: {type(error).__name__}") from error


def _log(read: Sequence[Read]) -> None:
    for receipt, _, found in read:
        if isinstance(found, Unreadable):
            log.warning("receipt.unreadable", id=encode(RECEIPT, receipt.id), source=receipt.source, reason=str(found))
    log.debug("receipts.normalized", count=len(read))
