"""What was refused: put, listed, taken out, and kept within its bounds. Not synced: it may be lost, never in the way."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from receiver.contract.errors import NotFound, StoreError
from receiver.store.ids import QUARANTINED, encode
from receiver.store.opening import sqlite_path
from receiver.store.quarantine.records import (
    NewQuarantined,
    Quarantined,
    QuarantinedRow,
    RefusalCount,
    as_request,
    read_checks,
)
from receiver.store.quarantine.trimming import Bounds, trim
from receiver.store.sqlite.engine import SqliteEngine

PACKAGE = "receiver.store.quarantine"
HOURS_KEPT = 31 * 24
_PRAGMAS = {"synchronous": "OFF", "cache_size": "-2048", "journal_size_limit": "4194304", "secure_delete": "FAST"}
_HOUR = 3600.0
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Quarantine:
    """The file with what was refused; opened, and made, by the first verb that is called."""

    def __init__(self, path: Path, now: Callable[[], float], *, checkpoint: bool = False) -> None:
        """`now` is Unix time in seconds; `checkpoint` as in `SqliteEngine.open`."""
        self.path = path
        self._now = now
        self._checkpoint = checkpoint
        self._engine: SqliteEngine | None = None
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

    async def newest(
        self, limit: int, *, source: str | None = None, reason: str | None = None, before: int | None = None
    ) -> list[QuarantinedRow]:
        """Return what is kept, newest first; `before` is the id where the previous page ended."""
        filters = {"source": source, "reason": reason, "before": before}
        conditions = {"source": "source = :source", "reason": "reason = :reason", "before": "id < :before"}
        params = {key: value for key, value in filters.items() if value is not None}
        engine = await self._open()
        rows = await engine.rows("newest", {**params, "limit": limit}, [conditions[key] for key in params])
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

    async def remake(self) -> None:
        """Begin a new file in place of one that a loss of power left unreadable."""
        await self.close()
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)

    async def _open(self) -> SqliteEngine:
        async with self._opening:
            if self._engine is None:
                engine = SqliteEngine(self.path, PACKAGE)
                try:
                    await engine.open(checkpoint=self._checkpoint, pragmas=_PRAGMAS)
                    await engine.migrate()
                except BaseException:
                    await engine.close()
                    raise
                self._engine = engine
            return self._engine


def beside(store: str, now: Callable[[], float], *, checkpoint: bool = False) -> Quarantine:
    """Return the quarantine of a store by the store's address. Raises ConfigError."""
    path = sqlite_path(store)
    return Quarantine(path.with_name(path.name + "-quarantine"), now, checkpoint=checkpoint)


def is_broken(error: StoreError) -> bool:
    """Say whether the file itself is unreadable, so that only a new one helps."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _BROKEN
