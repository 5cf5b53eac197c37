"""NATS JetStream: a stream on files of the server on this machine, against nats-py with acknowledgements."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.js.api import StorageType, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from handlers.sinks.nats import Nats
from receiver.contract.sink import Sink
from sinks.frame import Bench, Loop, in_batches

URL = "nats://127.0.0.1:4222"
STREAM = "HOOKSCRIBE_BENCH"


@asynccontextmanager
async def _jetstream() -> AsyncIterator[JetStreamContext]:
    client = Client()
    await client.connect(URL)
    jetstream = client.jetstream(publish_async_max_pending=100_000)
    try:
        with suppress(NotFoundError):
            await jetstream.delete_stream(STREAM)
        yield jetstream
        await jetstream.delete_stream(STREAM)
    finally:
        await client.close()


class NatsBench(Bench):
    """On files on both sides."""

    name = "nats"

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a new stream."""
        async with _jetstream():
            yield Nats, {"servers": [URL], "stream": STREAM, "subject": "hookscribe_bench.{type}"}

    @asynccontextmanager
    async def loops(self) -> AsyncIterator[Mapping[str, Loop]]:
        """Give nats-py's `publish`, so many under way at once, and its `publish_async`."""
        async with _jetstream() as jetstream:
            config = StreamConfig(name=STREAM, subjects=["hookscribe_bench.>"], storage=StorageType.FILE)
            await jetstream.add_stream(config)

            async def publish(size: int, bodies: Sequence[bytes]) -> None:
                await in_batches(size, bodies, lambda body: jetstream.publish("hookscribe_bench.x", body, timeout=30))

            async def publish_async(bodies: Sequence[bytes]) -> None:
                for start in range(0, len(bodies), 1000):
                    for body in bodies[start : start + 1000]:
                        await jetstream.publish_async("hookscribe_bench.x", body)
                    await jetstream.publish_async_completed()

            gathered = {f"gather of {size} publish": partial(publish, size) for size in (256, 1000)}
            yield {**gathered, "publish_async, 1000 at once": publish_async}


BENCH = NatsBench()
