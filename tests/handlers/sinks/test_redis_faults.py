"""The sink redis through the whole engine while its server is killed, frozen and filled: every event arrives, in order."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from backlog import backlog
from redis_server import MISSING, RedisServer, binary, running, server, stored

from receiver.pipeline import deliver, schedule

EVENTS, CALLS = 5_000, 100
RETRY = (0.0, *[0.1] * 200)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(binary() is None and "CI" not in os.environ, reason=MISSING),
]

Fault = Callable[[RedisServer], Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and probe often: the faults last parts of a second."""
    monkeypatch.setattr(deliver, "_POLL", 0.05)
    monkeypatch.setattr(schedule, "_PROBES", (0.2,))


async def restarted(redis: RedisServer) -> None:
    """Kill the server, leave it dead for a while, start it on what its file holds."""
    await redis.stop()
    await asyncio.sleep(0.4)
    await redis.start()


async def frozen(redis: RedisServer) -> None:
    """Let it answer nothing for longer than a send may take."""
    redis.freeze()
    await asyncio.sleep(1.2)
    redis.thaw()


async def killed_frozen(redis: RedisServer) -> None:
    """Let it vanish with what it had read and not done."""
    redis.freeze()
    await asyncio.sleep(0.3)
    await restarted(redis)


async def filled(redis: RedisServer) -> None:
    """Let it refuse every write for want of memory."""
    await redis.fill()
    await asyncio.sleep(0.5)
    await redis.empty()


@pytest.mark.parametrize("faults", [(restarted, restarted), (frozen, killed_frozen), (filled, filled)])
async def test_nothing_is_lost_or_turned_around(tmp_path: Path, faults: tuple[Fault, ...]) -> None:
    """5,000 events of 100 calls, with faults in the middle: 5,000 arrive, each call's in order, none is dead."""
    async with (
        server() as redis,
        backlog(tmp_path) as waiting,
        running(redis.url, timeout=1.0, retry=RETRY) as sink,
    ):
        await waiting.wait(sink.name, EVENTS, CALLS)
        async with waiting.draining(sink) as runner:
            for number, fault in enumerate(faults, 1):
                await waiting.until(runner, "delivered", number * 1_500)
                await fault(redis)
            await waiting.until(runner, "delivered", EVENTS)
        assert runner.outcomes["failed"], "the faults hit nothing"
        assert waiting.states(sink.name) == {"delivered": EVENTS}
        assert waiting.in_order([json.loads(entry[b"event"])["id"] for entry in await stored(redis)])
