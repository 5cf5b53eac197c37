"""Slow and greedy senders cost no memory, no disk and no time of others."""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from system.hostile_harness import (
    BY_TOKEN,
    SIGNED,
    TOKENS,
    Serve,
    answers,
    ask,
    cut,
    everything,
    flowing,
    genuine,
    http,
    serving,
    until,
)

pytestmark = pytest.mark.system

MIB = 1 << 20
ANNOUNCED = 10 * MIB
CONNECTIONS = 1000
FAST = 100
BODY_TIMEOUT = 8.0
MOST_MEMORY_KIB = 300 * 1024
QUICKER = (
    sys.executable,
    "-c",
    (
        "import uvicorn; from receiver import cli; from receiver.web import protocol; original = uvicorn.Config; "
        "uvicorn.Config = lambda *a, **k: original(*a, **(k | {'timeout_keep_alive': 3})); protocol.STALLED_AFTER = 3.0; "
        "cli.main()"
    ),
)
"""`hookscribe` with deadlines of 3 s where it has 30."""


class Ends:
    """How connections ended: by which status (0: none), after how many seconds."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.times: list[float] = []

    async def dribble(self, port: int, first: bytes, drop: bytes, after: float = 0.0) -> None:
        """Send the first bytes at once, then drop by drop until the server ends it."""
        await asyncio.sleep(after)
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heard = asyncio.create_task(everything(reader))
        with contextlib.suppress(ConnectionError):
            writer.write(first)
            while not heard.done():
                writer.write(drop)
                await writer.drain()
                await asyncio.wait([heard], timeout=0.5)
        found = answers(await heard)
        self.statuses[found[0].status if found else 0] += 1
        self.times.append(time.monotonic() - started)
        await cut(writer)


def _begun(number: int) -> bytes:
    """Return the begin of a body of 10 MiB: most of a few bytes, every tenth of much, every other tenth of 900 KiB."""
    path = f"/hooks/{BY_TOKEN}/{TOKENS[BY_TOKEN]}" if number % 3 else f"/hooks/{SIGNED}"
    size = {0: 4 * MIB, 5: 900 * 1024}.get(number % 10, 64)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {ANNOUNCED}\r\n\r\n".encode() + b"x" * size


async def _everything_given_back(serve: Serve, before: int) -> None:
    await until(lambda: serve.sockets() <= before and not _spooled(serve))


def _spooled(serve: Serve) -> int:
    return len([one for one in serve.descriptors() if one.startswith(str(serve.folder)) and "(deleted)" in one])


async def _most_spooled(serve: Serve, while_: asyncio.Future[Any]) -> int:
    most = 0
    while not while_.done():
        most = max(most, _spooled(serve))
        await asyncio.sleep(0.2)
    return most


async def test_slow_bodies(tmp_path: Path) -> None:
    """A thousand slow bodies of 10 MiB: little memory, nobody else waits, all are cut in time, nothing is left."""
    with serving(tmp_path, limits=f"body_timeout = {BODY_TIMEOUT}") as serve:
        assert (await ask(serve.port, http(SIGNED, genuine(SIGNED, "before", 5_000_000), close=True))).status == 200
        await until(lambda: serve.rows("SELECT state FROM receipts") == [("normalized",)])
        before = serve.sockets()
        ends = Ends()
        slow = asyncio.gather(
            *(ends.dribble(serve.port, _begun(number), b"slow" * 16, number / 500) for number in range(CONNECTIONS))
        )
        spooled = asyncio.create_task(_most_spooled(serve, slow))
        flow = await flowing(serve.port, "during", 400, 0.01)
        during = await ask(serve.port, http(SIGNED, genuine(SIGNED, "during", 5_000_000), close=True))
        await slow
        await _everything_given_back(serve, before)
        after = await ask(serve.port, http(SIGNED, genuine(SIGNED, "after", 5_000_000), close=True))
        peak = serve.status("VmHWM")
        print(f"p99 {flow.p99 * 1000:.0f} ms, peak {peak // 1024} MiB, {await spooled} files, {ends.statuses}")
        assert (during.status, after.status) == (200, 200)
        assert flow.statuses == {200: 400}
        assert flow.p99 < 0.25
        assert await spooled > FAST
        assert ends.statuses.keys() <= {408, 0}
        assert ends.statuses[408] > CONNECTIONS / 2
        assert max(ends.times) < BODY_TIMEOUT + 6
        assert peak < MOST_MEMORY_KIB
        assert serve.rows("SELECT count(*) FROM receipts") == [(403,)]
        serve.assert_quiet()


async def test_slow_heads(tmp_path: Path) -> None:
    """Heads that never end, the bodies of refused requests, and connections that say nothing are cut; others go on."""
    begun = b"POST /hooks/callcov HTTP/1.1\r\nHost: x\r\n"
    refused = b"POST /hooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with serving(tmp_path, command=QUICKER) as serve:
        before = serve.sockets()
        ends = Ends()
        slow = asyncio.gather(
            *(ends.dribble(serve.port, begun, b"X-Slow: 1\r\n") for _ in range(500)),
            *(ends.dribble(serve.port, refused, b"x") for _ in range(50)),
            *(ends.dribble(serve.port, b"", b"") for _ in range(200)),
        )
        flow = await flowing(serve.port, "during", 200, 0.01)
        await slow
        assert flow.statuses == {200: 200}
        assert flow.p99 < 0.25
        assert ends.statuses == {0: 700, 404: 50}
        assert max(ends.times) < 3 + 4
        await _everything_given_back(serve, before)
        serve.assert_quiet()


async def test_pipelining_without_reading(tmp_path: Path) -> None:
    """Senders that pipeline without end and read no answer take little memory, and are cut."""
    requests = b"POST /hooks/callcov HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" * 5000
    with serving(tmp_path, command=QUICKER) as serve:
        before = serve.sockets()
        writers = [(await asyncio.open_connection("127.0.0.1", serve.port, limit=1))[1] for _ in range(50)]
        for writer in writers:
            writer.write(requests)
        flow = await flowing(serve.port, "during", 100, 0.01)
        assert flow.statuses == {200: 100}
        assert flow.p99 < 0.25
        await _everything_given_back(serve, before)
        for writer in writers:
            await cut(writer)
        assert serve.status("VmHWM") < MOST_MEMORY_KIB
        serve.assert_quiet()


async def test_connections_opened_and_dropped(tmp_path: Path) -> None:
    """Thousands of connections, dropped before, in and after a head, in and after a body, leave nothing open."""
    whole = http(SIGNED, genuine(SIGNED, "dropped"))
    places = (0, 10, len(whole) - 1500, len(whole) - 100, len(whole))
    with serving(tmp_path) as serve:
        assert (await ask(serve.port, http(SIGNED, genuine(SIGNED, "before"), close=True))).status == 200
        before = serve.sockets()

        async def drop(number: int) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", serve.port)
            writer.write(whole[: places[number % len(places)]])
            await asyncio.sleep(number % 3 * 0.01)
            await cut(writer)

        for _ in range(6):
            await asyncio.gather(*(drop(number) for number in range(500)))
        await _everything_given_back(serve, before)
        assert (await ask(serve.port, http(SIGNED, genuine(SIGNED, "after"), close=True))).status == 200
        assert serve.rows("SELECT count(*) FROM receipts")[0][0] in (2, 3)
        serve.assert_quiet()
