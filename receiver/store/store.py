"""The domain verbs: what the steps of the path ask of the store, written once over an engine."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from receiver.contract.errors import Conflict, StoreError
from receiver.contract.model import DeliveryState, ReceiptState
from receiver.store.changes import folded, rounds
from receiver.store.ids import Ids
from receiver.store.query import Query
from receiver.store.records import (
    DueDelivery,
    Kept,
    KnownCall,
    KnownTranscript,
    NewReceipt,
    SinkRow,
    Step,
    StoredReceipt,
    Tried,
    Writes,
    redelivery_key,
)

_INLINE = 16 * 1024
"""Bytes of an event that is read together with others; a larger one is read once it is known that it has room."""
_WINDOW = 2
"""How many times as many deliveries are looked at, in order, as are wanted: of a long backlog most may have to wait."""
_FEW = 16
"""Where only one in so many of those wanted may go, all of the backlog is looked at."""
_ALL = 1 << 40
_DELIVERED, _PENDING = DeliveryState.DELIVERED, DeliveryState.PENDING

Row = tuple[Any, ...]
Params = Mapping[str, Any]


class Tx(Protocol):
    """Statements inside one transaction."""

    async def rows(self, name: str, params: Params | None = None) -> list[Row]: ...
    async def run(self, name: str, params: Params | None = None) -> int: ...
    async def insert(self, name: str, rows: Sequence[Row]) -> int: ...
    async def run_many(self, name: str, rows: Sequence[Params]) -> int: ...


class Engine(Protocol):
    """A database that knows the named statements."""

    async def rows(self, name: str, params: Params | None = None, where: Sequence[str] = ()) -> list[Row]: ...
    async def found(self, name: str, params: Params, where: Sequence[str]) -> list[Row]: ...
    async def write(self, name: str, params: Params | None = None) -> int: ...
    async def insert(self, name: str, rows: Sequence[Row]) -> int: ...
    async def apply(self, steps: Sequence[Step]) -> None: ...
    def transaction(self, *, alone: bool = False) -> contextlib.AbstractAsyncContextManager[Tx]: ...
    def match(self, query: Query | None, tags: Sequence[str]) -> str: ...
    def marks(self, query: Query) -> Callable[[str], str]: ...
    def indexed(self, rows: Sequence[Row]) -> Sequence[Row]: ...
    def unpacked(self, rows: Sequence[Row]) -> list[DueDelivery]: ...
    async def purge(self) -> bool: ...
    async def migrate(self) -> list[str]: ...
    async def current(self) -> bool: ...
    async def data_version(self) -> int: ...
    async def listen(self) -> None: ...
    async def close(self) -> None: ...


class Store:
    """Everything that is kept, and every change to it."""

    beat_every: float | None = None
    """Seconds between two calls of `beat`; None where no other process could take over."""
    keeps_at_once = 1
    """Calls of `keep` that are worth having under way side by side."""

    def __init__(self, engine: Engine, now: Callable[[], float]) -> None:
        """`now` is Unix time in seconds."""
        self.engine = engine
        self._now = now
        self.start = 0
        self.ids = Ids(now, 0)

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return int(self._now() * 1000)

    async def register(self, name: str) -> None:
        """Number this start of a process: its ids and leases carry the number. Needed before anything is written."""
        async with self.engine.transaction() as tx:
            found = await tx.rows("register_start", {"name": name, "now": self.now_ms()})
        self.start = found[0][0]
        self.ids.become(self.start)

    async def beat(self) -> int:
        """Say that this process is alive, and free what dead ones held; return how much. Raises StoreError."""
        return 0

    async def leave(self) -> None:
        """Let others take over what this process holds; it stops."""

    async def leads(self, task: str) -> bool:  # noqa: ARG002 -- an embedded store has one worker
        """Say whether this process is the one that does a task, of all on this store. Raises StoreError."""
        return True

    def holds(self) -> bool:
        """Say whether what this process took is surely still its own."""
        return True

    # Receiving

    async def keep(self, batch: Sequence[NewReceipt]) -> list[Kept]:
        """Keep proven requests as one commit; say of each whether it was a redelivery, and of which receipt.

        When this returns, the bytes are on disk. Raises StoreUnavailable with nothing kept.
        """
        if await self._put(batch) == len(batch):
            return [Kept(receipt.id, False) for receipt in batch]
        present = await self.engine.rows("which_kept", {"ids": [receipt.id for receipt in batch]})
        kept = {row[0] for row in present}
        return [Kept(receipt.id, False) if receipt.id in kept else await self._meet(receipt) for receipt in batch]

    async def _put(self, batch: Sequence[NewReceipt]) -> int:
        """Insert receipts, but for redeliveries, as one commit; return how many were made."""
        return await self.engine.insert("keep_receipts", [msgspec.structs.astuple(receipt) for receipt in batch])

    async def _meet(self, receipt: NewReceipt) -> Kept:
        """Tell a redelivery from another message whose digest begins alike; keep the latter under a salted key."""
        key, key_rest = receipt.key, receipt.key_rest
        for salt in range(1, 100):
            found = await self.engine.rows("first_with_key", {"day": receipt.day, "key": key})
            if found and found[0][1] == key_rest:
                return Kept(found[0][0], True)
            if not found:
                salted = msgspec.structs.replace(receipt, key=key, key_rest=key_rest)
                if await self._put([salted]):
                    return Kept(receipt.id, False)
                continue
            rest = receipt.key_rest.to_bytes(8, "big", signed=True)
            key, key_rest = redelivery_key(receipt.source, receipt.key.to_bytes(8, "big", signed=True) + rest, salt)
        raise AssertionError("a hundred digests met")  # pragma: no cover -- 2**-6400

    # Normalizing

    async def claim(self, limit: int, *, max_bytes: int) -> tuple[int, list[StoredReceipt]]:
        """Take receipts to normalize, oldest first, and write down that they are about to be tried.

        A receipt over which a worker died before comes alone, so that it cannot take others with it.
        Returns the claim's id, 0 when nothing waits.
        """
        rows = await self.engine.rows("waiting_receipts", {"state": ReceiptState.RECEIVED, "limit": limit, "after": 0})
        ids = chosen(rows, max_bytes)
        if not ids:
            return 0, []
        claim = self.ids.next()
        await self.engine.write("claim_receipts", {"id": claim, "ids": ids})
        return claim, await self._receipts(ids)

    async def waiting(self, state: ReceiptState, limit: int, after: int = 0) -> list[int]:
        """Return the ids of receipts in a state, oldest first."""
        rows = await self.engine.rows("waiting_receipts", {"state": state, "limit": limit, "after": after})
        return [row[0] for row in rows]

    async def receipt(self, receipt_id: int) -> StoredReceipt:
        """Return one receipt."""
        (found,) = await self._receipts([receipt_id])
        return found

    async def _receipts(self, ids: list[int]) -> list[StoredReceipt]:
        return [StoredReceipt(*row) for row in await self.engine.rows("receipts_by_id", {"ids": ids})] if ids else []

    async def receipts(self, ids: Sequence[int]) -> list[StoredReceipt]:
        """Return receipts as the normalizer sees them, by id."""
        return await self._receipts(list(ids))

    async def release(self, claim: int) -> None:
        """Give a claim back without having done anything."""
        await self.engine.write("release_claim", {"id": claim})

    async def reclaim(self) -> int:
        """Count the tries of receipts and take back the deliveries that a dead worker held; return how many.

        Only the one worker of this store calls this, at its start.
        """
        count = 0
        async with self.engine.transaction() as tx:
            for claim, receipts in await tx.rows("crashed_claims"):
                count += await tx.run("count_tries", {"ids": msgspec.json.decode(receipts)})
                await tx.run("release_claim", {"id": claim})
            count += await tx.run("reclaim_deliveries", {"now": self.now_ms()})
        return count

    async def known_transcripts(self, keys: Sequence[tuple[str, str, str]]) -> list[KnownTranscript]:
        """Return what is there of transcripts by (source, operation, job_id)."""
        rows = await self.engine.rows("known_transcripts", {"keys": [list(key) for key in keys]})
        return [KnownTranscript(**dict(zip(KnownTranscript.__struct_fields__, row, strict=True))) for row in rows]

    async def known_calls(self, keys: Sequence[str]) -> list[KnownCall]:
        """Return what is there of calls by key."""
        rows = await self.engine.rows("known_calls", {"keys": list(keys)})
        return [KnownCall(key=key, id=number, doc=doc) for key, number, doc in rows]

    async def write(self, writes: Writes, *, claim: int = 0) -> None:
        """Write what receipts became: transcripts, events, the outbox and the receipts' states, all or nothing.

        Raises Conflict, with nothing written, where a transcript, a call or a receipt that is read again is not any
        more what it was when the batch was planned: another process wrote it in between. Raises StoreError where the
        claim is another's by now.
        """
        async with self.engine.transaction() as tx:
            if claim and not await tx.run("release_claim", {"id": claim}):
                raise StoreError("the claim is not ours any more: another worker took over while this one stood still")
            await _insert(tx, "add_calls", writes.calls)
            changes = folded(writes.changed_calls)
            _all(await tx.run_many("change_call", changes), changes)
            await _amend(tx, writes.amended)
            _all(await _insert(tx, "add_transcripts", [*writes.transcripts.values()]), writes.transcripts)
            await _insert(tx, "add_versions", writes.versions)
            await _insert(
                tx, "add_unindexed", [*dict([*writes.amended, *(row[:2] for row in writes.versions)]).items()]
            )
            await _insert(tx, "add_deliveries", writes.deliveries)
            await tx.run_many("receipt_done", [msgspec.structs.asdict(done) for done in writes.done])
            _all(await tx.run_many("receipt_redone", writes.redone), writes.redone)
            await self._write_jobs(tx, writes)
            await _insert(tx, "add_events", writes.events)  # last: PostgreSQL lets others wait from here to the commit

    async def _write_jobs(self, tx: Tx, writes: Writes) -> None:
        now = {"now": self.now_ms()}
        became = [await tx.run("job_became", {**job, **now}) for job in writes.became_jobs]
        _all(sum(became), became)
        for job in writes.submitted_jobs:
            await tx.run("job_submitted", {**job, **now})
        for touched in rounds(writes.touched_jobs):
            await tx.run_many("job_touched", [{**job, **now} for job in touched])
        for ended in rounds(writes.ended_jobs):
            await tx.run_many("job_result", [{**job, **now} for job in ended])

    async def readmit(self, reason: str, sources: Sequence[str], limit: int) -> int:
        """Let some receipts of these sources that are unreadable for a reason be read again; return how many."""
        return await self.engine.write("readmit_receipts", {"reason": reason, "sources": [*sources], "limit": limit})

    async def confirmed(self, receipt_id: int, reread: bytes, headers: bytes | None = None) -> None:
        """The provider answered for itself: its bytes count from now on, with these headers instead of those that came."""
        await self.engine.write("receipt_confirmed", {"id": receipt_id, "reread": reread, "headers": headers})

    async def unconfirmed(self, receipt_ids: Sequence[int]) -> int:
        """No confirmation is to be had; go on with what came. Return how many waited for one."""
        return await self.engine.write("receipt_unconfirmed", {"ids": list(receipt_ids)})

    async def events_after(self, seq: int, limit: int) -> list[Row]:
        """Return events in the order in which they were written, behind one: (seq, id, source, type).

        Who reads on from the last `seq` misses none, also where one commits late.
        """
        return await self.engine.rows("events_after", {"seq": seq, "limit": limit})

    # Delivering

    async def due(
        self, sink: str, limit: int, *, in_order: bool, max_bytes: int, deep: bool = True, following: bool = False
    ) -> list[DueDelivery]:
        """Take deliveries of a sink whose time has come; their attempts count from now on.

        At most `limit`, and no more than `max_bytes` of events, but always one. The rows' `attempts` are those before.
        Not `deep`: of those in order, none that stands far behind calls that wait, where finding it takes long.
        `following`: also those behind which all earlier ones of their call are this process's; it keeps the order itself.
        """
        mine = self.start if following else 0
        asked = {"sink": sink, "now": self.now_ms(), "limit": limit, "inline": _INLINE, "mine": mine}
        found = await self._found(asked, in_order=in_order, max_bytes=max_bytes, deep=deep)
        ids = [delivery.id for delivery in found]
        if not ids:
            return []
        start = {"ids": ids, "worker": self.start, "sink": sink, "now": self.now_ms()}
        if await self.engine.write("start_deliveries", start) == len(ids):
            return found
        taken = await self.still_taken(ids)
        return [delivery for delivery in found if delivery.id in taken]  # others were discarded or moved just now

    async def still_taken(self, ids: Sequence[int]) -> set[int]:
        """Return which of these deliveries are there, and this process's to send."""
        rows = await self.engine.rows("taken_deliveries", {"ids": list(ids), "worker": self.start})
        return {row[0] for row in rows}

    async def _found(self, asked: Params, *, in_order: bool, max_bytes: int, deep: bool) -> list[DueDelivery]:
        """Return what could be taken; a large event is read by itself, so that what is in memory stays bounded."""
        limit = asked["limit"]
        if in_order:
            rows = await self._waiting("due_deliveries_in_order", {**asked, "window": _WINDOW * limit})
            if deep and len(rows) < max(1, limit // _FEW):  # behind calls that wait there may be others
                seen = {row.id for row in rows}
                behind = await self._waiting("due_deliveries_in_order", {**asked, "window": _ALL, "mine": 0})
                rows = [*rows, *[row for row in behind if row.id not in seen]][:limit]
        else:
            rows = await self._waiting("due_deliveries", asked)
        found = rows[: len(_within([(row.id, row.size) for row in rows], max_bytes))]
        large = [row.id for row in found if not row.inline]
        if not large:
            return found
        whole = {row[0]: row[-1] for row in await self.engine.rows("deliveries_by_id", {"ids": large})}
        for row in found:
            row.data = whole.get(row.id, row.data)
        return [row for row in found if row.inline or row.id in whole]

    async def _waiting(self, query: str, params: Params) -> list[DueDelivery]:
        return self.engine.unpacked(await self.engine.rows(query, params))

    async def take_back(self, sink: str) -> int:
        """Give back, untried, what counts as being sent to a sink by this process, which has none of it in hand."""
        return await self.engine.write("take_back", {"sink": sink, "worker": self.start, "now": self.now_ms()})

    async def next_due(self, sink: str) -> int | None:
        """Return when another delivery of a sink falls due, Unix milliseconds, or None; later than now."""
        rows = await self.engine.rows("next_due", {"sink": sink, "now": self.now_ms()})
        found: int | None = rows[0][0]
        return found

    async def tried(self, results: Sequence[Tried]) -> None:
        """Write how attempts ended, and what becomes of their deliveries."""
        mine = {"now": self.now_ms(), "worker": self.start}
        arrived: list[int] = []
        waits: list[dict[str, Any]] = []
        ended: list[dict[str, Any]] = []
        attempts: list[Row] = []
        for one in results:
            number, state = one.delivery_id, one.state
            if state == _DELIVERED:
                arrived.append(number)
            elif state == _PENDING:
                row = {"id": number, "next_at": one.next_at, "detail": one.detail, "give_back": one.give_back}
                waits.append({**row, **mine})
            else:
                ended.append({"id": number, "state": state, "detail": one.detail, **mine})
            if one.outcome:
                made = (self.ids.next(), number, one.number, one.started_at, one.duration, one.outcome, one.detail)
                attempts.append(made)
        await self.engine.apply(
            [
                Step("deliveries_arrived", params={"ids": arrived, **mine} if arrived else None),
                Step("delivery_waits", each=waits),
                Step("delivery_ended", each=ended),
                Step("add_attempts", rows=attempts),
            ]
        )

    async def sinks(self) -> dict[str, SinkRow]:
        """Return what is known of each sink that was ever sent to."""
        rows = await self.engine.rows("sink_states")
        return {row[0]: SinkRow(**dict(zip(SinkRow.__struct_fields__, row, strict=True))) for row in rows}

    async def put_health(self, sink: SinkRow) -> None:
        """Write down how a sink fares; where an operator paused it meanwhile, that stands."""
        await self.engine.write("put_sink_health", {**msgspec.structs.asdict(sink), "now": self.now_ms()})

    async def put_sink(self, sink: SinkRow) -> None:
        """Write down what an operator says of a sink."""
        await self.engine.write("put_sink_state", {**msgspec.structs.asdict(sink), "now": self.now_ms()})


def chosen(rows: Sequence[Row], max_bytes: int) -> list[int]:
    """Return which of waiting receipts (id, size, tries) to normalize together: one that was tried before comes alone."""
    tried_first = bool(rows and rows[0][2])
    alone = next((place for place, row in enumerate(rows) if row[2]), len(rows)) if not tried_first else 1
    return _within([(row[0], row[1]) for row in rows[:alone]], max_bytes)


def _within(sizes: Sequence[tuple[int, int]], max_bytes: int) -> list[int]:
    """Return the ids from the start whose sizes fit together, the first in any case."""
    ids: list[int] = []
    for number, size in sizes:
        max_bytes -= size
        if ids and max_bytes < 0:
            break
        ids.append(number)
    return ids


async def _insert(tx: Tx, name: str, rows: Sequence[Row]) -> int:
    return await tx.insert(name, rows) if rows else 0


async def _amend(tx: Tx, amended: Mapping[tuple[int, int], dict[str, Any]]) -> None:
    for change in amended.values():
        _all(await tx.run("amend_version", change), [change])
        await tx.run("amend_transcript", change)


def _all(changed: int, wanted: Collection[Any]) -> None:
    if changed != len(wanted):
        raise Conflict
