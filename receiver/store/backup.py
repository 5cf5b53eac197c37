"""Backup and restore of an embedded store: one consistent file, whole or not there.

A backup reads one snapshot while everybody else goes on writing: pages are copied in steps within one read transaction,
so nothing starts over, and the log of the store grows until it has ended. The copy is made beside its place, checked,
synced, and moved there; what a killed backup leaves behind is `NAME.partial`, which the next one replaces.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from receiver.contract.errors import NotFound, SchemaError, StoreError, StoreUnavailable, UsageError
from receiver.store import locks
from receiver.store.look import newest_schema

ENDS = ("", "-wal", "-shm", "-open", "-worker", "-checkpoint", "-admin-token", "-link-key", "-quarantine")
"""What stands beside a store and belongs to it, by the end of the name."""
_STEP = 256
"""Pages copied at a time: 1 MiB."""
_SYNC = 16
"""Steps after which the copy is synced, so that the store's own commits do not wait behind all of it."""
_TABLES = {"receipts", "transcripts", "events", "deliveries"}

Progress = Callable[[int, int], None]
"""Told how many pages are copied, of how many."""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What was backed up or restored."""

    path: Path
    size: int
    schema: int
    receipts: int
    newest_receipt: int | None
    """Id of the newest receipt in it; callbacks that came later are not."""
    replaced: Path | None = None
    """Where the store is now that a restore replaced."""


def backup(store: Path, to: Path, progress: Progress, *, force: bool = False) -> Copied:
    """Write one consistent file of a store, which may be in use; `to` may be replaced with `force` only.

    Raises NotFound, UsageError, StoreError and StoreUnavailable.
    """
    if not store.exists():
        raise NotFound(f"there is no store {store}")
    _check_place(store, to, force=force)
    with _partial(to) as made:
        with contextlib.closing(_opened(store, "mode=rw")) as source:
            _check_schema(source, store)
            _copy(source, made, progress)
        copied = _checked(made)
        made.replace(to)
    _sync_folder(to)
    return msgspec.structs.replace(copied, path=to)


def restore(source: Path, store: Path, progress: Progress, *, force: bool = False, stamp: str) -> Copied:
    """Put a backup in the place of a store that nobody has open.

    Where one is there, `force` moves it aside, with `.replaced-STAMP` behind its name. Raises UsageError, SchemaError
    and StoreError; then nothing has changed.
    """
    log = source.with_name(source.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise UsageError(
            f"{source} has a log beside it: it is no backup but a store; `hookscribe backup` makes one of it"
        )
    if source.exists() and store.exists() and source.samefile(store):
        raise UsageError(f"{source} is the store itself")
    if store.exists() and not force:
        raise UsageError(f"{store} is there already: --force moves it aside, and puts the backup in its place")
    with locks.alone(store), _partial(store) as made:
        with contextlib.closing(_opened(source, "mode=ro&immutable=1")) as opened:
            _check_schema(opened, source)
            _copy(opened, made, progress)
        copied = _checked(made)
        replaced = _moved_aside(store, stamp) if store.exists() else None
        made.replace(store)
        _sync_folder(store)
    return msgspec.structs.replace(copied, path=store, replaced=replaced)


def _check_place(store: Path, to: Path, *, force: bool) -> None:
    own = {store.absolute().with_name(store.name + end).resolve() for end in ENDS}
    if to.absolute().resolve() in own or (to.exists() and to.samefile(store)):
        raise UsageError(f"{to} belongs to the store itself; name another file")
    if to.exists() and not to.is_file():
        raise UsageError(f"{to} is no file")
    if to.exists() and not force:
        raise UsageError(f"{to} is there already: name another file, or replace it with --force")


@contextlib.contextmanager
def _partial(place: Path) -> Iterator[Path]:
    """Give an empty file beside its later place, private; what is left of it at the end is removed."""
    path = place.with_name(place.name + ".partial")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error
    try:
        _take(descriptor, path)
        with contextlib.ExitStack() as stack:
            stack.callback(path.unlink, missing_ok=True)
            yield path
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    """Have a file for ourselves, and empty; what another one finished between our opening and locking stays."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise UsageError(f"{path}: another backup or restore is writing it")
    os.fchmod(descriptor, 0o600)
    os.ftruncate(descriptor, 0)


def _opened(path: Path, options: str) -> sqlite3.Connection:
    with _translated(path):
        address = f"file:{quote(str(path.absolute()))}?{options}"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=10.0)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return connection


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError for a file that is no store, SchemaError for one of a later release."""
    with _translated(path):
        ((schema,),) = connection.execute("PRAGMA user_version").fetchall()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not schema or not tables >= _TABLES:
        raise StoreError(f"{path} is no store of Hookscribe")
    if schema > newest_schema():
        raise SchemaError(
            f"{path} has schema {schema}, and this release knows {newest_schema()}: use the release that wrote it"
        )


def _copy(source: sqlite3.Connection, to: Path, progress: Progress) -> None:
    """Copy one snapshot page by page, and leave a single synced file without a log."""
    steps = 0
    descriptor = os.open(to, os.O_RDONLY | os.O_CLOEXEC)

    def step(_: int, remaining: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps % _SYNC == 0:
            os.fsync(descriptor)
        progress(total - remaining, total)

    try:
        with _translated(to), contextlib.closing(_opened(to, "mode=rw&vfs=unix-none")) as target:
            for pragma in ("locking_mode=EXCLUSIVE", "synchronous=OFF", "journal_mode=OFF"):
                target.execute(f"PRAGMA {pragma}")
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM sqlite_master").fetchone()  # the snapshot is that of the first read
            source.backup(target, pages=_STEP, progress=step, sleep=0)
            source.execute("COMMIT")
            target.execute("PRAGMA journal_mode=DELETE")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(path: Path) -> Copied:
    """Read a copy from end to end. Raises StoreError where it is damaged."""
    with _translated(path), contextlib.closing(_opened(path, "mode=ro&immutable=1")) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreError(f"what was copied is damaged: {found}")
        ((schema,),) = connection.execute("PRAGMA user_version").fetchall()
        ((receipts, newest),) = connection.execute("SELECT count(*), max(id) FROM receipts").fetchall()
    return Copied(path=path, size=path.stat().st_size, schema=schema, receipts=receipts, newest_receipt=newest)


def _moved_aside(store: Path, stamp: str) -> Path:
    """Give the store a second name, and take its log away, so that the file can be replaced at one stroke."""
    aside = store.with_name(f"{store.name}.replaced-{stamp}")
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    try:
        os.link(store, aside)
        with contextlib.suppress(FileNotFoundError):
            store.with_name(f"{store.name}-wal").rename(f"{aside}-wal")
        store.with_name(f"{store.name}-shm").unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{store} cannot be moved aside: {error.strerror}; move it yourself") from error
    return aside


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: {error}") from error
