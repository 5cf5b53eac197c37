"""PostgreSQL keeps the contract of stores, and what is its own: leases, order of commits, several at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import msgspec
import psycopg
import pytest
from postgres_server import database, migrated, needs_postgres

from receiver.config import QuarantineSettings
from receiver.contract.errors import SchemaError, StoreError
from receiver.contract.model import DeliveryState, ReceiptState
from receiver.pipeline.operating.chosen import Chosen
from receiver.pipeline.operating.replay import Replay
from receiver.pipeline.outbox import Route
from receiver.store.ids import at
from receiver.store.postgres import migrations
from receiver.store.postgres.engine import PostgresEngine
from receiver.store.quarantine.quarantine import beside
from receiver.store.quarantine.records import NewQuarantined, RefusalCount
from receiver.store.records import Done, Writes
from receiver.store.store import Row, Store
from receiver.testing.store import DAY_MS, MIB, NOON, Clock, StoreContract, a_receipt, a_tried, put_events


@needs_postgres
class TestPostgresStore(StoreContract):
    """The contract on PostgreSQL."""

    @contextlib.asynccontextmanager
    async def opened(self, clock: Clock) -> AsyncIterator[Store]:
        with database() as url:
            async with migrated(url, clock) as store:
                yield store


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty database."""
    with database() as address:
        yield address


@needs_postgres
async def test_several_migrate_at_once(url: str) -> None:
    """Each waits for the others; every step is applied once."""
    engines = [PostgresEngine(url) for _ in range(5)]
    try:
        applied = await asyncio.gather(*(engine.migrate() for engine in engines))
        assert sorted(map(len, applied)) == [0, 0, 0, 0, len(migrations.steps())]
        assert all([await engine.current() for engine in engines])
    finally:
        for engine in engines:
            await engine.close()


@needs_postgres
async def test_releases_beside_each_other(url: str) -> None:
    """A later schema is worked with as long as it says that this release may; else it is refused."""
    async with migrated(url, Clock()) as store:
        newest = migrations.newest()
        with psycopg.connect(url) as other:
            other.execute(
                "INSERT INTO hookscribe_schema (number, name, beside) VALUES (%s, 'next', %s)", (newest + 1, newest)
            )
        assert await store.engine.current()
        assert await store.engine.migrate() == []
        with psycopg.connect(url) as other:
            other.execute("UPDATE hookscribe_schema SET beside = number")
        assert not await store.engine.current()
        with pytest.raises(SchemaError, match="install the release that wrote it"):
            await store.engine.migrate()


@needs_postgres
async def test_a_reader_misses_no_event_that_commits_late(url: str) -> None:
    """While a transaction with an event is open, no later number is seen; a reader by number sees every event, once."""
    async with migrated(url, Clock()) as slow, migrated(url, Clock()) as fast:

        def event(store: Store) -> Row:
            return (store.ids.next(), "acme", "acme.said", "t", "s", None, None, None, b"{}")

        late, soon = event(slow), event(fast)
        async with slow.engine.transaction() as tx:
            await tx.insert("add_events", [late])
            writing = asyncio.ensure_future(fast.write(Writes(events=[soon])))
            await until_waits(url)
            assert await fast.events_after(0, 10) == []
        await writing
        first = await fast.events_after(0, 1)
        assert [one[1] for one in first] == [late[0]]
        assert [one[1] for one in await fast.events_after(first[0][0], 10)] == [soon[0]]


async def until_waits(url: str) -> None:
    """Wait until a session waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, asyncio.timeout(10):
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while not await (await connection.execute(waits)).fetchall():
            await asyncio.sleep(0.02)


@needs_postgres
async def test_a_worker_that_stood_still_marks_nothing(url: str) -> None:
    """Once others took over what it held, it completes neither receipts nor deliveries, and takes a new number."""
    async with migrated(url, Clock()) as still, migrated(url, Clock()) as other:
        await still.keep([a_receipt(still, b"a")])
        await put_events(still, [None])
        claim, (receipt,) = await still.claim(5, max_bytes=MIB)
        (sent,) = await still.due("archive", 5, in_order=True, max_bytes=MIB)
        assert await other.claim(5, max_bytes=MIB) == (0, [])
        assert await still.leads("retention")
        assert not await other.leads("retention")
        run_out(url, still.start)
        assert await other.beat() == 2
        done = Done(id=receipt.id, state=ReceiptState.NORMALIZED, outcome=None, reason=None)
        with pytest.raises(StoreError, match="another worker took over"):
            await still.write(Writes(done=[done]), claim=claim)
        await still.tried([a_tried(sent.id, DeliveryState.DELIVERED)])
        again, (taken,) = await other.claim(5, max_bytes=MIB)
        (resent,) = await other.due("archive", 5, in_order=True, max_bytes=MIB)
        assert (taken.id, taken.tries, resent.id, resent.attempts) == (receipt.id, 1, sent.id, 1)
        before = still.start
        await still.beat()
        assert still.start > before
        await other.write(Writes(done=[done]), claim=again)
        await other.tried([a_tried(resent.id, DeliveryState.DELIVERED)])
        assert await still.due("archive", 5, in_order=True, max_bytes=MIB) == []


@needs_postgres
async def test_two_replays_at_once_send_once(url: str) -> None:
    """Two operators on two hosts: what the one has sent again, the other does not."""
    async with migrated(url, Clock()) as one, migrated(url, Clock()) as two:
        await put_events(one, [None] * 9)
        sent = await one.due("archive", 9, in_order=False, max_bytes=MIB)
        await one.tried([a_tried(row.id, DeliveryState.DELIVERED) for row in sent])
        routes = [Route(sink="archive", events=("*",), sources=("*",))]
        both = [Replay(store, routes).replay(Chosen(state="delivered")) for store in (one, two)]
        assert sum(done.changed for done in await asyncio.gather(*both)) == 9


def run_out(url: str, start: int) -> None:
    """Let the lease of a process run out."""
    with psycopg.connect(url) as other:
        other.execute("UPDATE workers SET until = clock_timestamp() - interval '1 s' WHERE start = %s", (start,))


@needs_postgres
async def test_a_source_keeps_its_order_whatever_the_clocks_say(url: str) -> None:
    """What was committed first is normalized first, also where the other host's clock is an hour behind."""
    async with migrated(url, Clock()) as first, migrated(url, Clock(NOON - 3_600_000)) as behind:
        made = [a_receipt(store, b"%d" % number) for number, store in enumerate((first, behind, first, behind))]
        for store, receipt in zip((first, behind, first, behind), made, strict=True):
            await store.keep([receipt])
        _, batch = await first.claim(10, max_bytes=MIB)
        assert [one.id for one in batch] == [one.id for one in made]
        assert made[1].id < made[0].id


@needs_postgres
async def test_large_bodies(url: str) -> None:
    """64 MiB go in and come back."""
    body = bytes(range(256)) * (1 << 18)
    async with migrated(url, Clock()) as store:
        await store.keep([a_receipt(store, b"m", body=body)])
        _, (found,) = await store.claim(1, max_bytes=MIB)
        assert found.body == body


@needs_postgres
async def test_the_commit_of_a_receipt_is_synchronous(url: str) -> None:
    """Where the server's default is otherwise, keeping still waits for the disk."""
    async with migrated(url, Clock()) as store, store.shared.transaction() as tx:
        await tx._link.run("SET LOCAL synchronous_commit = off", timeout=5)
        await tx.insert("keep_receipts", [msgspec.structs.astuple(a_receipt(store, b"m"))])
        shown = await tx._link.run("SHOW synchronous_commit", timeout=5)
        assert await shown.fetchall() == [("on",)]


@needs_postgres
async def test_the_quarantine_is_in_the_database(url: str) -> None:
    """What was refused is found by every process, counted, and kept within its bounds."""
    async with migrated(url, Clock()):
        pass
    one, two = beside(url, Clock()), beside(url, Clock())
    try:
        first = at(NOON)
        rows = [
            NewQuarantined(first + n, "acme", "token_unknown", NOON, 2, "[]", None, None, b"a:b", b"\0\xff")
            for n in range(4)
        ]
        assert await one.put(rows, QuarantineSettings()) == 0
        assert await two.put(rows[:1], QuarantineSettings(max_count=3)) == 1
        assert [row.id for row in await two.newest(9)] == [first + 3, first + 2, first + 1]
        assert (await two.get(first + 3)).request.body == b"\0\xff"
        await one.count([RefusalCount(one.hour(), "acme", "token_unknown", 3)])
        await two.count([RefusalCount(one.hour(), "acme", "token_unknown", 4)])
        assert [row.count for row in await one.refusals()] == [7]
    finally:
        await one.close()
        await two.close()


@needs_postgres
async def test_one_message_at_two_processes_at_midnight(url: str) -> None:
    """One has it on the old day, the other on the new one: it is kept once, and both name the same receipt."""
    before, after = Clock(20_000 * DAY_MS - 3), Clock(20_000 * DAY_MS + 3)
    async with migrated(url, before) as first, migrated(url, after) as second:
        for number in range(40):
            batches = [[a_receipt(store, b"%d-%d" % (number, one)) for one in range(5)] for store in (first, second)]
            kept = await asyncio.gather(first.keep(batches[0]), second.keep(batches[1]))
            for one, other in zip(*kept, strict=True):
                assert (one.id, one.duplicate) == (other.id, not other.duplicate)
