"""Draining a backlog through store and runner, and the client library's bare loop, in turn on the same machine.

A bench module has `BENCH`, a Bench. The engine's side is what `serve` does: events wait in a SQLite store that waits for
the disk, the runner takes them, sends them and writes down how each went. The library's side publishes as many bodies of
the same size and waits for every confirmation, in each way that its documentation offers; the fastest counts.
"""

import abc
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from backlog import DATA, Backlog, backlog

from receiver.contract.sink import HttpClient, Sink, SinkPorts
from receiver.http import GuardedClient
from receiver.testing.events import sample_event
from receiver.testing.tables import settings_of

BODY = sample_event(data=DATA).cloudevent()
"""What the library's loop publishes: the same event, rendered once."""

Loop = Callable[[Sequence[bytes]], Awaitable[None]]


class Bench(abc.ABC):
    """One queue and its client library."""

    name: str
    count = 20_000
    """Events that wait."""
    calls = 2_000
    """Calls that they are about."""

    @abc.abstractmethod
    def sink(self) -> AbstractAsyncContextManager[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a new, empty queue, and delete the queue."""

    @abc.abstractmethod
    def loops(self) -> AbstractAsyncContextManager[Mapping[str, Loop]]:
        """Give ways to publish bodies to a new, empty queue and wait for every confirmation, connected."""


class Round(NamedTuple):
    """One turn of each, in events a second."""

    engine: float
    loops: Mapping[str, float]
    """Of each of the library's loops."""

    @property
    def way(self) -> str:
        """Return which of the library's loops was the fastest."""
        return max(self.loops, key=lambda way: self.loops[way])

    @property
    def library(self) -> float:
        """Return what it made."""
        return self.loops[self.way]


@asynccontextmanager
async def _running(kind: type[Sink[Any]], settings: Mapping[str, Any], http: HttpClient) -> AsyncIterator[Sink[Any]]:
    table = {"kind": kind.__name__.lower(), **settings}
    yield kind("queue", settings_of(kind.Settings, table), SinkPorts(http=http, links=None, now=time.time))


async def _drained(events: Backlog, sink: Sink[Any], count: int) -> float:
    started = time.perf_counter()
    async with events.draining(sink) as runner:
        await events.until(runner, "delivered", count, 600.0)
        seconds = time.perf_counter() - started
    if (states := events.states("queue")) != {"delivered": count}:
        raise SystemExit(f"not everything was delivered: {states}")
    return count / seconds


async def engine(bench: Bench, count: int) -> float:
    """Drain a backlog; return events a second, connecting included."""
    with tempfile.TemporaryDirectory(prefix="hookscribe-bench-") as folder:
        async with (
            backlog(Path(folder)) as events,
            GuardedClient() as http,
            bench.sink() as (kind, settings),
            _running(kind, settings, http) as sink,
        ):
            await events.wait("queue", count, min(count, bench.calls))
            return await _drained(events, sink, count)


async def library(bench: Bench, count: int) -> dict[str, float]:
    """Run each of the library's loops; return the events a second that it made."""
    bodies = [BODY] * count
    rates = {}
    async with bench.loops() as loops:
        for way, loop in loops.items():
            await loop(bodies[:100])
            started = time.perf_counter()
            await loop(bodies)
            rates[way] = count / (time.perf_counter() - started)
    return rates


async def measure(bench: Bench, rounds: int, count: int) -> list[Round]:
    """Run engine and library in turn."""
    return [Round(await engine(bench, count), await library(bench, count)) for _ in range(rounds)]


def row(bench: Bench, rounds: Sequence[Round], count: int) -> str:
    """Write medians, and the median ratio with its lowest and highest round, as a line of a table."""
    ours = statistics.median(one.engine for one in rounds)
    theirs = statistics.median(one.library for one in rounds)
    ratio = _ratio([one.engine / one.library for one in rounds])
    return f"| {bench.name} | {count:,} | {ours:,.0f} | {theirs:,.0f} | {ratio} | {rounds[-1].way} |"


def others(bench: Bench, rounds: Sequence[Round]) -> str:
    """Write what each of the library's loops made, and the ratio to it, as lines of a table."""
    lines = []
    for way in rounds[0].loops:
        rate = statistics.median(one.loops[way] for one in rounds)
        lines.append(
            f"| {bench.name} | {way} | {rate:,.0f} | {_ratio([one.engine / one.loops[way] for one in rounds])} |"
        )
    return "\n".join(lines)


def _ratio(found: Sequence[float]) -> str:
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


async def in_batches(size: int, bodies: Sequence[bytes], publish: Callable[[bytes], Awaitable[object]]) -> None:
    """Publish so many at once, wait for all of them, then the next."""
    for start in range(0, len(bodies), size):
        await asyncio.gather(*(publish(body) for body in bodies[start : start + size]))
