"""Kafka: librdkafka's mock cluster in a process of its own, against an idempotent producer of aiokafka.

The mock cluster keeps five megabytes a partition, so there are many partitions.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka_cluster import TOPIC, cluster

from handlers.sinks.kafka import Kafka
from receiver.contract.sink import Sink
from sinks.frame import Bench, Loop, in_batches

PARTITIONS = 12
CALLS = 2_000


class KafkaBench(Bench):
    """Idempotent, acknowledged by all replicas in sync, on both sides."""

    name = "kafka"

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a new cluster."""
        async with cluster(PARTITIONS) as running:
            yield Kafka, {"servers": list(running.servers), "topic": TOPIC}

    @asynccontextmanager
    async def loops(self) -> AsyncIterator[Mapping[str, Loop]]:
        """Give `send_and_wait`, so many under way at once, `send` of everything before any answer is awaited, and record
        batches that are put together by the caller, a partition each.
        """
        async with cluster(PARTITIONS) as running:
            producer = AIOKafkaProducer(
                bootstrap_servers=list(running.servers), acks="all", enable_idempotence=True, max_batch_size=1_000_000
            )
            await producer.start()

            async def gathered(size: int, bodies: Sequence[bytes]) -> None:
                keys = (b"call %d" % (number % CALLS) for number in range(len(bodies)))
                await in_batches(size, bodies, lambda body: producer.send_and_wait(TOPIC, body, key=next(keys)))

            async def all_at_once(bodies: Sequence[bytes]) -> None:
                futures = [
                    await producer.send(TOPIC, body, key=b"call %d" % (number % CALLS))
                    for number, body in enumerate(bodies)
                ]
                await asyncio.gather(*futures)

            async def in_record_batches(size: int, bodies: Sequence[bytes]) -> None:
                for start in range(0, len(bodies), size):
                    batches = [producer.create_batch() for _ in range(PARTITIONS)]
                    for number, body in enumerate(bodies[start : start + size], start):
                        call = number % CALLS
                        batches[call % PARTITIONS].append(key=b"call %d" % call, value=body, timestamp=None)
                    sent = [await producer.send_batch(one, TOPIC, partition=at) for at, one in enumerate(batches)]
                    await asyncio.gather(*sent)

            try:
                yield {
                    "send of all, then their answers": all_at_once,
                    "gather of 1000": partial(gathered, 1000),
                    "send_batch, 1000 at once": partial(in_record_batches, 1000),
                }
            finally:
                await producer.stop()


BENCH = KafkaBench()
