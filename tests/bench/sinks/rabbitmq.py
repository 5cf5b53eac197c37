"""RabbitMQ: a durable quorum queue of the broker on this machine, against aiormq with publisher confirms."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiormq
from aiormq.channel import Channel
from pamqp.commands import Basic

from handlers.sinks.rabbitmq import RabbitMQ
from receiver.contract.sink import Sink
from sinks.frame import Bench, Loop, in_batches

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "hookscribe-bench"


@asynccontextmanager
async def _channel() -> AsyncIterator[Channel]:
    connection = await aiormq.connect(URL)
    try:
        channel = await connection.channel()
        assert isinstance(channel, Channel)
        await channel.queue_delete(QUEUE)
        yield channel
        await channel.queue_delete(QUEUE)
    finally:
        await connection.close()


class RabbitMQBench(Bench):
    """Persistent and mandatory on both sides."""

    name = "rabbitmq"

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a new queue."""
        async with _channel():
            yield RabbitMQ, {"url": URL, "queue": QUEUE}

    @asynccontextmanager
    async def loops(self) -> AsyncIterator[Mapping[str, Loop]]:
        """Give aiormq's `basic_publish`, so many under way at once."""
        serial = itertools.count()
        async with _channel() as channel:
            await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})

            async def publish(body: bytes) -> None:
                said = Basic.Properties(delivery_mode=2, message_id=f"evt_{next(serial)}")
                await channel.basic_publish(body, routing_key=QUEUE, properties=said, mandatory=True, wait=False)

            async def loop(size: int, bodies: Sequence[bytes]) -> None:
                await in_batches(size, bodies, publish)

            yield {f"gather of {size} basic_publish": partial(loop, size) for size in (100, 256, 1000)}


BENCH = RabbitMQBench()
