"""Whether a sink may be sent to: what trips it, what an operator says, and what is known again after a start."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pipeline_fakes import World, world

from receiver.contract.model import SinkState
from receiver.contract.sink import Delivered, Rejected, SendOutcome, TryLater
from receiver.pipeline import breaker
from receiver.pipeline.breaker import Breaker
from receiver.pipeline.schedule import TRIP_AFTER
from receiver.store.records import SinkRow

DOWN = TryLater(reason="down")


@pytest.fixture
async def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Give a store in which every look is a look."""
    monkeypatch.setattr(breaker, "_LOOK", 0.0)
    async with world(tmp_path) as made:
        yield made


def of(one: World) -> Breaker:
    """Return the breaker of a sink."""
    return Breaker("archive", one.store, one.clock)


async def tripped(one: World) -> Breaker:
    """Return a breaker that has tripped."""
    made = of(one)
    for _ in range(TRIP_AFTER):
        await made.judge([DOWN], probing=False)
    return made


async def test_failures_in_a_row_trip_it_once(one: World) -> None:
    """The one that does says why; a batch in which anything arrived is no failure, a refusal is one."""
    made = of(one)
    batches: list[list[SendOutcome]] = [[DOWN], [DOWN, Delivered()], [Rejected(reason="no")]]
    batches += [[DOWN] for _ in range(TRIP_AFTER - 2)]
    for batch in batches:
        assert await made.judge(batch, probing=False) is None
    assert (made.state, made.health.failures) == (SinkState.RUNNING, TRIP_AFTER - 1)
    assert await made.judge([DOWN], probing=False) == "down"
    assert (made.state, made.probe_in(), made.allowed(8)) == (SinkState.TRIPPED, 5.0, 0)
    assert await made.judge([DOWN], probing=False) is None
    assert made.health.failures == TRIP_AFTER, "what was sent before it tripped tells nothing new"


async def test_a_sink_that_had_tripped_is_probed_after_a_start(one: World) -> None:
    """Its failures count on, and one success of the probe brings it back, for whoever starts next too."""
    await tripped(one)
    again = of(one)
    assert await again.look() is None
    assert (again.state, again.health.failures, again.allowed(8)) == (SinkState.TRIPPED, TRIP_AFTER, 1)
    assert await again.judge([Delivered()], probing=True) is None
    assert again.state is SinkState.RUNNING
    after = of(one)
    await after.look()
    assert after.state is SinkState.RUNNING


async def test_an_operators_word_is_heard_once_and_counts(one: World) -> None:
    """A pause, and its end; what failed meanwhile does not undo it."""
    made = await tripped(one)
    assert await made.look() is None
    await one.store.put_sink(SinkRow(name="archive", state=SinkState.PAUSED))
    assert [await made.look(), await made.look()] == [SinkState.PAUSED, None]
    assert await made.failed("down") is None
    assert (made.state, made.allowed(8)) == (SinkState.PAUSED, 0)
    await one.store.put_sink(SinkRow(name="archive", state=SinkState.RUNNING))
    assert await made.look() is SinkState.RUNNING
    assert made.allowed(8) == 1, "it comes back step by step"


async def test_what_another_process_learnt_is_taken_over(one: World) -> None:
    """While that one sent, the sink came back: its word is no operator's, and is believed all the same."""
    here = await tripped(one)
    there = of(one)
    await there.look()
    here.elsewhere()
    await there.judge([Delivered()], probing=True)
    assert await here.look() is None
    assert (here.state, here.health.failures) == (SinkState.RUNNING, 0)
