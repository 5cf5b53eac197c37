"""A Kafka cluster for tests: librdkafka's mock cluster in a child process, with brokers to take down and to freeze."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from handlers.sinks.kafka import Kafka
from handlers.sinks.kafka.settings import KafkaSettings
from receiver.contract.sink import SinkPorts
from receiver.testing.sink import Arrived, Behaviour

TOPIC = "test.events"
BROKERS = (1, 2, 3)
MISSING = "confluent-kafka, whose mock cluster stands in for Kafka, is not installed; with CI set this would fail"
PRODUCE = 0
"""The number of the Produce request in Kafka's protocol."""
TOO_LARGE, NOT_LEADER, NOT_ENOUGH_REPLICAS, TIMED_OUT, FORBIDDEN = 10, 6, 19, 7, 29
"""Error codes of Kafka's protocol."""


def missing() -> bool:
    """Say whether there is no stand-in."""
    return importlib.util.find_spec("confluent_kafka") is None


class KafkaCluster:
    """Three brokers in one process."""

    def __init__(self) -> None:
        self.servers: tuple[str, ...] = ()
        self.frozen = False
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and learn the brokers' addresses."""
        child = Path(__file__).parent / "kafka_child.py"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(child),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.servers = tuple((await self._line()).split(","))

    async def _line(self) -> str:
        assert self._process
        assert self._process.stdout
        async with asyncio.timeout(10):
            return (await self._process.stdout.readline()).decode().strip()

    async def tell(self, *command: str | int) -> None:
        """Have the child obey a command."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(f"{' '.join(map(str, command))}\n".encode())
        assert await self._line() == "ok", command

    async def down(self, *brokers: int) -> None:
        """Take brokers down: connections end, and none is taken."""
        for broker in brokers:
            await self.tell("down", broker)

    async def up(self, *brokers: int) -> None:
        """Bring brokers back, with what they had."""
        for broker in brokers:
            await self.tell("up", broker)

    def freeze(self) -> None:
        """Let no broker answer, with every connection left open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Go on."""
        if self._process and self.frozen:
            self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    async def stop(self) -> None:
        """Kill the process; what the brokers had is gone."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            self._process = None


class KafkaPeer:
    """The other side of the sink: a topic of one partition, so that all is in one order."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this cluster."""
        return {"servers": list(self.cluster.servers), "topic": TOPIC, "timeout": 5.0}

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        if how is Behaviour.GONE:
            await self.cluster.down(*BROKERS)
        elif how is Behaviour.HANGS:
            self.cluster.freeze()
        elif how is Behaviour.REFUSES:
            await self.cluster.tell("errors", PRODUCE, TOO_LARGE, 100)
        elif how is Behaviour.LATER:
            await self.cluster.tell("errors", PRODUCE, FORBIDDEN, 100)
        else:
            self.cluster.thaw()
            await self.cluster.up(*BROKERS)
            await self.cluster.tell("clear", PRODUCE)

    async def arrived(self) -> Sequence[Arrived]:
        """Return what the topic holds."""
        return [Arrived(raw=record.value, event=record.value) for record in await stored(self.cluster.servers)]


async def stored(servers: Sequence[str], topic: str = TOPIC) -> list[Any]:
    """Return all records of a topic, each partition's in its order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=list(servers), auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(await partitions_of(consumer, topic))]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        async with asyncio.timeout(10):
            while any([await consumer.position(one) < end for one, end in ends.items()]):
                batches = await consumer.getmany(timeout_ms=200)
                found += [record for records in batches.values() for record in records]
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def partitions_of(consumer: Any, topic: str) -> set[int]:
    """Return the numbers of a topic's partitions."""
    return set(await consumer._client._wait_on_metadata(topic))


@contextlib.asynccontextmanager
async def cluster(partitions: int = 1) -> AsyncIterator[KafkaCluster]:
    """Give a cluster with the topic."""
    running = KafkaCluster()
    try:
        await running.start()
        await running.tell("topic", TOPIC, partitions)
        yield running
    finally:
        await running.stop()


def made(**settings: Any) -> KafkaSettings:
    """Return checked settings."""
    result = KafkaSettings(**{"kind": "kafka", "topic": TOPIC, "timeout": 5.0, **settings})
    result.check()
    return result


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Kafka]:
    """Give a sink, and close it."""
    sink = Kafka("queue", made(**settings), SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        async with asyncio.timeout(4):
            await sink.close()
