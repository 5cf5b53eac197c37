"""Events that wait in a store for a sink, and the runner that drains them: the engine's own way, end to end."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from receiver.contract.model import DeliveryState
from receiver.contract.sink import Sink
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.deliver import Runner
from receiver.pipeline.outbox import Outbox, Route
from receiver.store.ids import EVENT, encode
from receiver.store.opening import PACKAGE
from receiver.store.records import Writes
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Store
from receiver.testing.events import sample_transcript

DATA = msgspec.json.encode(sample_transcript())
"""What each event holds."""
_AT_ONCE = 1_000


class Backlog:
    """A store of real time with events that wait for one sink."""

    def __init__(self, engine: SqliteEngine, store: Store) -> None:
        self.engine = engine
        self.store = store
        self.calls: dict[str, int] = {}
        """The call of each event, in the order in which they were written."""
        self._numbers: list[int] = []

    async def wait(self, sink: str, count: int, calls: int) -> None:
        """Write events that wait for a sink, in turn over so many calls; the same calls each time."""
        numbers = self._numbers
        numbers += [self.store.ids.next() for _ in range(calls - len(numbers))]
        for start in range(0, count, _AT_ONCE):
            writes = Writes()
            for serial in range(start, min(count, start + _AT_ONCE)):
                self._add(writes, sink, numbers[serial % calls])
            await self.store.write(writes)

    def _add(self, writes: Writes, sink: str, call: int) -> None:
        event, delivery, now = self.store.ids.next(), self.store.ids.next(), self.store.now_ms()
        self.calls[encode(EVENT, event)] = call
        row = (event, "callcov", "transcript.completed", "2026-11-20T10:00:00Z", "trn_x", call, None, None, DATA)
        writes.events.append(row)
        writes.deliveries.append((delivery, sink, event, call, DeliveryState.PENDING, now, now))

    def states(self, sink: str) -> dict[str, int]:
        """Return how many deliveries to a sink have each state."""
        query = "SELECT state, count(*) FROM deliveries WHERE sink = ? GROUP BY state"
        with contextlib.closing(sqlite3.connect(self.engine.path)) as connection:
            return dict(connection.execute(query, (sink,)).fetchall())

    @contextlib.asynccontextmanager
    async def draining(self, sink: Sink[Any]) -> AsyncIterator[Runner]:
        """Run the sink's runner."""
        outbox = Outbox([Route(sink=sink.name, events=("*",), sources=("*",))], self.store.ids)
        render = Renderer("https://calls.example.com", None, "")
        runner = Runner(sink, self.store, outbox, render=render, dice=random.random, now=time.time)
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            await runner.stop(5.0)
            await task

    @staticmethod
    async def until(runner: Runner, outcome: str, count: int, seconds: float = 120.0) -> None:
        """Wait until a runner has had so many outcomes of a kind."""
        async with asyncio.timeout(seconds):
            while runner.outcomes[outcome] < count:
                await asyncio.sleep(0.005)

    def in_order(self, arrived: list[str]) -> bool:
        """Say whether every event arrived, and each call's in order, repeats left aside."""
        first = list(dict.fromkeys(arrived))
        if set(first) != set(self.calls):
            return False
        wanted: dict[int, list[str]] = {}
        got: dict[int, list[str]] = {}
        for event, call in self.calls.items():
            wanted.setdefault(call, []).append(event)
        for event in first:
            got.setdefault(self.calls[event], []).append(event)
        return wanted == got


@contextlib.asynccontextmanager
async def backlog(folder: Path) -> AsyncIterator[Backlog]:
    """Open an empty store in a folder."""
    engine = SqliteEngine(folder / "backlog.db", PACKAGE)
    await engine.open(checkpoint=True)
    try:
        await engine.migrate()
        store = Store(engine, time.time)
        await store.register("test")
        yield Backlog(engine, store)
    finally:
        await engine.close()
