"""PostgreSQL in trouble: nothing is half-kept, who waits is told, and it goes on by itself."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_cluster import Cluster, Network, cluster, counted, needs_cluster, needs_pooler, pooler
from postgres_server import database, migrated, needs_postgres

from receiver.contract.errors import StoreUnavailable
from receiver.store.postgres import engine as engine_module
from receiver.store.postgres import listening, pool
from receiver.store.postgres.engine import PostgresEngine
from receiver.store.store import Store
from receiver.testing.store import MIB, Clock, StoreContract, a_receipt, put_events


@needs_postgres
@needs_pooler
class TestThroughPgbouncer(StoreContract):
    """The contract behind a pooler in transaction mode, where no two transactions need have the same session."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _pooler(cls) -> Iterator[None]:
        with pooler() as address:
            cls.address = address
            yield

    address: str

    @contextlib.asynccontextmanager
    async def opened(self, clock: Clock) -> AsyncIterator[Store]:
        with database() as url:
            async with migrated(f"{self.address}/{url.rpartition('/')[2]}", clock) as store:
                yield store


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """Give a private server."""
    with cluster() as made:
        yield made


@needs_cluster
@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_restart_is_not_noticed_afterwards(own: Cluster, mode: str) -> None:
    """While it is away a sender is told to come again; afterwards the first request is kept, over a new connection."""
    with database(own.server) as url:
        async with migrated(url, Clock()) as store:
            await asyncio.gather(*(store.keep([a_receipt(store, b"%d" % n)]) for n in range(8)))
            own.stop(mode)
            try:
                with pytest.raises(StoreUnavailable):
                    await store.keep([a_receipt(store, b"away")])
                with pytest.raises(StoreUnavailable):
                    await store.claim(5, max_bytes=MIB)
            finally:
                own.start()
            ((kept,), (claim, batch)) = (
                await store.keep([a_receipt(store, b"back")]),
                await store.claim(50, max_bytes=MIB),
            )
            assert (kept.duplicate, len(batch), bool(claim)) == (False, 9, True)


@needs_cluster
async def test_a_restart_in_between_is_not_noticed_at_all(own: Cluster) -> None:
    """Connections that ended while nobody used them are made anew, for reading, keeping and transactions."""
    with database(own.server) as url:
        async with migrated(url, Clock()) as store:
            await store.keep([a_receipt(store, b"before")])
            own.stop("fast")
            own.start()
            assert (await store.keep([a_receipt(store, b"after")]))[0].duplicate is False
            own.stop("fast")
            own.start()
            await put_events(store, [None])
            own.stop("fast")
            own.start()
            assert len((await store.claim(5, max_bytes=MIB))[1]) == 2


@needs_cluster
async def test_a_frozen_server_holds_nobody_for_ever(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is told after a time, the connection is given up, and what was under way is whole or not there."""
    monkeypatch.setattr(engine_module, "TIMEOUT", 0.5)
    monkeypatch.setattr(pool, "CONNECT", 0.5)
    with database(own.server) as url:
        async with migrated(url, Clock()) as store:
            await store.keep([a_receipt(store, b"before")])
            own.freeze()
            try:
                begun = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await store.keep([a_receipt(store, b"during")])
                with pytest.raises(StoreUnavailable, match="did not answer"):
                    await put_events(store, [None] * 3)
                assert time.monotonic() - begun < 10
            finally:
                own.thaw()
            monkeypatch.undo()
            again = a_receipt(store, b"during")
            (kept,) = await store.keep([again])
            assert counted(url, "receipts") == 2
            assert kept.duplicate is (kept.id != again.id)
            assert counted(url, "events") in (0, 3)


@needs_postgres
async def test_a_commit_whose_answer_is_lost_is_found_again() -> None:
    """The connection breaks after the server has kept it: it is looked for by its id, and is no redelivery of itself."""
    with database() as url:
        async with (
            Network(url).open() as network,
            migrated(re.sub(r":\d+/", f":{network.port}/", url), Clock()) as store,
        ):
            await store.keep([a_receipt(store, b"first")])
            receipt = a_receipt(store, b"m")
            network.swallows = True
            (kept,) = await store.keep([receipt])
            assert not network.swallows
            assert (kept.id, kept.duplicate) == (receipt.id, False)
            assert counted(url, "receipts") == 2


@needs_postgres
async def test_a_lost_answer_of_a_transaction_is_told() -> None:
    """Whether it was done is not known, so it counts as not done; what was claimed is claimed again or finished."""
    with database() as url:
        async with (
            Network(url).open() as network,
            migrated(re.sub(r":\d+/", f":{network.port}/", url), Clock()) as store,
        ):
            network.swallows = True
            await put_events(store, [None])  # at the first statement: begun again over another connection
            assert counted(url, "events") == 1


@needs_postgres
@pytest.mark.parametrize(
    ("setting", "busy", "told"),
    [
        ("default_transaction_read_only = on", "SELECT 1", "ReadOnlySqlTransaction 25006"),
        ("statement_timeout = '50ms'", "LOCK TABLE receipts", "QueryCanceled 57014"),
    ],
)
async def test_what_the_server_cannot_do_now_is_tried_again_later(setting: str, busy: str, told: str) -> None:
    """Read-only, or too slow: the sender is asked to come again, and nothing is kept."""
    with database() as url:
        async with migrated(url, Clock()):
            pass
        name = url.rpartition("/")[2]
        with psycopg.connect(url, autocommit=True) as operator:
            operator.execute(f"ALTER DATABASE {name} SET {setting}".encode())
        engine = PostgresEngine(url)
        store = Store(engine, Clock())
        with psycopg.connect(url) as other:
            other.execute(busy.encode())
            with pytest.raises(StoreUnavailable, match=told):
                await store.keep([a_receipt(store, b"m")])
        await engine.close()
        assert counted(url, "receipts") == 0


@needs_postgres
async def test_what_others_write_is_heard() -> None:
    """A worker is woken by the commit of another process, and not by its own."""
    with database() as url:
        async with migrated(url, Clock()) as worker, migrated(url, Clock()) as web:
            ears = asyncio.ensure_future(worker.engine.listen())
            async with asyncio.timeout(10):
                while await worker.engine.data_version() == 0:
                    await web.keep([a_receipt(web, b"%d" % web.ids.next())])
                    await asyncio.sleep(0.05)
            ears.cancel()
            await asyncio.wait([ears])


@needs_postgres
@needs_pooler
async def test_a_pooler_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no notification comes through, listening ends, and looking goes on."""
    monkeypatch.setattr(listening, "_TRIAL", 0.5)
    with database() as url, pooler() as address:
        async with migrated(f"{address}/{url.rpartition('/')[2]}", Clock()) as store, asyncio.timeout(10):
            await store.engine.listen()


@contextlib.contextmanager
def small_disk(own: Cluster) -> Iterator[tuple[str, Path]]:
    """Give a database on a disk of 40 MiB, and where that is mounted; only root can."""
    place = own.folder.parent / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        (place / "space").mkdir()
        for one in (place, place / "space"):
            shutil.chown(one, "postgres")
        with database(own.server) as url:
            name = url.rpartition("/")[2]
            with psycopg.connect(own.server, autocommit=True) as operator:
                operator.execute(f"CREATE TABLESPACE small LOCATION '{place / 'space'}'".encode())
                operator.execute(f"ALTER DATABASE {name} SET TABLESPACE small".encode())
            yield url, place
        with psycopg.connect(own.server, autocommit=True) as operator:
            operator.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@needs_cluster
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
async def test_a_full_disk_loses_nothing(own: Cluster) -> None:
    """What does not fit is refused whole, what was kept stays, and with room again it is taken."""
    with small_disk(own) as (url, place):
        async with migrated(url, Clock()) as store:
            await store.keep([a_receipt(store, b"before")])
            fills = place / "fills"
            with contextlib.suppress(OSError), fills.open("wb") as file:
                while True:
                    file.write(bytes(65_536))
                    file.flush()
            batch = [a_receipt(store, b"%d" % one, body=os.urandom(MIB)) for one in range(3)]
            with pytest.raises(StoreUnavailable, match="DiskFull 53100"):
                await store.keep(batch)
            assert counted(url, "receipts") == 1
            fills.unlink()
            assert [one.duplicate for one in await store.keep(batch)] == [False] * 3
            assert counted(url, "receipts") == 4
