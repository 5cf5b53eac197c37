"""Reads a request's body with a bound on its size, its time, and on the memory and disk of all bodies together."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from starlette.types import Message, Receive

from receiver.contract.errors import Overloaded

ReturnT = TypeVar("ReturnT")
Args = ParamSpec("Args")

MOST_LOADED = 2
"""Bodies brought back from disk that are in memory at once: each keeps its place until its request is answered."""
SMALL = 64 * 1024
"""Bytes up to which a body that is there at once goes its way uncounted."""


class TooLarge(Exception):
    """The body is larger than the source takes."""


class Disconnected(Exception):
    """The sender went away in the middle."""


class TooSlow(Exception):
    """The body did not arrive in time."""


class Bodies:
    """The bounds that all bodies being read share.

    A body stays in memory up to `large` bytes, less when memory is short; beyond, it is streamed to a file, and comes
    back when one of `MOST_LOADED` places is free. Past the bound on disk, new bytes are refused with Overloaded.
    Memory and place are given back when the task that read the body, that is: its request, ends.
    """

    def __init__(self, *, memory: int, disk: int, large: int, seconds: float, folder: Path) -> None:
        """`memory`, `disk` and `large` in bytes; `seconds` for one body; spool files go to `folder`."""
        self.memory = memory
        self.disk = disk
        self.large = large
        self.seconds = seconds
        self.folder = folder
        self.reading = 0
        """Bodies that are being read now, but for the small ones that are there at once."""
        self._most = (memory, disk)
        self._places = asyncio.Semaphore(MOST_LOADED)

    async def read(self, first: Message, receive: Receive, limit: int) -> bytes:
        """Return the whole body, of which `first` is the first message.

        Raises TooLarge, TooSlow, Disconnected or Overloaded.
        """
        if first["type"] != "http.request":
            raise Disconnected
        begun: bytes = first.get("body", b"")
        if len(begun) > limit:
            raise TooLarge
        more: bool = first.get("more_body", False)
        if not more and len(begun) <= SMALL:
            return begun
        body = _Body(self)
        self.reading += 1
        try:
            async with asyncio.timeout(self.seconds):
                await body.add(begun, limit)
                while more:
                    more = await body.receive(receive, limit)
            return await body.whole()
        except TimeoutError:
            raise TooSlow from None
        finally:
            self.reading -= 1
            await body.close()

    def used(self) -> tuple[int, int]:
        """Return the bytes of memory and of disk that bodies take now."""
        memory, disk = self._most
        return memory - self.memory, disk - self.disk

    async def place(self) -> None:
        """Wait for a place for a large body; the running task has it until it ends."""
        await self._places.acquire()
        _at_the_end(self._places.release)

    def lend(self, size: int) -> None:
        """Let the running task have so much memory until it ends."""
        self.memory -= size
        _at_the_end(lambda: self._returned(size))

    def _returned(self, size: int) -> None:
        self.memory += size


def _at_the_end(give_back: Callable[[], None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: give_back())


class _Body:
    """One body being read: in memory, then in a file without a name."""

    def __init__(self, bounds: Bodies) -> None:
        self._bounds = bounds
        self._held = bytearray()
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
            self._held += chunk
            self._bounds.memory -= len(chunk)
        else:
            await self._start_file(chunk)

    async def receive(self, receive: Receive, limit: int) -> bool:
        """Take the next part; return whether more is to come."""
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        await self.add(message.get("body", b""), limit)
        more: bool = message.get("more_body", False)
        return more

    async def _start_file(self, chunk: bytes) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=self._bounds.folder, buffering=0)  # noqa: SIM115 -- closed in close()
        except OSError as error:
            raise Overloaded(f"a body could not be written to disk: {error.strerror}") from error
        await self._spool(self._held)
        self._let_go()
        await self._spool(chunk)

    async def _spool(self, chunk: bytes | bytearray) -> None:
        if len(chunk) > self._bounds.disk:
            raise Overloaded("bodies being read fill the disk space given to them")
        assert self._file is not None
        self._bounds.disk -= len(chunk)
        self._spooled += len(chunk)
        try:
            await _in_thread(_write_all, self._file, chunk)
        except OSError as error:
            raise Overloaded(f"a body could not be written to disk: {error.strerror}") from error

    async def whole(self) -> bytes:
        if self._file is None:
            self._bounds.lend(len(self._held))
            return bytes(self._held)
        await self._bounds.place()
        return await _in_thread(_read_all, self._file)

    def _let_go(self) -> None:
        self._bounds.memory += len(self._held)
        self._held = bytearray()

    async def close(self) -> None:
        self._let_go()
        if self._file is not None:
            await _in_thread(self._file.close)
            self._bounds.disk += self._spooled


async def _in_thread(work: Callable[Args, ReturnT], *args: Args.args, **kwargs: Args.kwargs) -> ReturnT:
    """Run in a thread, to the end also when cancelled: a file closed under its writer lends its number to another."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _write_all(file: IO[bytes], chunk: bytes | bytearray) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _read_all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
