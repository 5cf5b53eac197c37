"""PostgreSQL through psycopg: every statement by its name, nothing kept in a session, so that a pooler may stand between."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from psycopg import conninfo
from psycopg import errors as pg

from receiver.contract.errors import ConfigError, SchemaError, StoreError, StoreUnavailable
from receiver.store import sql
from receiver.store.postgres.errors import Lost
from receiver.store.postgres.finding import newest
from receiver.store.postgres.link import Link
from receiver.store.postgres.listening import listen
from receiver.store.postgres.migrations import Schema
from receiver.store.postgres.pool import Pool
from receiver.store.postgres.words import Marking, indexed, match
from receiver.store.query import Query
from receiver.store.records import DueDelivery, Step

PACKAGE = "receiver.store.postgres"
FILES = (
    "queries.sql",
    "search.sql",
    "asking.sql",
    "jobs.sql",
    "access.sql",
    "answers.sql",
    "pages.sql",
    "shared.sql",
)
"""The statements of the store; those of the quarantine are its own."""
TIMEOUT = 15.0
"""Seconds that a statement has; a body of 64 MiB needs a few."""
CONNECTIONS = 6
_VACUUM = "VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON) segments"
_VACUUMING = 900.0
"""Seconds."""
_GATHERED = 0.02
"""Seconds in which what there is to tell is told together."""

_BEGIN = (
    "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL statement_timeout = '14s'; "
    "SET LOCAL lock_timeout = '12s'"
)
"""What a process that hangs holds is free again after these times."""
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('hookscribe alone ' || current_schema(), 0))"

Row = tuple[Any, ...]
Params = Mapping[str, Any]


class PostgresEngine:
    """Runs named queries."""

    def __init__(self, url: str, files: Sequence[str] = FILES) -> None:
        """`url` is a connection address of libpq, with whatever it knows. Raises ConfigError."""
        self._conninfo, self.where = _address(url)
        texts = {name: text for file in files for name, text in sql.load(PACKAGE, file).items()}
        self._sql = {name: sql.for_psycopg(text) for name, text in texts.items()}
        self._columns = {name: sql.names(text) for name, text in texts.items()}
        self._pool = Pool(self._conninfo, self.where, CONNECTIONS)
        self.heard = 0
        """Raised whenever another process says that it wrote something."""
        self.who = secrets.token_hex(8)
        self._telling: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Return what to connect to, password included."""
        return self._conninfo

    async def rows(self, name: str, params: Params | None = None, where: Sequence[str] = ()) -> list[Row]:
        """Run a named query that reads, and return its rows; `where` holds the conditions for its `{where}`."""
        text = self._sql[name]
        if "{where}" in text:
            text = text.replace("{where}", sql.for_psycopg(" AND ".join(where)) or "TRUE")
        try:
            return await self._read(text, params or {})
        except Lost:  # one that was used before may have ended since; a new one tells how the server is
            return await self._read(text, params or {})

    async def found(self, name: str, params: Params, where: Sequence[str]) -> list[Row]:
        """Run a named search, from the newest segments on."""

        async def look(low: int, before: int, limit: int) -> list[Row]:
            return await self.rows(name, {**params, "low": low, "before": before, "limit": limit}, where)

        ((first, last),) = await self.rows("segment_ends")
        low, before = max(params["low"], first), min(params["before"], last + 1)
        return await newest(look, low, before, params["limit"])

    async def _read(self, text: str, params: Params) -> list[Row]:
        async with self._linked() as link:
            cursor = await link.run(text, params, timeout=TIMEOUT)
            return await cursor.fetchall()

    @contextlib.asynccontextmanager
    async def _linked(self) -> AsyncIterator[Link]:
        async with self._pool.link() as link:
            try:
                yield link
            except Lost:
                await self._pool.drop()
                raise

    async def write(self, name: str, params: Params | None = None) -> int:
        """Run one named statement and commit it; return how many rows it changed."""
        async with self.transaction() as tx:
            return await tx.run(name, params)

    async def insert(self, name: str, rows: Sequence[Row]) -> int:
        """Run one named insert of many rows as one statement and commit it; return how many it made.

        Raises Lost where it may have been done.
        """
        async with self._linked() as link:
            cursor = await link.run(self._sql[name], self.turned(name, rows), timeout=TIMEOUT)
            return cursor.rowcount

    @contextlib.asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator["Transaction"]:
        """Several statements as one: all of them are kept, or none. Raises Lost where the commit may have been done.

        `alone`: what it reads first still holds when it writes, as no other such transaction runs at the same time.
        """
        async with contextlib.AsyncExitStack() as stack:
            link = await self._begun(stack)
            try:
                if alone:
                    await link.run(_ALONE, timeout=TIMEOUT)
                yield Transaction(self, link)
                cursor = await link.run("COMMIT", timeout=TIMEOUT)
            except BaseException:
                with contextlib.suppress(StoreUnavailable):
                    await link.run("ROLLBACK", timeout=1.0)
                raise
            if cursor.statusmessage != "COMMIT":
                raise StoreUnavailable(f"{self.where}: a transaction had failed; nothing was kept")

    async def apply(self, steps: Sequence[Step]) -> None:
        """Run statements that need nothing of each other as one transaction. Raises as `transaction`."""
        async with self.transaction() as tx:
            for step in steps:
                if step.params is not None:
                    await tx.run(step.name, step.params)
                await tx.run_many(step.name, step.each)
                await tx.insert(step.name, step.rows)

    async def _begun(self, stack: contextlib.AsyncExitStack) -> Link:
        link = await stack.enter_async_context(self._linked())
        try:
            await link.run(_BEGIN, timeout=TIMEOUT)
        except Lost:
            await self._pool.drop()
            link = await stack.enter_async_context(self._linked())
            await link.run(_BEGIN, timeout=TIMEOUT)
        return link

    def turned(self, name: str, rows: Sequence[Row]) -> Params:
        """Return rows as the columns that a query takes, by the names of its parameters."""
        return dict(zip(self._columns[name], ([*column] for column in zip(*rows, strict=True)), strict=True))

    def sql(self, name: str) -> str:
        """Return a query as the client takes it."""
        return self._sql[name]

    def tell(self) -> None:
        """Let others know soon that there is something for them; nothing depends on it."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        await asyncio.sleep(_GATHERED)
        with contextlib.suppress(StoreError):
            await self.rows("tell", {"who": self.who})

    def match(self, query: Query | None, tags: Sequence[str]) -> str:
        """Return a query and the tags that must be there as a tsquery."""
        return match(query, tags)

    def marks(self, query: Query) -> Marking:
        """Return what puts marks around the words of a query in what was found."""
        return Marking(query)

    def indexed(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows of the full-text index as `add_segments` takes them."""
        return indexed(rows)

    def unpacked(self, rows: Sequence[Row]) -> list[DueDelivery]:
        """Return the rows of a claim."""
        read = (
            (*start, data or b"", size, int(data is not None), follows, place)
            for *start, data, size, follows, place in rows
        )
        return [DueDelivery(*row) for row in read]

    async def purge(self) -> bool:
        """Vacuum the full-text index: the places of removed words are free, and written over as others come; say True."""
        async with self._linked() as link:
            await link.run(_VACUUM, timeout=_VACUUMING)
        return True

    async def migrate(self) -> list[str]:
        """Bring the schema to this release's; return the names of what was applied. Several at once are safe.

        Raises SchemaError if it is too new.
        """
        async with self._linked() as link:
            return await Schema(link, self.where).migrate()

    async def version(self) -> int:
        """Return the number of the newest migration; 0 for an empty database."""
        async with self._linked() as link:
            return (await Schema(link, self.where).state())[0]

    async def current(self) -> bool:
        """Say whether this release can work with the schema: with its own, or a later one that allows it.

        Raises SchemaError where a copy into it has not ended.
        """
        async with self._linked() as link:
            fits = await Schema(link, self.where).fits()
        if fits and await self.rows("unfinished_copies"):
            raise SchemaError(f"{self.where} is being filled by `hookscribe copy`: let it end, or start it again")
        return fits

    async def data_version(self) -> int:
        """Return a number that changes when another process has said that it wrote."""
        return self.heard

    async def listen(self) -> None:
        """Hear of what others write, until cancelled; returns where that cannot be heard."""
        await listen(self)

    async def close(self) -> None:
        """Close every connection."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await self._pool.close()


class Transaction:
    """Runs named statements inside one transaction."""

    def __init__(self, engine: PostgresEngine, link: Link) -> None:
        self._engine = engine
        self._link = link

    async def rows(self, name: str, params: Params | None = None) -> list[Row]:
        """Run a named query and return its rows."""
        cursor = await self._link.run(self._engine.sql(name), params or {}, timeout=TIMEOUT)
        return await cursor.fetchall()

    async def run(self, name: str, params: Params | None = None) -> int:
        """Run a named statement; return how many rows it changed."""
        cursor = await self._link.run(self._engine.sql(name), params or {}, timeout=TIMEOUT)
        return cursor.rowcount

    async def insert(self, name: str, rows: Sequence[Row]) -> int:
        """Insert many rows with one statement; return how many were made."""
        return await self.run(name, self._engine.turned(name, rows)) if rows else 0

    async def run_many(self, name: str, rows: Sequence[Params]) -> int:
        """Run a named statement for many sets of parameters at once; return how many rows were changed together."""
        if not rows:
            return 0
        return await self.run(name, {key: [row[key] for row in rows] for key in rows[0]})


def _address(url: str) -> tuple[str, str]:
    """Return what to connect with, and how to call it without its password."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except pg.ProgrammingError:
        raise ConfigError(
            "store: the address cannot be read; expected postgresql://user:password@host:5432/database, with /, @, : and % "
            "in a password written as %2F, %40, %3A and %25"
        ) from None
    chosen: dict[str, Any] = {"application_name": "hookscribe", "tcp_user_timeout": "20000", **parts}
    shown = f"postgresql://{parts.get('host', '')}{_port(parts)}/{parts.get('dbname', '')}"
    return conninfo.make_conninfo(**chosen), shown


def _port(parts: Mapping[str, Any]) -> str:
    return f":{parts['port']}" if "port" in parts else ""
