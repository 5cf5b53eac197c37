"""Looks at an embedded store's files from outside: nothing is made, migrated or changed."""

import contextlib
import fcntl
import os
import sqlite3
import stat
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import msgspec

from receiver.store import disk
from receiver.store.opening import PACKAGE

_ENDS = ("", "-wal", "-shm", "-open", "-quarantine", "-admin-token", "-link-key")


class FileLook(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to see of a store: its folder, its file, and what SQLite says of it."""

    path: Path
    exists: bool
    writable: bool
    folder_writable: bool
    folder_open: bool
    """Others may put files of their own in place of ours."""
    readable_by_others: tuple[Path, ...]
    free: int
    """Bytes that are left on the disk."""
    filesystem: str | None = None
    """The kind of file system that it is on; None where nobody says."""
    sqlite: tuple[int, ...]
    journal: str | None = None
    schema: int | None = None
    """Number of the file's schema; None where the file cannot be read."""
    newest: int
    """Number of this release's schema."""
    fault: str | None = None
    worked_on: bool = False
    """A `serve` works on it now."""


def look(path: Path) -> FileLook:
    """Look at the store in a file, which need not be there."""
    folder = path.absolute().parent
    beside = (path.with_name(path.name + end) for end in _ENDS)
    seen = FileLook(
        path=path,
        exists=path.exists(),
        writable=os.access(path, os.R_OK | os.W_OK),
        folder_writable=os.access(folder, os.W_OK | os.X_OK),
        folder_open=_open_to_others(folder),
        readable_by_others=tuple(one for one in beside if _mode(one) & (stat.S_IRWXG | stat.S_IRWXO)),
        free=disk.free(path),
        filesystem=disk.filesystem(path),
        sqlite=sqlite3.sqlite_version_info,
        newest=newest_schema(),
        worked_on=_held(path.with_name(path.name + "-worker")),
    )
    return _inside(seen) if seen.exists and seen.writable else seen


def _inside(seen: FileLook) -> FileLook:
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(seen.path))}?mode=rw", uri=True, timeout=5.0)
        ) as connection:
            ((schema,),) = connection.execute("PRAGMA user_version").fetchall()
            ((journal,),) = connection.execute("PRAGMA journal_mode").fetchall()
    except sqlite3.Error as error:
        return msgspec.structs.replace(seen, fault=str(error))
    return msgspec.structs.replace(seen, schema=schema, journal=journal)


def newest_schema() -> int:
    """Return the number of this release's schema."""
    names = resources.files(PACKAGE).joinpath("migrations").iterdir()
    return sum(item.name.endswith(".sql") for item in names)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _open_to_others(folder: Path) -> bool:
    mode = _mode(folder)
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _held(lock: Path) -> bool:
    """Say whether a worker holds its lock; a shared one, let go at once, tells."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
