"""webhook, signing: a server in a process of its own that answers at once, against bare posts of aiohttp.

As many are under way at once as in the fastest of the bare loops.
"""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, cast

import aiohttp
import uvloop

from handlers.sinks.webhook import Webhook
from receiver.contract.sink import Sink
from sinks.frame import Bench, Loop

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEADERS = {"Content-Type": "application/cloudevents+json"}


class Taker(asyncio.Protocol):
    """Answers every request as soon as its body is whole; as little server as possible."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer when head and body are there."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = body[length:]
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def serve(ready: Connection) -> None:
    """Run the server and send its port."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Taker, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())


@asynccontextmanager
async def _url() -> AsyncIterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{await asyncio.to_thread(ours.recv)}/"
    finally:
        process.terminate()
        process.join()


class WebhookBench(Bench):
    """One post an event on both sides; ours are signed."""

    name = "webhook"

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a new server."""
        async with _url() as url:
            yield Webhook, {"url": url, "secrets": [KEY], "allow_private": True, "concurrency": 64}

    @asynccontextmanager
    async def loops(self) -> AsyncIterator[Mapping[str, Loop]]:
        """Give bare posts, so many under way at once."""
        async with _url() as url, aiohttp.ClientSession() as session:

            async def worker(left: Iterator[bytes]) -> None:
                for body in left:
                    async with session.post(url, data=body, headers=HEADERS, allow_redirects=False) as answer:
                        await answer.read()

            async def publish(size: int, bodies: Sequence[bytes]) -> None:
                left = iter(bodies)
                await asyncio.gather(*(worker(left) for _ in range(size)))

            yield {f"post, {size} at once": partial(publish, size) for size in (16, 64)}


BENCH = WebhookBench()
