"""Reads a request's body with a bound on its size, its time, and on the memory and disk of all bodies together."""

import asyncio
import tempfile
from pathlib import Path
from typing import IO

from starlette.types import Message, Receive

from receiver.contract.errors import Overloaded


class TooLarge(Exception):
    """The body is larger than the source takes."""


class Disconnected(Exception):
    """The sender went away in the middle."""


class TooSlow(Exception):
    """The body did not arrive in time."""


class Bodies:
    """The bounds that all bodies being read share.

    A body stays in memory up to `large` bytes, less when memory is short; beyond, it is streamed to a file. Past the
    bound on disk, new bytes are refused with Overloaded.
    """

    def __init__(self, *, memory: int, disk: int, large: int, seconds: float, folder: Path) -> None:
        """`memory`, `disk` and `large` in bytes; `seconds` for one body; spool files go to `folder`."""
        self.memory = memory
        self.disk = disk
        self.large = large
        self.seconds = seconds
        self.folder = folder
        self._loading = asyncio.Semaphore(2)

    async def read(self, first: Message, receive: Receive, limit: int) -> bytes:
        """Return the whole body, of which `first` is the first message.

        Raises TooLarge, TooSlow, Disconnected or Overloaded.
        """
        body: bytes = first.get("body", b"")
        if len(body) > limit:
            raise TooLarge
        if not first.get("more_body", False):
            return body
        try:
            async with asyncio.timeout(self.seconds):
                return await self._gather(body, receive, limit)
        except TimeoutError:
            raise TooSlow from None

    async def _gather(self, begun: bytes, receive: Receive, limit: int) -> bytes:
        body = _Body(self)
        try:
            await body.add(begun, limit)
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                await body.add(message.get("body", b""), limit)
                if not message.get("more_body", False):
                    return await body.whole(self._loading)
        finally:
            body.close()


class _Body:
    """One body being read: in memory, then in a file without a name."""

    def __init__(self, bounds: Bodies) -> None:
        self._bounds = bounds
        self._chunks: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._size = 0
        self._spooled = 0

    async def add(self, chunk: bytes, limit: int) -> None:
        self._size += len(chunk)
        if self._size > limit:
            raise TooLarge
        if self._file is not None:
            await self._spool(chunk)
        elif self._size <= self._bounds.large and len(chunk) <= self._bounds.memory:
            self._hold(chunk)
        else:
            await self._start_file(chunk)

    def _hold(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk)
        self._bounds.memory -= len(chunk)

    async def _start_file(self, chunk: bytes) -> None:
        self._file = tempfile.TemporaryFile(dir=self._bounds.folder, buffering=0)  # noqa: SIM115 -- closed in close()
        for held in [*self._chunks, chunk]:
            await self._spool(held)
        self._let_go()

    async def _spool(self, chunk: bytes) -> None:
        if len(chunk) > self._bounds.disk:
            raise Overloaded("bodies being read fill the disk space given to them")
        assert self._file is not None
        self._bounds.disk -= len(chunk)
        self._spooled += len(chunk)
        try:
            await asyncio.to_thread(_write_all, self._file, chunk)
        except OSError as error:
            raise Overloaded(f"a body could not be written to disk: {error.strerror}") from error

    async def whole(self, loading: asyncio.Semaphore) -> bytes:
        if self._file is None:
            return b"".join(self._chunks)
        async with loading:
            return await asyncio.to_thread(_read_all, self._file)

    def _let_go(self) -> None:
        self._bounds.memory += self._held
        self._held = 0
        self._chunks = []

    def close(self) -> None:
        self._let_go()
        if self._file is not None:
            self._bounds.disk += self._spooled
            self._file.close()


def _write_all(file: IO[bytes], chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _read_all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
