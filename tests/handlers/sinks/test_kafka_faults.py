"""The sink kafka through the whole engine while brokers go down, freeze and refuse: every event arrives, in order."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from backlog import backlog
from kafka_cluster import (
    BROKERS,
    MISSING,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    PRODUCE,
    TIMED_OUT,
    TOPIC,
    KafkaCluster,
    cluster,
    missing,
    running,
    stored,
)

from receiver.pipeline import deliver, schedule

EVENTS, CALLS, PARTITIONS = 5_000, 100, 6
RETRY = (0.0, *[0.1] * 200)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(missing() and "CI" not in os.environ, reason=MISSING),
]

Fault = Callable[[KafkaCluster], Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and probe often: the faults last parts of a second."""
    monkeypatch.setattr(deliver, "_POLL", 0.05)
    monkeypatch.setattr(schedule, "_PROBES", (0.2,))


async def one_down(kafka: KafkaCluster) -> None:
    """Take a broker down; the others lead its partitions."""
    await kafka.down(1)
    for partition in range(PARTITIONS):
        await kafka.tell("leader", TOPIC, partition, 2 + partition % 2)
    await asyncio.sleep(0.5)
    await kafka.up(1)


async def all_down(kafka: KafkaCluster) -> None:
    """Take the whole cluster down, and bring it back with what it had."""
    await kafka.down(*BROKERS)
    await asyncio.sleep(0.5)
    await kafka.up(*BROKERS)


async def frozen(kafka: KafkaCluster) -> None:
    """Let nobody answer for longer than a send may take."""
    kafka.freeze()
    await asyncio.sleep(2.5)
    kafka.thaw()


async def refusing(kafka: KafkaCluster) -> None:
    """Refuse as brokers do while leaders change and replicas lag."""
    for code in (NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_LEADER):
        await kafka.tell("errors", PRODUCE, code, 5)


@pytest.mark.parametrize("faults", [(one_down, all_down), (frozen, frozen), (refusing, all_down)])
async def test_nothing_is_lost_or_turned_around_in_kafka(tmp_path: Path, faults: tuple[Fault, ...]) -> None:
    """5,000 events of 100 calls, with faults in the middle: 5,000 arrive, each call's in order, none is dead."""
    async with (
        cluster(PARTITIONS) as kafka,
        backlog(tmp_path) as waiting,
        running(servers=kafka.servers, timeout=2.0, retry=RETRY) as sink,
    ):
        await waiting.wait(sink.name, EVENTS, CALLS)
        async with waiting.draining(sink) as runner:
            for number, fault in enumerate(faults, 1):
                await waiting.until(runner, "delivered", number * 1_500)
                await fault(kafka)
            await waiting.until(runner, "delivered", EVENTS)
        assert runner.outcomes["failed"] or frozen not in faults, (
            "the producer waits out a cluster that is down, no frozen one"
        )
        assert waiting.states(sink.name) == {"delivered": EVENTS}
        assert waiting.in_order([json.loads(record.value)["id"] for record in await stored(kafka.servers)])
