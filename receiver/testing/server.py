"""A raw HTTP server on this machine: what it got is written down, what it answers is any bytes a test likes."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

_DICE = random.SystemRandom()
"""Not the one that test runs seed: two of them side by side would draw the same."""

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """A server that writes down requests and answers with whatever bytes a test likes."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.port = 0
        self.answer: Answer = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((head[0], headers, body))
                await self.answer(writer)
        writer.close()

    def url(self, host: str = "127.0.0.1", rest: str = "/") -> str:
        """Return an http URL of this server."""
        return f"http://{host}:{self.port}{rest}"


def writes(answer: bytes) -> Answer:
    """Answer with these bytes."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return write


async def never(_: asyncio.StreamWriter) -> None:
    """Do not answer."""
    await asyncio.sleep(60)


@contextlib.asynccontextmanager
async def listening(host: str = "127.0.0.1", port: int = 0, **options: Any) -> AsyncIterator[RawServer]:
    """Run a server; connections still open are cut at the end."""
    server = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, host, port, **options)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def closes(writer: asyncio.StreamWriter) -> None:
    """Hang up without a word."""
    writer.close()


def free_port() -> int:
    """Return a port on which nobody listens, from below those that the kernel hands out: nobody gets it by chance meanwhile."""
    while True:
        port = _DICE.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
