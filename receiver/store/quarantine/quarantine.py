"""What was refused: put, listed, taken out, and kept within its bounds. Not synced: it may be lost, never in the way."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

import msgspec

from receiver.contract.errors import NotFound, StoreError
from receiver.store.ids import QUARANTINED, encode
from receiver.store.opening import is_shared, postgres_engine, sqlite_path
from receiver.store.quarantine.records import (
    Narrowed,
    NewQuarantined,
    Quarantined,
    QuarantinedRow,
    RefusalCount,
    as_request,
    read_checks,
)
from receiver.store.quarantine.trimming import Bounds, trim
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Engine

PACKAGE = "receiver.store.quarantine"
HOURS_KEPT = 31 * 24
_PRAGMAS = {"synchronous": "OFF", "cache_size": "-2048", "journal_size_limit": "4194304", "secure_delete": "FAST"}
_HOUR = 3600.0
_CONDITIONS = {
    "source": "source = :source",
    "reason": "reason = :reason",
    "since": "received_at >= :since",
    "until": "received_at < :until",
    "before": "id < :before",
}
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Quarantine:
    """The file with what was refused; opened, and made, by the first verb that is called."""

    def __init__(self, path: Path, now: Callable[[], float], *, checkpoint: bool = False) -> None:
        """`now` is Unix time in seconds; `checkpoint` as in `SqliteEngine.open`."""
        self.path = path
        self._now = now
        self._checkpoint = checkpoint
        self._engine: Engine | None = None
        self._opening = asyncio.Lock()

    async def put(self, batch: Sequence[NewQuarantined], bounds: Bounds) -> int:
        """Keep refused requests, then trim to the bounds; return how many others had to go.

        What is in the file already is left as it is. Raises StoreError, with nothing kept.
        """
        engine = await self._open()
        async with engine.transaction() as tx:
            await tx.run_many("put", [msgspec.structs.asdict(one) for one in batch])
            return await trim(tx, bounds, self._now())

    async def trim(self, bounds: Bounds) -> int:
        """Drop what is too old, and the oldest of what is too much; return how many."""
        async with (await self._open()).transaction() as tx:
            return await trim(tx, bounds, self._now())

    async def newest(self, limit: int, **narrowed: Unpack[Narrowed]) -> list[QuarantinedRow]:
        """Return what is kept, newest first; `before` is the id where the previous page ended."""
        params = {key: value for key, value in narrowed.items() if value is not None}
        engine = await self._open()
        rows = await engine.rows("newest", {**params, "limit": limit}, [_CONDITIONS[key] for key in params])
        return [
            QuarantinedRow(number, of, why, received_at, size, read_checks(checks))
            for number, of, why, received_at, size, checks in rows
        ]

    async def get(self, number: int) -> Quarantined:
        """Return one request with everything. Raises NotFound."""
        rows = await (await self._open()).rows("get", {"id": number})
        if not rows:
            name = encode(QUARANTINED, number)
            raise NotFound(f"{name} is not in the quarantine: dropped, admitted, or gone after its time")
        _, source, reason, received_at, _, checks, *rest = rows[0]
        request = as_request(source, received_at, *rest)
        return Quarantined(id=number, reason=reason, checks=read_checks(checks), request=request)

    async def drop(self, numbers: Sequence[int]) -> int:
        """Take requests out; return how many were there."""
        return await (await self._open()).write("drop", {"ids": [*numbers]})

    async def count(self, counts: Sequence[RefusalCount]) -> None:
        """Add to the counts of refusals, and forget those older than `HOURS_KEPT`."""
        async with (await self._open()).transaction() as tx:
            await tx.run_many("count", [msgspec.structs.asdict(one) for one in counts])
            await tx.run("forget_counts", {"before": self.hour() - HOURS_KEPT})

    async def refusals(self, hours: int = 24) -> list[RefusalCount]:
        """Return how many were refused in the last hours, the current one included, newest first."""
        rows = await (await self._open()).rows("refusals", {"since": self.hour() - hours + 1})
        return [RefusalCount(*row) for row in rows]

    def hour(self) -> int:
        """Return the current hour, in hours of Unix time."""
        return int(self._now() // _HOUR)

    async def close(self) -> None:
        """Close the file; the next verb opens it again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    def there(self) -> bool:
        """Say whether anything was ever kept, so that looking makes no file."""
        return self.path.exists()

    async def remake(self) -> None:
        """Begin a new file in place of one that a loss of power left unreadable."""
        await self.close()
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)

    async def _open(self) -> Engine:
        async with self._opening:
            if self._engine is None:
                self._engine = await self._opened()
            return self._engine

    async def _opened(self) -> Engine:
        engine = SqliteEngine(self.path, PACKAGE)
        try:
            await engine.open(checkpoint=self._checkpoint, pragmas=_PRAGMAS)
            await engine.migrate()
        except BaseException:
            await engine.close()
            raise
        return engine


class SharedQuarantine(Quarantine):
    """The same in tables of a database; they are not logged, and empty after a crash of its server."""

    def __init__(self, opens: Callable[[], Engine], now: Callable[[], float]) -> None:
        """`opens` gives an engine that knows the quarantine's queries."""
        super().__init__(Path(), now)
        self._opens = opens

    def there(self) -> bool:
        """The tables are made with the others."""
        return True

    async def remake(self) -> None:
        """Begin anew with other connections; the tables are the database's own care."""
        await self.close()

    async def _opened(self) -> Engine:
        return self._opens()


def beside(store: str, now: Callable[[], float], *, checkpoint: bool = False) -> Quarantine:
    """Return the quarantine of a store by the store's address. Raises ConfigError."""
    if is_shared(store):
        return SharedQuarantine(partial(postgres_engine, store, ["quarantine.sql"]), now)
    path = sqlite_path(store)
    return Quarantine(path.with_name(path.name + "-quarantine"), now, checkpoint=checkpoint)


def is_broken(error: StoreError) -> bool:
    """Say whether the file itself is unreadable, so that only a new one helps."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _BROKEN
