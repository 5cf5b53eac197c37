"""A few connections that are made when they are needed, and used again as long as they last."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from receiver.contract.errors import StoreUnavailable
from receiver.store.postgres.link import Link

CONNECT = 5.0
"""Seconds that the server has to take a connection."""
WAIT = 10.0
"""Seconds after which nobody waits any more for a connection that others use."""


class Pool:
    """At most `size` connections; the one used last is used next, and those that are not needed are never made."""

    def __init__(self, conninfo: str, where: str, size: int) -> None:
        self.where = where
        self._conninfo = conninfo
        self._idle: list[Link] = []
        self._free = asyncio.Semaphore(size)
        self._closed = False

    @contextlib.asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """Give a connection. Raises StoreUnavailable where there is none to be had."""
        try:
            async with asyncio.timeout(WAIT):
                await self._free.acquire()
        except TimeoutError:
            raise StoreUnavailable(f"{self.where}: all connections are in use") from None
        try:
            if self._closed:
                raise StoreUnavailable(f"{self.where} is not open")
            link = self._idle.pop() if self._idle else await Link.to(self._conninfo, self.where, CONNECT)
            try:
                yield link
            finally:
                if link.idle and not self._closed:
                    self._idle.append(link)
                else:
                    await link.close()
        finally:
            self._free.release()

    async def drop(self) -> None:
        """Let go of the connections that nobody uses now: one of them was found dead."""
        idle, self._idle = self._idle, []
        for link in idle:
            await link.close()

    async def close(self) -> None:
        """Close; what is in use is closed by who uses it."""
        self._closed = True
        await self.drop()
