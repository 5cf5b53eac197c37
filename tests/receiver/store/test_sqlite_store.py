"""The embedded store keeps the contract of stores, and what is SQLite's own: schema, disk, crashes, cancellation."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kept import kept_in

from receiver.contract.errors import ConfigError, SchemaError, StoreUnavailable
from receiver.contract.model import ReceiptState
from receiver.store.opening import PACKAGE, open_store, sqlite_path
from receiver.store.records import SinkRow
from receiver.store.sqlite import engine as engine_module
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Store
from receiver.testing.store import MIB, Clock, StoreContract, a_receipt, put_events


class TestSqliteStore(StoreContract):
    """The contract on SQLite."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @contextlib.asynccontextmanager
    async def opened(self, clock: Clock) -> AsyncIterator[Store]:
        async with kept_in(self.folder / "store.db", clock) as store:
            yield store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", Clock()) as opened:
        yield opened


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A file that a later release wrote is neither changed nor used."""
    path = tmp_path / "store.db"
    async with kept_in(path, Clock()) as store:
        assert await store.engine.current()
        assert await store.engine.migrate() == []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    engine = SqliteEngine(path, PACKAGE)
    await engine.open()
    with pytest.raises(SchemaError, match="schema 99"):
        await engine.migrate()
    assert not await engine.current()
    await engine.close()


_MIGRATE_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from receiver.store.opening import PACKAGE
from receiver.store.records import SinkRow
from receiver.store.sqlite import engine as module

steps = module._statements
def half(text):
    found = steps(text)
    for number, statement in enumerate(found):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement
module._statements = half

async def main():
    engine = module.SqliteEngine(Path(sys.argv[1]), PACKAGE)
    await engine.open()
    await engine.migrate()
asyncio.run(main())
"""


@pytest.mark.parametrize("statements", [0, 1, 9])
async def test_a_migration_killed_half_way_leaves_nothing(tmp_path: Path, statements: int) -> None:
    """After kill -9 in the middle the file has no table of ours, and migrates as if nothing had been."""
    path = tmp_path / "store.db"
    killed = subprocess.run([sys.executable, "-c", _MIGRATE_AND_DIE, str(path), str(statements)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    async with kept_in(path, Clock()) as store:
        assert [one.duplicate for one in await store.keep([a_receipt(store, b"m")])] == [False]


def test_a_migration_must_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement without its end is no statement that is left out in silence."""
    assert engine_module._statements("-- a\nSELECT 1;\n-- b\n") == ["-- a\nSELECT 1;\n"]
    with pytest.raises(ValueError, match="in the middle of a statement: SELECT 2"):
        engine_module._statements("SELECT 1;\nSELECT 2")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_keeps_nothing_half_and_writes_again_after(small_disk: Path) -> None:
    """A batch fails whole with StoreUnavailable, reading goes on, and once there is room so does writing."""
    async with kept_in(small_disk / "store.db", Clock()) as store:
        await store.keep([a_receipt(store, b"first")])
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError):
            ballast.write_bytes(b"x" * (4 * MIB))
        batch = [a_receipt(store, b"%d" % number, body=b"x" * 20_000) for number in range(5)]
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="full"):
                await store.keep(batch)
        with pytest.raises(StoreUnavailable, match="full"):
            await put_events(store, [None] * 2000)
        assert len(await store.waiting(ReceiptState.RECEIVED, 10)) == 1
        ballast.unlink()
        assert [one.duplicate for one in await store.keep(batch)] == [False] * 5
        await put_events(store, [None])
        assert len(await store.due("archive", 10, in_order=True, max_bytes=MIB)) == 1


async def test_any_number_of_rows_is_written_by_a_few_statements(store: Store) -> None:
    """A group of a thousand and one takes what groups of other sizes have prepared."""
    counts = (1, 2, 255, 511, 512, 513, 1001, 1300)
    for count in counts:
        assert len(await put_events(store, [None] * count)) == count
    ((events, deliveries),) = await _counted(store)
    assert events == deliveries == sum(counts)
    assert isinstance(store.engine, SqliteEngine)
    assert len([name for name, _, _ in store.engine._wide if name == "add_events"]) == 10


async def _counted(store: Store) -> list[tuple[int, int]]:
    assert isinstance(store.engine, SqliteEngine)
    query = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries)"
    with contextlib.closing(sqlite3.connect(store.engine.path)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("ticks", range(12))
async def test_a_cancelled_transaction_is_never_left_open(tmp_path: Path, ticks: int) -> None:
    """Cancelled at any instant, it is whole or not there, and what is kept next is committed by itself."""
    path = tmp_path / "store.db"
    async with kept_in(path, Clock()) as store:
        writing = asyncio.ensure_future(put_events(store, [None] * 50))
        for _ in range(ticks):
            await asyncio.sleep(0)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        await store.keep([a_receipt(store, b"m")])
        with contextlib.closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT count(*) FROM receipts").fetchone() == (1,)
            assert other.execute("SELECT count(*) FROM events").fetchone()[0] in (0, 50)


async def test_a_cancelled_begin_is_rolled_back(store: Store) -> None:
    """A BEGIN that still waits in the connection's thread when its task is cancelled opens nothing for others."""

    async def transact() -> None:
        async with store.engine.transaction():
            await asyncio.sleep(60)

    for _ in range(50):
        task = asyncio.ensure_future(transact())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(store.engine, SqliteEngine)
        assert not store.engine._connection.in_transaction


async def test_nothing_counts_as_written_inside_an_open_transaction(store: Store) -> None:
    """Were a transaction left open whatever the cause, no statement in it is called done."""
    assert isinstance(store.engine, SqliteEngine)
    await store.engine._connection.execute_fetchall("BEGIN")
    with pytest.raises(StoreUnavailable, match="left open"):
        await store.put_sink(SinkRow(name="archive", state="paused"))
    await store.put_sink(SinkRow(name="archive", state="running"))
    assert (await store.sinks())["archive"].state == "running"


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """After closing, reading and writing fail at once, and nothing waits for ever."""
    async with kept_in(tmp_path / "store.db", Clock()) as store:
        pass
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.engine.rows("sink_states")
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.engine.write("release_claim", {"id": 1})


async def test_another_process_is_seen(store: Store, tmp_path: Path) -> None:
    """What another connection commits changes the number that the worker watches."""
    before = await store.engine.data_version()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as other:
        other.execute("INSERT INTO workers (name, started_at) VALUES ('x', 0)")
        other.commit()
    assert await store.engine.data_version() != before


async def test_the_store_syncs_every_commit(store: Store) -> None:
    """`synchronous=FULL` on a write-ahead log: what a 200 promises."""
    assert isinstance(store.engine, SqliteEngine)
    assert await store.engine._pragma("synchronous") == 2
    assert list(await store.engine._connection.execute_fetchall("PRAGMA journal_mode")) == [("wal",)]
    assert await store.engine._pragma("wal_autocheckpoint") == 16_000


async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A folder that is not there is a store that is not there."""
    with pytest.raises(StoreUnavailable):
        await open_store(f"sqlite:{tmp_path}/none/store.db", Clock())


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite:", "file", "mysql:x"])
def test_other_stores_are_no_files(url: str) -> None:
    """Only an embedded store is a file."""
    with pytest.raises(ConfigError, match="use sqlite:PATH"):
        sqlite_path(url)
