"""One connection: whatever runs on it ends within its time, or the connection does."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg import pq

from receiver.store.postgres.errors import Lost, translated

ResultT = TypeVar("ResultT")
Row = tuple[Any, ...]


class Link:
    """A connection in autocommit; transactions are begun and ended by statements."""

    def __init__(self, connection: psycopg.AsyncConnection[Row], where: str) -> None:
        self.connection = connection
        self._where = where
        self.used = False
        """Something ran on it before, so that it may have ended since without our knowing."""

    @classmethod
    async def to(cls, conninfo: str, where: str, timeout: float) -> "Link":
        """Connect. Raises StoreUnavailable."""
        with translated(where):
            try:
                async with asyncio.timeout(timeout):
                    # no prepared statements: behind a pooler the next one may run on another connection
                    made = await psycopg.AsyncConnection[Row].connect(conninfo, autocommit=True, prepare_threshold=None)
            except TimeoutError:
                raise Lost(f"{where}: did not answer for {timeout:.0f} s") from None
        return cls(made, where)

    @property
    def idle(self) -> bool:
        """Say whether it can be used again: open, and outside a transaction."""
        return self.connection.pgconn.transaction_status == pq.TransactionStatus.IDLE

    async def run(
        self, text: str, params: Mapping[str, Any] | None = None, *, timeout: float
    ) -> psycopg.AsyncCursor[Row]:
        """Run a statement; its rows are here when this returns. Raises StoreError."""
        with translated(self._where):
            cursor = self.connection.cursor(binary=params is not None)
            await self._within(cursor.execute(text, params), timeout)
        self.used = True
        return cursor

    async def _within(self, work: Coroutine[Any, Any, ResultT], timeout: float) -> ResultT:
        """Wait for something; where that takes too long, or the waiting is cancelled, the connection is cut.

        A server that is frozen answers neither a statement nor its cancellation.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait([task], timeout=timeout)
        except asyncio.CancelledError:
            self.cut()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise
        if not done:
            self.cut()
            with contextlib.suppress(psycopg.Error):
                await task
            raise Lost(f"{self._where}: did not answer for {timeout:.0f} s")
        return task.result()

    def cut(self) -> None:
        """End the connection at once: who waits for an answer on it sees its end."""
        with contextlib.suppress(OSError, psycopg.Error):
            descriptor = os.dup(self.connection.fileno())
            with socket.socket(fileno=descriptor) as ours:
                ours.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(psycopg.Error, OSError):
            await self.connection.close()
