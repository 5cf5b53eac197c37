"""The sink sqs with a server that is frozen and cut off: it costs time and nothing else."""

import json
from pathlib import Path

import pytest
from backlog import backlog
from moto_server import moto, queue, sending

from receiver.pipeline import schedule
from receiver.testing.peer import Behaviour


async def test_five_thousand_events_arrive_whatever_the_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen in the middle, then cut off, then frozen behind an open connection: each arrives, in order for each call."""
    monkeypatch.setattr(schedule, "_PROBES", (0.2, 0.5))
    with moto() as server:
        async with (
            backlog(tmp_path) as events,
            queue(server) as peer,
            sending(peer, timeout=1.0, retry=[0, *[0.2] * 500]) as sink,
        ):
            await events.wait("queue", 5_000, 100)
            async with events.draining(sink) as runner:
                await events.until(runner, "delivered", 1_000)
                server.freeze()
                await events.until(runner, "probe", 1)
                server.thaw()
                await events.until(runner, "delivered", 2_000)
                await peer.behave(Behaviour.GONE)
                await events.until(runner, "probe", runner.outcomes["probe"] + 1)
                await peer.behave(Behaviour.TAKES)
                await events.until(runner, "delivered", 3_500)
                await peer.behave(Behaviour.HANGS)
                await events.until(runner, "probe", runner.outcomes["probe"] + 1)
                await peer.behave(Behaviour.TAKES)
                await events.until(runner, "delivered", 5_000)
            arrived = [json.loads(one["body"])["id"] for one in await peer.waiting()]
            assert events.states("queue") == {"delivered": 5_000}
            assert len(arrived) == 5_000
            assert events.in_order(arrived)
