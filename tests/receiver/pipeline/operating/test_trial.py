"""Testing a sink: a real event by the way of every delivery, and what came of it, on the API and the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from pipeline_fakes import Fake, until, world
from running_fakes import ADMIN, REGISTRY, Keeps, configured

from receiver import cli
from receiver.config import load
from receiver.contract.errors import NotFound, UsageError
from receiver.contract.sink import Rejected, TryLater
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.deliver import Runner
from receiver.pipeline.operating.replay import Replay
from receiver.pipeline.outbox import Route
from receiver.registry import discover
from receiver.store.store import Store
from receiver.web.serve import serving

NARROW = [Route(sink=name, events=("transcript.*",), sources=("nobody",)) for name in ("archive", "other")]


class At:
    """A sink at work in a world, and the verb on it."""

    def __init__(self, store: Store, sink: Fake, sql: Any) -> None:
        self.sink = sink
        self.store = store
        self.sql = sql
        self.replay = Replay(store, NARROW)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[At]:
    """Give a sink that takes no such event by itself, and its runner."""
    async with world(tmp_path, NARROW) as one:
        sink = Fake(retry=(0, 0.01))
        render = Renderer(None, None, "")
        runner = Runner(sink, one.store, one.outbox, render=render, dice=lambda: 0.5, now=one.clock)
        one.outbox.change(NARROW, "", {})
        task = asyncio.create_task(runner.run())
        waking = asyncio.create_task(_wake(runner))
        yield At(one.store, sink, one.sql)
        waking.cancel()
        await runner.stop(1)
        await asyncio.gather(task, waking, return_exceptions=True)


async def _wake(runner: Runner) -> None:
    while True:
        runner.wake()
        await asyncio.sleep(0.02)


async def test_it_arrives_at_this_sink_alone(at: At) -> None:
    """Whatever the sink's globs say; the others get nothing."""
    trial = await at.replay.test("archive", 5)
    assert (trial.arrived, trial.state, trial.attempts, trial.detail) == (True, "delivered", 1, None)
    ((delivery,),) = at.sink.sent
    assert (delivery.id, delivery.event.id, delivery.event.type) == (trial.delivery, trial.event, "ops.test")
    assert json.loads(delivery.event.data)["sink"] == "archive"
    assert at.sql("SELECT sink FROM deliveries") == [("archive",)]


async def test_what_is_refused_is_told(at: At) -> None:
    """As soon as it is given up, with the reason."""
    at.sink.answer = lambda deliveries: [Rejected(reason="no such room")]
    trial = await at.replay.test("archive", 5)
    assert (trial.arrived, trial.state, trial.detail) == (False, "dead", "no such room")
    assert trial.seconds < 5


async def test_what_does_not_arrive_in_time_is_given_up(at: At) -> None:
    """It does not come an hour later, when nobody thinks of it any more."""
    at.sink.answer = lambda deliveries: [TryLater(reason="down", after=3600)]
    trial = await at.replay.test("archive", 0.5)
    assert (trial.arrived, trial.detail, trial.attempts) == (False, "down", 1)
    await until(lambda: at.sql("SELECT state FROM deliveries") == [("discarded",)])


async def test_a_tripped_sink_says_why_nobody_tried(at: At) -> None:
    """What is left alone after failures says so, and how to have it tried: not that nothing runs."""
    at.sink.answer = lambda deliveries: [TryLater(reason="no such room")]
    while at.sql("SELECT state FROM sinks") != [("tripped",)]:
        await at.replay.test("archive", 0.3)
    trial = await at.replay.test("archive", 0.3)

    assert (trial.arrived, trial.attempts) == (False, 0)
    assert trial.detail == (
        "nobody tried, because the sink failed again and again: no such room; "
        "`hookscribe sinks resume archive` tries at once"
    )


async def test_a_sink_that_cannot_be_tested_is_told(at: At) -> None:
    """One that is not there, and one that is paused: nothing is written for either."""
    with pytest.raises(NotFound, match="no sink has the name 'none'"):
        await at.replay.test("none")
    await at.replay.pause("archive")
    with pytest.raises(UsageError, match="archive is paused: `hookscribe sinks resume archive` first"):
        await at.replay.test("archive")
    assert at.sql("SELECT count(*) FROM events") == [(0,)]


async def test_over_the_api(tmp_path: Path) -> None:
    """With the token, on a running receiver; the wait has its bounds."""
    config = configured(tmp_path, admin_token=ADMIN)
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with serving(config, REGISTRY) as (_, where), httpx.AsyncClient(headers=headers, timeout=20) as http:
        test = f"{where.admin}/api/v1/sinks/archive/test"
        told = (await http.post(test)).json()
        assert (told["arrived"], told["state"], told["sink"]) == (True, "delivered", "archive")
        assert [one.event.id for one in Keeps.sent] == [told["event"]]
        assert (await http.post(test, json={"wait": 5})).json()["arrived"] is True
        assert (await http.post(test, json={"wait": 1000})).status_code == 400
        assert (await http.post(f"{where.admin}/api/v1/sinks/none/test")).status_code == 404
        assert (await http.post(f"{where.admin}/api/v1/sinks/archive/pause")).json()["state"] == "paused"
        assert (await http.post(test)).status_code == 400
        assert (await http.post(f"{where.admin}/api/v1/sinks/archive/resume")).json()["state"] == "running"
        assert (await http.post(test)).json()["arrived"] is True


def last(done: Result) -> str:
    """Return what the command itself printed: the receiver beside it logs to the same place."""
    return done.stdout.splitlines()[-1]


async def test_on_the_command_line(tmp_path: Path) -> None:
    """Beside a running receiver: 0 and the line at the sink, or 1 with the reason where nobody works."""
    file = tmp_path / "hookscribe.toml"
    file.write_text(
        f'store = "sqlite:{tmp_path}/store.db"\n[listen]\npublic = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
        f'[sinks.archive]\nkind = "jsonl"\npath = "{tmp_path}/events.jsonl"\nevents = []\n'
    )

    async def run(*arguments: str) -> Result:
        words = ["--config", str(file), "sinks", "test", "archive", *arguments]
        return await asyncio.to_thread(CliRunner().invoke, cli.hookscribe, words)

    registry = discover()
    async with serving(load(file, {}, registry), registry):
        done = await run()
        assert done.exit_code == 0, done.output
        (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
        assert json.loads(line)["type"] == "ops.test"
        assert last(done).startswith(f"{json.loads(line)['id']} arrived after ")
        assert json.loads(last(await run("--json")))["arrived"] is True
    alone = await run("--wait", "0.2")
    assert alone.exit_code == 1
    assert "did not arrive, and is pending" in alone.stdout
    assert "nobody tried: is `hookscribe serve` running?" in alone.stdout
    assert json.loads((await run("--wait", "0.2", "--json")).stdout)["arrived"] is False
