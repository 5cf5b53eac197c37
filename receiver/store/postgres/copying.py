"""Moves an embedded store into a database: every id stays, and what was copied is read again and compared.

Tables are copied in the order of their keys, part by part, each part one commit; so the newest key that is there tells where
a copy that was stopped goes on. The quarantine, which expires, stays behind; deliveries that were being sent are pending. The
full-text index is not copied but made anew by whoever works on the database first.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from receiver.contract.errors import ConfigError, SchemaError, StoreError, UsageError
from receiver.store import locks
from receiver.store.listing import fitting
from receiver.store.look import newest_schema
from receiver.store.postgres.errors import translated

_ROWS = 2000
_BYTES = 32 * 1024 * 1024
_NEWEST = "SELECT max(number) FROM hookscribe_schema"
_STATE = "CASE state WHEN 'in_flight' THEN 'pending' ELSE state END AS state"

Progress = Callable[[str, int, int], None]
"""Told the table, how many rows of it are there, of how many."""


class Table(msgspec.Struct, frozen=True):
    """A table: its key, and its other columns; types as PostgreSQL calls them, `said` as SQLite is asked for a column."""

    name: str
    key: dict[str, str]
    columns: dict[str, str]
    said: dict[str, str] = {}

    @property
    def types(self) -> dict[str, str]:
        """Return all columns that are copied."""
        return self.key | self.columns

    def ask(self) -> str:
        """Return how SQLite is asked for rows behind a key."""
        wanted = ", ".join(self.said.get(name, name) for name in self.types)
        keys, slots = ", ".join(self.key), ", ".join("?" * len(self.key))
        return f"SELECT {wanted} FROM {self.name} WHERE ({keys}) > ({slots}) ORDER BY {keys} LIMIT {_ROWS}"  # noqa: S608 -- our names


def _columns(text: str) -> dict[str, str]:
    """Read `name:type name name:type …`; without a type it is text."""
    pairs = (one.partition(":") for one in text.split())
    return {name: {"b": "bytea", "n": "int8", "i": "int4"}.get(kind, "text") for name, _, kind in pairs}


TABLES = (
    Table(
        "receipts",
        _columns("id:n"),
        _columns(
            "source provider day:n key:n key_rest:n verdict state tries:i received_at:n size:n reason outcome checks headers:b"
            " body:b reread:b"
        ),
    ),
    Table("calls", _columns("id:n"), _columns("key created_at:n updated_at:n doc:b")),
    Table(
        "transcripts",
        _columns("id:n"),
        _columns("source provider operation job_id kind call_id:n status version:i digest:b dated received_at:n"),
    ),
    Table(
        "versions",
        _columns("transcript_id:n version:i"),
        _columns("receipt_id:n created_at:n normalizer doc:b"),
    ),
    Table(
        "events",
        _columns("seq:n"),
        _columns("id:n source type time subject call_id:n transcript_id:n version:i data:b"),
    ),
    Table(
        "deliveries",
        _columns("id:n"),
        _columns("sink event_id:n call_id:n state attempts:i next_at:n detail updated_at:n"),
        {"state": _STATE},
    ),
    Table("attempts", _columns("id:n"), _columns("delivery_id:n number:i started_at:n duration:n outcome detail")),
    Table("sinks", _columns("name"), _columns("state failures:i reason probe_at:n updated_at:n")),
    Table("retention", _columns("thing"), _columns("until:n")),
    Table("sink_memory", _columns("sink key"), _columns("value updated_at:n")),
    Table(
        "jobs",
        _columns("id:n"),
        _columns(
            "source provider operation state job_id recording round:i token:b token_used:i call_key owner:n sending:i"
            " created_at:n updated_at:n submitted_at:n result_at:n deadline:n next_poll:n polls:i detail note:b doc:b"
        ),
    ),
    Table("retired_tokens", _columns("job_id:n"), _columns("source token:b")),
    Table("buckets", _columns("source bucket"), _columns("taken frozen_until:n")),
    Table("secrets", _columns("source name"), _columns("sealed:b updated_at:n")),
    Table(
        "subscriptions",
        _columns("source id"),
        _columns("address lifetime:n expires_at:n told:i"),
    ),
    Table("tokens", _columns("id:n"), _columns("name role digest:b expires_at:n revoked_at:n")),
    Table("audit", _columns("id:n"), _columns("who via what thing detail")),
    Table("answers", _columns("id:n"), _columns("transcript_id:n version:i source asked_at:n said:b")),
    Table("followed", _columns("receipt_id:n"), _columns("tries:i due_at:n why")),
)
_FIRST = {"text": "", "int8": -1, "int4": -1}


def copy_store(source: Path, to: str, progress: Progress) -> dict[str, int]:
    """Copy an embedded store that nobody has open into a migrated database; return how many rows each table has.

    Raises UsageError, SchemaError, StoreUnavailable, and StoreError where what is there is not what was copied.
    """
    if not source.exists():
        raise UsageError(f"there is no store {source}")
    with locks.alone(source), contextlib.closing(_opened(source)) as embedded, _connected(to) as database:
        origin = _origin(embedded, source)
        _begin(database, origin)
        for table in TABLES:
            _copy(embedded, database, table, progress)
        counts = {table.name: _compared(embedded, database, table, progress) for table in TABLES}
        _end(embedded, database, origin)
    return counts


@contextlib.contextmanager
def _connected(to: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with translated("the database"):
        try:
            with psycopg.connect(to, autocommit=True, prepare_threshold=None) as connection:
                yield connection
        except psycopg.ProgrammingError as error:
            if error.sqlstate is None:
                raise ConfigError(
                    "--to: the address cannot be read; expected postgresql://user:password@host/db"
                ) from None
            raise


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    ((schema,),) = connection.execute("PRAGMA user_version").fetchall()
    if schema != newest_schema():
        connection.close()
        raise SchemaError(
            f"{path} has schema {schema}, and this release's is {newest_schema()}: run `hookscribe migrate` on it"
        )
    return connection


def _origin(embedded: sqlite3.Connection, source: Path) -> str:
    """Return what tells this store from another: its first start."""
    found = embedded.execute("SELECT start, started_at FROM workers ORDER BY start LIMIT 1").fetchone()
    if found is None:
        raise UsageError(f"{source} was never worked on: there is nothing to copy")
    return f"{found[0]}/{found[1]}"


def _begin(database: psycopg.Connection[tuple[Any, ...]], origin: str) -> None:
    """Take an empty database, or one that holds a part of the same copy. Raises UsageError or SchemaError."""
    try:
        begun = [row[0] for row in database.execute("SELECT origin FROM copied").fetchall()]
    except psycopg.errors.UndefinedTable:
        raise SchemaError(
            "the database does not have this release's schema: run `hookscribe migrate` on it first"
        ) from None
    if begun and begun != [origin]:
        raise UsageError("--to: the database holds a copy of another store; take an empty one")
    if not begun:
        used = database.execute("SELECT 1 FROM receipts UNION ALL SELECT 1 FROM workers LIMIT 1").fetchone()
        if used:
            raise UsageError("--to: the database is in use already; take an empty one")
    with database.transaction():
        database.execute(
            "INSERT INTO copied VALUES (%s, false) ON CONFLICT (origin) DO UPDATE SET done = false", [origin]
        )
        if database.execute("SELECT 1 FROM workers LIMIT 1").fetchone():
            raise UsageError("--to: somebody has worked on this copy since; take an empty database")


def _copy(
    embedded: sqlite3.Connection, database: psycopg.Connection[tuple[Any, ...]], table: Table, progress: Progress
) -> None:
    """Copy what is missing of a table, part by part."""
    names = [sql.Identifier(name) for name in table.types]
    extra, more = ([sql.Identifier("place")], ["int8"]) if table.name == "receipts" else ([], [])
    text = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table.name), sql.SQL(", ").join([*names, *extra])
    )
    total = embedded.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]  # noqa: S608 -- our names
    there = database.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))).fetchone()
    done = there[0] if there else 0
    after = _last(database, table)
    while rows := embedded.execute(table.ask(), after).fetchall():
        part = rows[: fitting([_size(row) for row in rows], _BYTES)]
        with database.transaction(), database.cursor() as cursor, cursor.copy(text) as copied:
            copied.set_types([*table.types.values(), *more])
            for row in part:
                copied.write_row((*row, 0) if extra else row)
        after = part[-1][: len(table.key)]
        done += len(part)
        progress(table.name, done, total)


def _last(database: psycopg.Connection[tuple[Any, ...]], table: Table) -> Sequence[Any]:
    """Return the newest key that is there, or what is below all keys."""
    keys = [sql.SQL("{} {} DESC").format(sql.Identifier(key), _collated(kind)) for key, kind in table.key.items()]
    names = sql.SQL(", ").join(map(sql.Identifier, table.key))
    text = sql.SQL("SELECT {} FROM {} ORDER BY {} LIMIT 1").format(
        names, sql.Identifier(table.name), sql.SQL(", ").join(keys)
    )
    found = database.execute(text).fetchone()
    return found or [_FIRST[kind] for kind in table.key.values()]


def _collated(kind: str) -> sql.SQL:
    """Order texts as SQLite does: by their bytes."""
    return sql.SQL('COLLATE "C"') if kind == "text" else sql.SQL("")


def _size(row: Sequence[Any]) -> int:
    return sum(len(value) for value in row if isinstance(value, bytes | str))


def _compared(
    embedded: sqlite3.Connection, database: psycopg.Connection[tuple[Any, ...]], table: Table, progress: Progress
) -> int:
    """Read a table on both sides; return how many rows it has. Raises StoreError where they differ."""
    names = sql.SQL(", ").join(map(sql.Identifier, table.types))
    order = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(key), _collated(kind)) for key, kind in table.key.items()
    )
    with database.transaction(), database.cursor("compared", binary=True) as cursor:
        cursor.itersize = 500
        cursor.execute(sql.SQL("SELECT {} FROM {} ORDER BY {}").format(names, sql.Identifier(table.name), order))
        theirs = _digest(cursor, table.name, progress)
    ours = _digest(_all_of(embedded, table), table.name, progress)
    if ours != theirs:
        raise StoreError(
            f"{table.name}: {theirs[0]} rows are there of {ours[0]}, or they differ; empty the database and copy again"
        )
    return ours[0]


def _all_of(embedded: sqlite3.Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    after: Sequence[Any] = [_FIRST[kind] for kind in table.key.values()]
    while rows := embedded.execute(table.ask(), after).fetchall():
        yield from rows
        after = rows[-1][: len(table.key)]


def _digest(rows: Iterable[tuple[Any, ...]], name: str, progress: Progress) -> tuple[int, bytes]:
    """Return how many rows there are, and a digest of all of them."""
    count, digest = 0, hashlib.blake2b(digest_size=32)
    for row in rows:
        digest.update(msgspec.msgpack.encode(row))
        count += 1
        if count % _ROWS == 0:
            progress(f"{name} (compared)", count, 0)
    return count, digest.digest()


def _end(embedded: sqlite3.Connection, database: psycopg.Connection[tuple[Any, ...]], origin: str) -> None:
    """Let numbers go on behind those that were given, and people begin."""
    ((start,),) = embedded.execute("SELECT max(start) FROM workers").fetchall()
    ((given,),) = embedded.execute(
        "SELECT max((SELECT given FROM event_numbers), coalesce((SELECT max(seq) FROM events), 0))"
    ).fetchall()
    with database.transaction():
        database.execute("SELECT setval('starts', %s)", [start])
        database.execute("SELECT setval(pg_get_serial_sequence('events', 'seq'), %s, %s)", [max(1, given), given > 0])
        database.execute(
            "INSERT INTO unindexed (transcript_id, version) SELECT id, version FROM transcripts"
            " ON CONFLICT (transcript_id) DO UPDATE SET version = excluded.version"
        )
        database.execute("UPDATE copied SET done = true WHERE origin = %s", [origin])
    database.execute("ANALYZE")  # nobody waits for autovacuum with plans for an empty database
