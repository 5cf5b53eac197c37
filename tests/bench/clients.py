"""Posts a second of 1.5 kB to a server on this machine: the guarded client, bare aiohttp and httpx, 16 in flight.

Why deliveries go out through aiohttp (receiver/http.py) and httpx is left to the providers' APIs. Only the ratios of one
run mean anything: the server, in a process of its own, shares the cores.

    python tests/bench/clients.py [seconds]
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import cast

import aiohttp
import httpx
import uvloop

from receiver.http import GuardedClient

BODY = b'{"specversion":"1.0","data":"' + b"x" * 1470 + b'"}'
IN_FLIGHT = 16
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"

Post = Callable[[], Awaitable[object]]


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
        if found and len(body) >= len(BODY):
            assert b"content-length: %d" % len(BODY) in head.lower()
            self._buffer = body[len(BODY) :]
            self._transport.write(ANSWER)


def serve(ready: Connection) -> None:
    """Run the server and send its port."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Taker, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def rate(post: Post, seconds: float) -> float:
    """Return posts a second, after a warm-up."""

    async def worker(until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            await post()
            count += 1
        return count

    await asyncio.gather(*(post() for _ in range(IN_FLIGHT)))
    started = time.perf_counter()
    counts = await asyncio.gather(*(worker(started + seconds) for _ in range(IN_FLIGHT)))
    return sum(counts) / (time.perf_counter() - started)


async def compare(url: str, seconds: float) -> dict[str, float]:
    """Return the rate of each client."""
    headers = {"Content-Type": "application/json"}
    async with GuardedClient() as guarded, aiohttp.ClientSession() as bare, httpx.AsyncClient() as other:

        async def by_aiohttp() -> None:
            async with bare.post(url, data=BODY, headers=headers, allow_redirects=False) as answer:
                await answer.read()

        return {
            "guarded": await rate(
                lambda: guarded.post(url, body=BODY, headers=headers, timeout=30, allow_private=True), seconds
            ),
            "aiohttp": await rate(by_aiohttp, seconds),
            "httpx": await rate(lambda: other.post(url, content=BODY, headers=headers), seconds),
        }


def main(seconds: float) -> None:
    """Measure and print."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    rates = uvloop.run(compare(f"http://127.0.0.1:{ours.recv()}/", seconds))
    server.terminate()
    server.join()
    for name, posts in rates.items():
        print(f"{name:8} {posts:8,.0f} posts/s   {posts / rates['httpx']:5.1f} x httpx")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3)
