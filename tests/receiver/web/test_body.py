"""Bodies: bounded in size, time, memory and disk, and everything is given back."""

import asyncio
import errno
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive

from receiver.contract.errors import Overloaded
from receiver.web import body as module
from receiver.web.body import Bodies, Disconnected, TooLarge, TooSlow

KIB = 1024
LIMIT = 4096 * KIB


def bodies(folder: Path, **changes: Any) -> Bodies:
    bounds = {"memory": 512 * KIB, "disk": 2048 * KIB, "large": 256 * KIB, "seconds": 5.0, "folder": folder}
    return Bodies(**{**bounds, **changes})


def parts(*chunks: bytes, ends: bool = True) -> Receive:
    """Return what receives the chunks one by one; without `ends` the last is followed by nothing."""

    async def messages() -> AsyncIterator[Message]:
        for number, chunk in enumerate(chunks, 1):
            yield {"type": "http.request", "body": chunk, "more_body": not ends or number < len(chunks)}
        await asyncio.Event().wait()

    waiting = messages()
    return lambda: anext(waiting)


async def read(bounds: Bodies, receive: Receive, limit: int = LIMIT) -> bytes:
    """Read in a task of its own, as each request has one."""
    return await asyncio.create_task(_read(bounds, receive, limit))


async def _read(bounds: Bodies, receive: Receive, limit: int) -> bytes:
    return await bounds.read(await receive(), receive, limit)


@pytest.fixture
def bounds(tmp_path: Path) -> Iterator[Bodies]:
    """Give bounds, and see that everything is given back."""
    made = bodies(tmp_path)
    yield made
    assert (made.memory, made.disk) == (512 * KIB, 2048 * KIB)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "chunks",
    [
        (b"",),
        (b"small",),
        (b"s" * 100 * KIB,),
        (b"a" * 10, b"", b"b" * 20),
        (b"", b"late"),
        (b"m" * 200 * KIB, b"m" * 50 * KIB),
        (b"l" * 200 * KIB, b"L" * 200 * KIB, b"l" * 200 * KIB),
        (b"h" * 1024 * KIB,),
    ],
    ids=lambda chunks: f"{len(chunks)}x{len(chunks[-1])}",
)
async def test_a_body_comes_whole(bounds: Bodies, chunks: tuple[bytes, ...]) -> None:
    """Whether it stays in memory or goes over the disk."""
    assert await read(bounds, parts(*chunks)) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [(b"x" * 2000,), (b"x" * 600, b"x" * 600)], ids=len)
async def test_too_large(bounds: Bodies, chunks: tuple[bytes, ...]) -> None:
    """At once, or in parts."""
    with pytest.raises(TooLarge):
        await read(bounds, parts(*chunks), limit=1000)


@pytest.mark.parametrize("begun", [b"", b"x" * 100, b"x" * 300 * KIB], ids=len)
async def test_too_slow(bounds: Bodies, begun: bytes) -> None:
    """Nothing more comes in time."""
    bounds.seconds = 0.05
    with pytest.raises(TooSlow):
        await read(bounds, parts(begun, ends=False))


async def test_the_sender_goes_away(bounds: Bodies) -> None:
    """In the middle."""
    messages: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(Disconnected):
        await read(bounds, receive)


async def test_short_memory_is_spared(bounds: Bodies) -> None:
    """A body that does not fit into the memory that is left goes over the disk; with neither it is refused."""
    bounds.memory = 10
    assert await read(bounds, parts(b"x" * 1000, b"y")) == b"x" * 1000 + b"y"
    bounds.disk = 10
    with pytest.raises(Overloaded, match="disk space"):
        await read(bounds, parts(b"x" * 1000, b"y"))
    bounds.memory, bounds.disk = 512 * KIB, 2048 * KIB


async def test_large_bodies_come_into_memory_one_after_the_other(bounds: Bodies) -> None:
    """Only so many at once, each until its request ends."""
    done = asyncio.Event()
    inside = 0

    async def request() -> None:
        nonlocal inside
        await _read(bounds, parts(b"x" * 300 * KIB, b"y"), LIMIT)
        inside += 1
        await done.wait()
        inside -= 1

    requests = [asyncio.create_task(request()) for _ in range(5)]
    await asyncio.sleep(0.2)
    assert inside == module.MOST_LOADED
    done.set()
    await asyncio.gather(*requests)
    assert inside == 0


async def test_memory_is_lent_until_the_request_ends(bounds: Bodies) -> None:
    """Not only while the body is read."""
    done = asyncio.Event()

    async def request() -> None:
        await _read(bounds, parts(b"x" * 100 * KIB, b"y" * KIB), LIMIT)
        await done.wait()

    running = asyncio.create_task(request())
    await asyncio.sleep(0.05)
    assert bounds.memory == 411 * KIB
    done.set()
    await running


async def test_a_file_that_cannot_be_made_or_written(bounds: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is overload, not a fault of the sender."""

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_all", full)
        with pytest.raises(Overloaded, match="No space left"):
            await read(bounds, parts(b"x" * 300 * KIB, b"y"))
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", full)
        with pytest.raises(Overloaded, match="No space left"):
            await read(bounds, parts(b"x" * 300 * KIB, b"y"))


async def test_a_file_is_not_closed_under_its_writer(bounds: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is out of time waits for the write that is under way; the file's number may be another's else."""
    release = threading.Event()
    closed: list[bool] = []

    def write(file: Any, chunk: bytes) -> None:
        release.wait(5)
        closed.append(file.closed)

    monkeypatch.setattr(module, "_write_all", write)
    bounds.seconds = 0.05
    reading = asyncio.create_task(read(bounds, parts(b"x" * 300 * KIB, ends=False)))
    await asyncio.sleep(0.2)
    assert not reading.done()
    release.set()
    with pytest.raises(TooSlow):
        await reading
    assert closed == [False]
