"""Backup and restore of a store's file: consistent while it is written, whole or not there, nothing overwritten."""

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from kept import kept_in

from receiver.contract.errors import NotFound, SchemaError, StoreError, StoreUnavailable, UsageError
from receiver.contract.model import DeliveryState
from receiver.store import backup as copies
from receiver.store import locks
from receiver.store.backup import Copied, backup, restore
from receiver.store.opening import open_store
from receiver.testing.store import Clock, a_receipt, put_events


def quiet(done: int, total: int) -> None:
    """Tell nobody."""


async def fill(path: Path, *keys: bytes, size: int = 2) -> None:
    """Make a store with one receipt for each key."""
    async with kept_in(path, Clock()) as store:
        for key in keys:
            await store.keep([a_receipt(store, key, body=b"x" * size)])


def count(path: Path) -> int:
    """Return how many receipts a file has."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        found: int = connection.execute("SELECT count(*) FROM receipts").fetchone()[0]
        return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give the path of a store."""
    return tmp_path / "store.db"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Give the path of a backup."""
    return tmp_path / "kept.db"


async def test_what_comes_meanwhile_does_not_start_it_over(
    store: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step copies some more of one snapshot, though a receipt is committed between any two; all read it well."""
    monkeypatch.setattr(copies, "_STEP", 8)
    monkeypatch.setattr(copies, "_SYNC", 2)
    await fill(store, *(b"%d" % number for number in range(100)), size=5000)
    steps: list[int] = []
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as other:

        def meanwhile(done: int, total: int) -> None:
            steps.append(done)
            other.execute("UPDATE receipts SET reason = 'later'")

        copied = backup(store, kept, meanwhile)
    assert steps == sorted(steps)
    assert len(steps) > 10
    assert (copied.receipts, copied.size) == (100, kept.stat().st_size)
    with contextlib.closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM receipts WHERE reason IS NOT NULL").fetchone() == (0,)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert sorted(path.name for path in kept.parent.glob("kept*")) == ["kept.db"]


async def test_there_and_back(store: Path, kept: Path) -> None:
    """What was backed up is there again; what was in flight goes out again, and a redelivery of it is one."""
    async with kept_in(store, Clock()) as opened:
        await opened.keep([a_receipt(opened, b"one")])
        await put_events(opened, [None, None])
        await opened.due("archive", 1, in_order=False, max_bytes=1)
        backup(store, kept, quiet)
        await opened.keep([a_receipt(opened, b"two")])
    with pytest.raises(UsageError, match="--force"):
        restore(kept, store, quiet, stamp="now")
    copied = restore(kept, store, quiet, force=True, stamp="now")
    assert copied.replaced == store.with_name("store.db.replaced-now")
    assert (count(store), count(copied.replaced)) == (1, 2)
    async with kept_in(store, Clock()) as opened:
        assert await opened.reclaim() == 1
        again = await opened.keep([a_receipt(opened, b"one"), a_receipt(opened, b"two")])
        assert [one.duplicate for one in again] == [True, False]
        found = await opened.engine.rows("sink_backlogs")
        assert [(row[1], row[2]) for row in found] == [(DeliveryState.PENDING, 2)]


async def test_a_store_that_is_not_there(store: Path, kept: Path) -> None:
    """It cannot be backed up; a backup can be put in its place without force."""
    with pytest.raises(NotFound):
        backup(store, kept, quiet)
    await fill(kept, b"one")
    assert restore(kept, store, quiet, stamp="now").replaced is None
    assert count(store) == 1


async def test_a_store_in_use_is_not_replaced(store: Path, kept: Path) -> None:
    """While somebody has it open, it stays; while it is replaced, nobody opens it."""
    await fill(store, b"one")
    backup(store, kept, quiet)
    opened = await open_store(f"sqlite:{store}", Clock())
    with pytest.raises(UsageError, match="in use"):
        restore(kept, store, quiet, force=True, stamp="now")
    await opened.engine.close()
    with locks.alone(store), pytest.raises(StoreUnavailable, match="restore"):
        await open_store(f"sqlite:{store}", Clock())
    restore(kept, store, quiet, force=True, stamp="now")
    assert sorted(path.name for path in store.parent.glob("*.partial")) == []


async def test_nothing_is_overwritten_unasked(store: Path, kept: Path) -> None:
    """A file stays without force, and what belongs to the store stays with it; a link to it is the store too."""
    await fill(store, b"one")
    kept.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        backup(store, kept, quiet)
    assert kept.read_text() == "mine"
    assert backup(store, kept, quiet, force=True).receipts == 1
    link = kept.with_name("link.db")
    link.symlink_to(store)
    for place in (store, store.with_name("store.db-wal"), link):
        with pytest.raises(UsageError, match="belongs to the store"):
            backup(store, place, quiet, force=True)
    with pytest.raises(UsageError, match="no file"):
        backup(store, kept.parent, quiet, force=True)
    with pytest.raises(UsageError, match="itself"):
        restore(link, store, quiet, force=True, stamp="now")


async def test_a_store_is_no_backup(store: Path, kept: Path) -> None:
    """A file with its log beside it lacks what is in the log."""
    async with kept_in(store, Clock()) as opened:
        await opened.keep([a_receipt(opened, b"one")])
        with pytest.raises(UsageError, match="no backup but a store"):
            restore(store, kept, quiet, stamp="now")


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to look like one" * 20])
async def test_what_is_no_store_is_not_restored(store: Path, kept: Path, content: bytes) -> None:
    """An empty file, any file: the store stays as it is."""
    await fill(store, b"one")
    kept.write_bytes(content)
    with pytest.raises(StoreError):
        restore(kept, store, quiet, force=True, stamp="now")
    assert count(store) == 1


async def test_a_later_schema_is_not_restored(store: Path, kept: Path) -> None:
    """A store that could not be used is not made; what is there stays."""
    await fill(kept, b"one")
    with contextlib.closing(sqlite3.connect(kept)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(SchemaError, match="schema 99"):
        restore(kept, store, quiet, stamp="now")
    assert not store.exists()


async def test_a_damaged_backup_is_not_restored(store: Path, kept: Path) -> None:
    """Every page is read before anything changes."""
    await fill(store, *(b"%d" % number for number in range(50)), size=3000)
    backup(store, kept, quiet)
    with kept.open("r+b") as file:
        file.seek(kept.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        restore(kept, store, quiet, force=True, stamp="now")
    assert count(store) == 50


async def test_a_store_that_cannot_be_read_is_moved_aside_with_its_log(store: Path, kept: Path) -> None:
    """A restore is for broken stores: nothing of them is lost, and no old log is played into the new file."""
    await fill(kept, b"one")
    store.write_bytes(b"broken" * 1000)
    log = store.with_name("store.db-wal")
    log.write_bytes(b"log")
    copied = restore(kept, store, quiet, force=True, stamp="now")
    assert copied.replaced
    assert copied.replaced.read_bytes() == b"broken" * 1000
    assert not log.exists()
    assert count(store) == 1


async def test_two_at_once(store: Path, kept: Path) -> None:
    """The second says so, and leaves the first one's file alone."""
    await fill(store, b"one")

    def second(done: int, total: int) -> None:
        with pytest.raises(UsageError, match="another backup"):
            backup(store, kept, quiet)

    assert backup(store, kept, second).receipts == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from receiver.store import backup as copies
copies._STEP = 8

def killed(done, total):
    if done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

store, kept = map(Path, sys.argv[2:])
if sys.argv[1] == "backup":
    copies.backup(store, kept, killed, force=True)
else:
    copies.restore(kept, store, killed, force=True, stamp="killed")
"""


@pytest.mark.parametrize("verb", ["backup", "restore"])
async def test_killed_in_the_middle(store: Path, kept: Path, verb: str) -> None:
    """What was there before stays whole, and the next one takes the place of what was left."""
    await fill(store, *(b"%d" % number for number in range(100)), size=5000)
    backup(store, kept, quiet)
    await fill(store, b"later")
    done = subprocess.run([sys.executable, "-c", KILLED, verb, store, kept], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len([*store.parent.glob("*.partial")]) == 1
    assert count(kept) == 100
    async with kept_in(store, Clock()) as opened:
        assert len(await opened.waiting("received", 500)) == 101  # type: ignore[arg-type]
    copied: Copied = (
        backup(store, kept, quiet, force=True)
        if verb == "backup"
        else restore(kept, store, quiet, force=True, stamp="now")
    )
    assert copied.receipts == (101 if verb == "backup" else 100)
    assert not [*store.parent.glob("*.partial")]


async def test_a_full_disk(store: Path, tmp_path: Path) -> None:
    """A copy that does not fit leaves nothing behind, and says why."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting a file system needs root")
    await fill(store, *(b"%d" % number for number in range(100)), size=20_000)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        with pytest.raises(StoreUnavailable, match=r"full|I/O"):
            backup(store, small / "kept.db", quiet)
        assert [*small.iterdir()] == []
    finally:
        subprocess.run(["umount", small], check=True)


async def test_a_place_that_cannot_be_written_to(store: Path, tmp_path: Path) -> None:
    """A folder that is not there is an error with its name."""
    await fill(store, b"one")
    with pytest.raises(StoreUnavailable, match="No such file"):
        backup(store, tmp_path / "none" / "kept.db", quiet)
