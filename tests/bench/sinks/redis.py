"""Redis streams: a private redis-server with an append-only file synced every second, against pipelines of redis-py."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from redis.asyncio import Redis as Client
from redis_server import RedisServer, server

from handlers.sinks.redis import Redis
from receiver.contract.sink import Sink
from sinks.frame import Bench, Loop


def _server() -> Any:
    return server("--appendfsync", "everysec")


class RedisBench(Bench):
    """A stream without a bound on both sides."""

    name = "redis"

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a new server."""
        async with _server() as running:
            yield Redis, {"url": running.url}

    @asynccontextmanager
    async def loops(self) -> AsyncIterator[Mapping[str, Loop]]:
        """Give a pipeline of XADD, of several lengths."""
        running: RedisServer
        async with _server() as running, Client.from_url(running.url) as client:

            async def publish(size: int, bodies: Sequence[bytes]) -> None:
                for start in range(0, len(bodies), size):
                    pipe = client.pipeline(transaction=False)
                    for body in bodies[start : start + size]:
                        pipe.xadd("bench", {"event": body})
                    await pipe.execute()

            yield {f"pipeline of {size} XADD": partial(publish, size) for size in (256, 1000)}


BENCH = RedisBench()
