"""Parts: the records of a batch as brokers store them, one record batch a partition, each kept whole or not at all."""

import asyncio
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handlers.sinks.kafka.message import Record
from receiver.contract.sink import Delivered, SendOutcome

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from aiokafka.producer.message_accumulator import BatchBuilder


class Part:
    """Records of one partition that are stored together."""

    def __init__(self, partition: int, builder: "BatchBuilder") -> None:
        self.partition = partition
        self.builder = builder
        self.places: list[int] = []
        """Where in the batch its records are from."""
        self.future: asyncio.Future[Any] | None = None
        """Done once the brokers have answered; None before it was handed to the producer."""

    def add(self, place: int, record: Record) -> bool:
        """Add a record; say whether there was room for it, as there always is for the first."""
        kept = self.builder.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)
        if kept is not None:
            self.places.append(place)
        return kept is not None

    async def begin(self, producer: "AIOKafkaProducer", topic: str) -> None:
        """Hand it to the producer, behind earlier ones of its partition. Raises KafkaError."""
        self.builder.close()
        self.future = await producer.send_batch(self.builder, topic, partition=self.partition)

    async def ended(self) -> None:
        """Wait until the brokers have answered."""
        if self.future is not None and not self.future.done():
            await asyncio.wait([self.future])

    def delivered(self) -> list[SendOutcome]:
        """Return what became of each record, where the brokers have taken all."""
        first = self.future.result().offset if self.future else -1
        if first < 0:
            return [Delivered(detail=f"partition {self.partition}, which had it already")] * len(self.places)
        return [
            Delivered(detail=f"partition {self.partition} offset {offset}")
            for offset in range(first, first + len(self.places))
        ]


def parted(
    producer: "AIOKafkaProducer", partitions: Sequence[int], records: Sequence[tuple[int, Record]]
) -> list[Part]:
    """Return records, each with its place, in as few parts as hold them; of each partition in their order.

    Records of one key go to the partition where every other producer of Kafka puts them, those without one to one
    partition together.
    """
    parts: list[Part] = []
    latest: dict[int, Part] = {}
    anywhere = random.choice(partitions)  # noqa: S311 -- no secret
    for place, record in records:
        partition = anywhere if record.key is None else partitions[_hashed(record.key) % len(partitions)]
        part = latest.get(partition)
        if part is None or not part.add(place, record):
            latest[partition] = part = Part(partition, producer.create_batch())
            parts.append(part)
            part.add(place, record)
    return parts


@lru_cache(maxsize=4096)
def _hashed(key: bytes) -> int:
    from aiokafka.partitioner import murmur2  # noqa: PLC0415 -- an extra

    return murmur2(key) & 0x7FFFFFFF  # type: ignore[no-any-return, unused-ignore]
