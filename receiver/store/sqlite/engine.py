"""SQLite through aiosqlite: one connection that writes, a few that read, every statement by its name."""

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from receiver.contract.errors import Conflict, SchemaError, StoreError, StoreUnavailable
from receiver.store import locks, sql
from receiver.store.query import Query
from receiver.store.records import DueDelivery, Step
from receiver.store.sqlite.match import match

PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "OFF",
    "temp_store": "MEMORY",
    "cache_size": "-16384",
    "mmap_size": "0",
    "busy_timeout": "10000",
    "secure_delete": "ON",
}
"""`synchronous=FULL` makes every commit wait for the disk: it is what a 200 promises."""

_CHECKPOINT = "16000"
"""Pages of log after which it is moved into the file: 64 MB. Less of it receives more slowly, with shorter pauses."""
_WIDEST = 512
"""Rows that one statement inserts at most: SQLite takes 32,766 parameters."""
_READERS = 3

_DUE = msgspec.json.Decoder(list[DueDelivery])

Row = tuple[Any, ...]
Params = Mapping[str, Any]


class SqliteEngine:
    """Runs named queries; writes are serialised in the process, and across processes by SQLite."""

    def __init__(self, path: Path, package: str) -> None:
        """`package` holds files of queries and the folder migrations."""
        self.path = path
        self._package = package
        self._sql = sql.load_all(package)
        self._wide: dict[tuple[str, int, int], str] = {}
        self._lock = asyncio.Lock()
        self._readers: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        self._all: list[aiosqlite.Connection] = []
        self._writer: aiosqlite.Connection | None = None
        self._share: int | None = None
        self._checkpoints = False

    async def open(
        self, *, checkpoint: bool = False, shared: bool = False, pragmas: Mapping[str, str] | None = None
    ) -> None:
        """Open the file, made if it is not there. `shared`: until it is closed, nobody puts another in its place.

        `checkpoint`: this process moves the log into the file. Only one connection of all processes may, so that no two
        do it at once (SQLite's WAL-reset fault, 3.7.0 to 3.51.2). Raises StoreUnavailable.
        """
        if shared:
            self._share = locks.share(self.path)
        _make_private(self.path)
        self._checkpoints = checkpoint
        chosen = {**PRAGMAS, **(pragmas or {}), "wal_autocheckpoint": _CHECKPOINT if checkpoint else "0"}
        with _translated(self.path):
            self._writer = await self._connect(chosen)
            for _ in range(_READERS):
                self._readers.put_nowait(await self._connect({**chosen, "wal_autocheckpoint": "0", "query_only": "ON"}))

    async def _connect(self, pragmas: Mapping[str, str]) -> aiosqlite.Connection:
        connection = aiosqlite.connect(self.path, isolation_level=None, cached_statements=256)
        await connection
        self._all.append(connection)
        for name, value in pragmas.items():
            await connection.execute_fetchall(f"PRAGMA {name}={value}")
        return connection

    async def close(self) -> None:
        """Close every connection; the last one of all processes leaves a file without a log."""
        for connection in reversed(self._all):
            await connection.close()
        self._all.clear()
        self._readers = asyncio.LifoQueue()
        self._writer = None
        if self._share is not None:
            os.close(self._share)
            self._share = None

    async def rows(self, name: str, params: Params | None = None, where: Sequence[str] = ()) -> list[Row]:
        """Run a named query that reads, and return its rows; `where` holds the conditions for its `{where}`."""
        text = self._sql[name].replace("{where}", sql.for_sqlite(where))
        if self._writer is None:
            raise StoreUnavailable(f"{self.path} is not open")
        connection = await self._readers.get()
        try:
            with _translated(self.path):
                return list(await connection.execute_fetchall(text, _plain(params)))  # type: ignore[arg-type]
        finally:
            self._readers.put_nowait(connection)

    async def found(self, name: str, params: Params, where: Sequence[str]) -> list[Row]:
        """Run a named search: its index gives the newest first by itself."""
        return await self.rows(name, params, where)

    async def write(self, name: str, params: Params | None = None) -> int:
        """Run one named statement and commit it; return how many rows it changed."""
        async with self._lock:
            with _translated(self.path):
                cursor = await self._connection.execute(self._sql[name], _plain(params))
                await self._committed()
                return cursor.rowcount

    async def insert(self, name: str, rows: Sequence[Row]) -> int:
        """Run one named insert of many rows as one statement and commit it; return how many it made."""
        async with self._lock:
            with _translated(self.path):
                cursor = await self._connection.execute(self._many(name, rows), _flat(rows))
                await self._committed()
                return cursor.rowcount

    @contextlib.asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator["Transaction"]:  # noqa: ARG002 -- all are
        """Several statements as one: all of them are kept, or none. Each runs alone."""
        async with self._lock:
            with _translated(self.path):
                try:
                    await self._connection.execute_fetchall("BEGIN IMMEDIATE")
                    yield Transaction(self, self._connection)
                    await self._connection.execute_fetchall("COMMIT")
                except BaseException:
                    await self._rollback()
                    raise

    async def apply(self, steps: Sequence[Step]) -> None:
        """Run statements that need nothing of each other as one transaction, and in one turn of the connection's thread.

        Each turn waits for the interpreter twice; where much is sent, that costs more than what is written.
        """
        statements = [one for step in steps for one in self._statements(step)]
        async with self._lock:
            with _translated(self.path):
                await _in_one_turn(self._connection, _applied, statements)

    async def _rollback(self) -> None:
        """End the transaction, if there is one, behind everything that the connection was told before.

        Who was cancelled does not know whether its BEGIN or COMMIT still waits in the connection's thread; so the
        ROLLBACK is queued at once, whoever cancels again, and finds out there.
        """
        rollback = asyncio.ensure_future(self._connection.execute_fetchall("ROLLBACK"))
        rollback.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([rollback])

    async def _committed(self) -> None:
        """Make sure that a statement was its own commit: one inside a transaction left open is on no disk."""
        if self._connection.in_transaction:
            await self._rollback()
            raise StoreUnavailable(f"{self.path}: a transaction had been left open; nothing was kept")

    async def migrate(self) -> list[str]:
        """Bring the schema to this release's; return the names of what was applied. Raises SchemaError if it is newer."""
        steps = _migrations(self._package)
        applied = []
        async with self._lock:
            with _translated(self.path):
                for number, (name, text) in enumerate(steps, 1):
                    if await self._apply(number, text):
                        applied.append(name)
        version = await self.version()
        if version > len(steps):
            raise SchemaError(
                f"{self.path} has schema {version}, and this release knows {len(steps)}: "
                "install the release that wrote it, or restore a backup made before"
            )
        return applied

    async def _apply(self, number: int, text: str) -> bool:
        try:
            await self._connection.execute_fetchall("BEGIN IMMEDIATE")
            found = await self._pragma("user_version")
            if found < number:
                for statement in _statements(text):
                    await self._connection.execute_fetchall(statement)
                await self._connection.execute_fetchall(f"PRAGMA user_version={number}")
            await self._connection.execute_fetchall("COMMIT")
        except BaseException:
            await self._rollback()
            raise
        return found < number

    def match(self, query: Query | None, tags: Sequence[str]) -> str:
        """Return a query and the tags that must be there in the words of the full-text index."""
        return match(query, tags)

    def marks(self, query: Query) -> Callable[[str], str]:  # noqa: ARG002 -- FTS5 has marked them already
        """Return what puts marks around the words of a query in what was found."""
        return str

    def indexed(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return rows of the full-text index as `add_segments` takes them."""
        return rows

    def unpacked(self, rows: Sequence[Row]) -> list[DueDelivery]:
        """Return the rows of a claim: they come as one, because the interpreter is handed over for each that is read."""
        told, data = rows[0]
        found, at = _DUE.decode(told), 0
        for one in found:
            if one.inline:
                end = at + one.size
                one.data, at = data[at:end], end
        return found

    async def purge(self) -> bool:
        """Write a few pages of the full-text index anew, without what was removed from it; say whether that was all.

        At the end the log is emptied, where this is the connection that may. Raises StoreUnavailable where a reader
        holds it: it can be tried again.
        """
        async with self._lock:
            with _translated(self.path):
                before = self._connection.total_changes
                await self._connection.execute_fetchall("INSERT INTO words (words, rank) VALUES ('merge', -16)")
                if self._connection.total_changes - before >= 2:  # the statement itself is one
                    return False
                return await self._empty_log() if self._checkpoints else True

    async def _empty_log(self) -> bool:
        await self._connection.execute_fetchall("PRAGMA busy_timeout=50")
        try:
            ((busy, *_),) = await self._connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            await self._connection.execute_fetchall(f"PRAGMA busy_timeout={PRAGMAS['busy_timeout']}")
        if busy:
            raise StoreUnavailable(f"{self.path}: the log is being read")
        return True

    async def version(self) -> int:
        """Return the number of the file's schema; 0 for an empty file."""
        with _translated(self.path):
            return await self._pragma("user_version")

    async def current(self) -> bool:
        """Say whether the file has exactly this release's schema."""
        return await self.version() == len(_migrations(self._package))

    async def data_version(self) -> int:
        """Return a number that changes whenever another connection has committed."""
        with _translated(self.path):
            return await self._pragma("data_version")

    async def listen(self) -> None:
        """Do nothing: `data_version` tells what others commit."""

    async def _pragma(self, name: str) -> int:
        ((value,),) = await self._connection.execute_fetchall(f"PRAGMA {name}")
        return int(value)

    @property
    def _connection(self) -> aiosqlite.Connection:
        if self._writer is None:
            raise StoreUnavailable(f"{self.path} is not open")
        return self._writer

    def _statements(self, step: Step) -> Iterator[tuple[str, Any]]:
        if step.params is not None:
            yield self._sql[step.name], _plain(step.params)
        for params in step.each:
            yield self._sql[step.name], _plain(params)
        for part in _parts(step.rows):
            yield self._many(step.name, part), _flat(part)

    def _many(self, name: str, rows: Sequence[Row]) -> str:
        key = (name, len(rows), len(rows[0]))
        if key not in self._wide:
            self._wide[key] = self._sql[name].replace("{rows}", sql.rows(len(rows), len(rows[0])))
        return self._wide[key]


class Transaction:
    """Runs named statements inside one transaction."""

    def __init__(self, engine: SqliteEngine, connection: aiosqlite.Connection) -> None:
        self._engine = engine
        self._connection = connection

    async def rows(self, name: str, params: Params | None = None) -> list[Row]:
        """Run a named query and return its rows."""
        return list(await self._connection.execute_fetchall(self._engine._sql[name], _plain(params)))  # type: ignore[arg-type]  # noqa: SLF001

    async def run(self, name: str, params: Params | None = None) -> int:
        """Run a named statement; return how many rows it changed."""
        cursor = await self._connection.execute(self._engine._sql[name], _plain(params))  # noqa: SLF001
        return cursor.rowcount

    async def insert(self, name: str, rows: Sequence[Row]) -> int:
        """Insert many rows, in one turn of the connection's thread; return how many were made."""
        statements = [(self._engine._many(name, part), _flat(part)) for part in _parts(rows)]  # noqa: SLF001
        made: int = await _in_one_turn(self._connection, _inserted, statements)
        return made

    async def run_many(self, name: str, rows: Sequence[Params]) -> int:
        """Run a named statement once for each set of parameters; return how many rows were changed together."""
        if not rows:
            return 0
        cursor = await self._connection.executemany(self._engine._sql[name], [_plain(row) for row in rows])  # noqa: SLF001
        return cursor.rowcount


async def _in_one_turn(connection: Any, work: Callable[..., Any], statements: Sequence[tuple[str, Any]]) -> Any:
    """Do in the connection's thread, at once, what aiosqlite has no public way for but a turn for each statement."""
    return await connection._execute(work, connection._conn, statements)  # noqa: SLF001


def _applied(connection: sqlite3.Connection, statements: Sequence[tuple[str, Any]]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for text, params in statements:
            connection.execute(text, params)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _inserted(connection: sqlite3.Connection, statements: Sequence[tuple[str, Any]]) -> int:
    return sum(connection.execute(text, params).rowcount for text, params in statements)


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield rows in parts whose lengths are powers of two: of each there is one statement, prepared once."""
    start = 0
    while left := len(rows) - start:
        length = min(_WIDEST, 1 << left.bit_length() - 1)
        yield rows[start : start + length]
        start += length


def _make_private(path: Path) -> None:
    """Make the file, readable by its owner only; SQLite gives its log the same rights. Raises StoreUnavailable."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


def _plain(params: Params | None) -> Params:
    """Lists travel as JSON, which queries open with json_each."""
    if params is None:
        return {}
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in params.items()}


def _flat(rows: Sequence[Row]) -> list[Any]:
    return [value for row in rows for value in row]


@contextlib.contextmanager
def _translated(path: Path) -> Any:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    except sqlite3.IntegrityError as error:
        raise Conflict(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: {error}") from error


def _migrations(package: str) -> list[tuple[str, str]]:
    folder = resources.files(package).joinpath("migrations")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(name, folder.joinpath(name).read_text("utf-8")) for name in names]


def _statements(text: str) -> list[str]:
    found, current = [], ""
    for line in text.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    if any(line.strip() and not line.startswith("--") for line in current.splitlines()):
        raise ValueError(f"a migration ends in the middle of a statement: {current.strip()[:80]}")
    return found
