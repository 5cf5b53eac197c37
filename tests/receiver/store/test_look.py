"""A store seen from outside: nothing is made, nothing changed."""

import fcntl
import sqlite3
from pathlib import Path

import pytest
from kept import kept_in

from receiver.store.look import look
from receiver.testing.store import Clock


async def test_a_store_is_seen_as_it_is(tmp_path: Path) -> None:
    """Schema, journal mode, rights; beside a process that has it open, and after it."""
    path = tmp_path / "hookscribe.db"
    async with kept_in(path, Clock()):
        seen = look(path)
        assert (seen.schema, seen.journal, seen.fault) == (seen.newest, "wal", None)
    seen = look(path)
    assert (seen.exists, seen.writable, seen.folder_writable, seen.readable_by_others) == (True, True, True, ())
    assert (seen.schema, seen.worked_on, seen.free > 0) == (seen.newest, False, True)


def test_nothing_is_made(tmp_path: Path) -> None:
    """A store that is not there is not there afterwards either."""
    seen = look(tmp_path / "hookscribe.db")
    assert (seen.exists, seen.schema, seen.folder_writable) == (False, None, True)
    assert list(tmp_path.iterdir()) == []
    assert look(tmp_path / "nowhere" / "hookscribe.db").folder_writable is False


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    """SQLite's own word, no exception."""
    path = tmp_path / "hookscribe.db"
    path.write_bytes(b"no database " * 100)
    assert look(path).fault == "file is not a database"


def test_an_older_schema_is_left_alone(tmp_path: Path) -> None:
    """Its number is read, and nothing migrated."""
    path = tmp_path / "hookscribe.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    seen = look(path)
    assert (seen.schema, seen.journal) == (0, "delete")


def test_rights_are_seen(tmp_path: Path) -> None:
    """Files that others may read, and a folder in which they may put their own."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    path = folder / "hookscribe.db"
    for name, mode in (("hookscribe.db", 0o600), ("hookscribe.db-quarantine", 0o640), ("other", 0o666)):
        (folder / name).touch()
        (folder / name).chmod(mode)
    seen = look(path)
    assert seen.folder_open
    assert seen.readable_by_others == (folder / "hookscribe.db-quarantine",)
    folder.chmod(0o1777)
    assert not look(path).folder_open


@pytest.mark.parametrize("held", [True, False])
def test_a_worker_is_seen_by_its_lock(tmp_path: Path, held: bool) -> None:
    """Whoever works on the store holds the lock; a file alone says nothing."""
    path = tmp_path / "hookscribe.db"
    with path.with_name("hookscribe.db-worker").open("w") as lock:
        if held:
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert look(path).worked_on is held
