"""The sink rabbitmq with a private node that is killed, filled and limited: it costs time and nothing else."""

import json
from pathlib import Path

import pytest
from backlog import backlog
from rabbit_node import needs_node, node, sending, taken

from receiver.contract.sink import Delivered, Rejected, TryLater
from receiver.pipeline import schedule
from receiver.testing.events import sample_delivery, sample_event
from receiver.testing.sink import send

_PATIENCE = 300.0
"""Seconds: a broker that shares its processors takes a minute to start and to give up its alarm."""

pytestmark = needs_node()


@pytest.mark.parametrize(("queue", "end"), [("classic", "kill"), ("quorum", "stop")])
async def test_five_thousand_events_arrive_whatever_the_broker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: str, end: str
) -> None:
    """Ended in the middle, started again, then short of memory: each event arrives, in order for each call.

    The last thousand come when it is short of memory already: to tell it so takes a second, in which all would be sent.

    A quorum queue of a single node of 3.10 that was killed, and not stopped, can stay without a leader for minutes; then
    nobody's publishing is confirmed.
    """
    monkeypatch.setattr(schedule, "_PROBES", (0.2, 0.5))
    async with backlog(tmp_path) as events, node() as broker:
        await events.wait("queue", 4_000, 100)
        settings = {"url": broker.url, "timeout": 5.0, "queue_type": queue, "retry": [0, *[0.2] * 500]}
        async with sending(settings) as sink, events.draining(sink) as runner:
            await events.until(runner, "delivered", 1_000)
            await (broker.kill() if end == "kill" else broker.stop())
            assert runner.outcomes["delivered"] < 4_000
            await broker.start()
            await events.until(runner, "delivered", 4_000, _PATIENCE)
            await broker.memory("0.0000001")
            await events.wait("queue", 1_000, 100)
            runner.wake()
            await events.until(runner, "probe", runner.outcomes["probe"] + 1)
            assert runner.health.reason == "the broker takes nothing now: it is short of memory or disk"
            assert runner.outcomes["delivered"] == 4_000
            await broker.memory("0.6")
            await events.until(runner, "delivered", 5_000, _PATIENCE)
        arrived = [json.loads(message.body)["id"] for message in await taken(broker.port, "hookscribe")]
        assert events.states("queue") == {"delivered": 5_000}
        assert len(set(arrived)) == 5_000
        assert events.in_order(arrived)


async def test_a_limit_of_the_broker_is_learned() -> None:
    """One larger than its max_message_size closes the channel; it is Rejected, and its neighbours arrive next time."""
    async with node("max_message_size = 20000") as broker, sending({"url": broker.url}) as sink:
        batch = [sample_delivery(), sample_delivery(sample_event(2, grow_to=20_000)), sample_delivery(serial=3)]
        outcomes = await send(sink, batch)
        assert isinstance(outcomes[1], Rejected)
        assert all(isinstance(outcome, Delivered | TryLater) for outcome in (outcomes[0], outcomes[2]))
        assert sink.largest() == 20_000
        assert [type(outcome).__name__ for outcome in await send(sink, batch)] == ["Delivered", "Rejected", "Delivered"]
