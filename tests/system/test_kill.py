"""Nothing that was acknowledged is lost, whenever the process is killed: at random, and at every step of the path."""

import asyncio
import random
from pathlib import Path

import pytest

from system.harness import Process, Site, serving, until
from system.holds import copies, delivered, everything_holds, kept_once, settled
from system.hook import Mood, hooking
from system.sender import Factory, Sender, load

pytestmark = pytest.mark.system

KILLS = 20


async def test_kills_at_random_lose_nothing(tmp_path: Path) -> None:
    """After 20 kills under load, some while it starts, every acknowledged callback reaches every sink, in order."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        hook.fails_every = 97
        process = await Process.start(site)
        async with load(site) as sender:
            for number in range(KILLS):
                if number % 2:
                    await process.started()
                    await sender.goes_on(20)
                process = await _killed_at_random(site, process)
            await process.started()
            await sender.goes_on(20)
        try:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)
        finally:
            await process.kill()
    assert len(sender.acknowledged) > 200
    assert not sender.refused


async def _killed_at_random(site: Site, process: Process) -> Process:
    """Kill a process some time after its start, often in the middle of work, and start the next one."""
    await asyncio.sleep(random.uniform(0.2, 1.1))
    await process.kill()
    return await Process.start(site)


GAPS = {
    "before-keep:3": "before the commit of receipts",
    "after-keep:3": "after the commit, before the reply",
    "after-claim:2": "claimed, in the middle of normalizing",
    "before-write:2": "normalized, not written",
    "in-write:2": "in the middle of writing what receipts became",
    "after-write:2": "written, before anything is delivered",
    "after-lease:3": "leased to a sink, not sent",
    "before-marking:2": "a sink has it, not marked",
    "after-marking:2": "marked, before the next",
}


@pytest.mark.parametrize("point", GAPS, ids=lambda point: str(point).partition(":")[0])
async def test_a_kill_in_a_gap_loses_nothing(tmp_path: Path, point: str) -> None:
    """Killed at this point under load, and started again, it has and delivers everything that was acknowledged."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        process = await Process.start(site, point=point)
        async with load(site, lanes=6) as sender:
            await process.died()
            process = await Process.start(site)
            await sender.goes_on(20)
        try:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)
        finally:
            await process.kill()


async def test_a_kill_between_reply_and_normalizing_loses_nothing(tmp_path: Path) -> None:
    """Acknowledged, and killed before any of it was normalized: the next start delivers it."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        async with serving(site, point="no-normalizing") as process, load(site) as sender:
            await sender.goes_on(40)
            await process.kill()
        assert site.rows("SELECT count(*) FROM events") == [(0,)]
        async with serving(site) as process:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)


async def test_a_sink_that_took_it_sees_the_same_id_again(tmp_path: Path) -> None:
    """Accepted by the sink and killed before it was marked: the event comes again, under its first id."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        sender, callback = Sender(site.address), Factory(site).of("callcov", "again")
        process = await Process.start(site, point="before-marking")
        await sender.send([callback])
        await process.died()
        async with serving(site) as process:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)
        assert copies(site.lines()) + copies(hook.events) > 0


@pytest.mark.parametrize("statement", [1, 2, 9])
async def test_a_kill_in_the_first_migration_leaves_nothing_half_made(tmp_path: Path, statement: int) -> None:
    """Killed between two statements of the first migration, it starts again and receives."""
    site = Site(tmp_path)
    process = await Process.start(site, point=f"in-migration:{statement}")
    await process.died()
    async with serving(site) as process, load(site, lanes=2) as sender:
        await sender.goes_on(10)
        await sender.stop()
        await settled(site, process)
    everything_holds(site, sender.acknowledged)


async def test_a_kill_in_a_later_migration_loses_nothing(tmp_path: Path) -> None:
    """Killed in the middle of a migration of a full store, the next start makes it whole, with everything in it."""
    site = Site(tmp_path)
    async with serving(site, point="no-normalizing") as process, load(site) as sender:
        await sender.goes_on(40)
        await process.kill()
    for statement in (2, 4, 5):
        process = await Process.start(site, point=f"in-extra-migration:{statement}")
        await process.died()
        assert site.rows("SELECT name FROM sqlite_schema WHERE name = 'extra'") == []
    async with serving(site, point="extra-migration") as process:
        await settled(site, process)
        everything_holds(site, sender.acknowledged)
    assert len(site.rows("SELECT id FROM extra")) == len(site.rows("SELECT id FROM receipts WHERE extra = 'seen'"))


async def test_a_poison_callback_stops_itself_alone(tmp_path: Path) -> None:
    """A callback that kills its normalizer is given up at the third crash, of a child; its neighbours are delivered."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        factory = Factory(site)
        process = await Process.start(site, point="no-normalizing")
        sender, poisoned = Sender(site.address), Sender(site.address)
        await sender.send(factory.call("before", 5))
        await poisoned.send([factory.of_call("poison", "poison.0", poison=True)])
        await sender.send(factory.call("after", 5))
        await process.kill()
        for _ in range(2):
            process = await Process.start(site)
            await process.died()
        async with serving(site) as process:
            await settled(site, process)
            rows = site.rows("SELECT id, reason FROM receipts WHERE state = 'unreadable'")
            assert [reason.partition(":")[0] for _, reason in rows] == ["crashed"]
            told = [event for event in hook.events if event["type"] == "ops.receipt_unreadable"]
            assert [event["subject"] for event in told] == [one.id for one in poisoned.acknowledged]
            kept_once(site, sender.acknowledged)
            delivered(sender.acknowledged, site.lines())
            delivered(sender.acknowledged, hook.events)


async def test_a_large_poison_callback_kills_only_its_own_process(tmp_path: Path) -> None:
    """A large body is normalized in another process: where it kills that, the receiver stays up and gives it up."""
    site = Site(tmp_path)
    factory = Factory(site)
    async with serving(site) as process:
        sender, poisoned = Sender(site.address), Sender(site.address)
        await poisoned.send([factory.of_call("poison", "poison.0", poison=True, text="x" * 2_000_000)])
        await sender.send(factory.call("after", 5))
        await settled(site, process)
        ((reason,),) = site.rows("SELECT reason FROM receipts WHERE state = 'unreadable'")
        assert reason.startswith("crashed")
        assert {event["data"].get("job_id") for event in site.lines()} >= {f"after.{n}" for n in range(5)}
        await process.stop()


async def test_a_store_that_fails_for_a_while_is_no_crash(tmp_path: Path) -> None:
    """Where writing fails and then goes well, no claim stays behind that the next start would count as a crash."""
    site = Site(tmp_path)
    async with serving(site, point="failing-write:2") as process:
        sender = Sender(site.address)
        await sender.send(Factory(site).call("late", 3))
        await settled(site, process)
        everything_holds(site, sender.acknowledged)


async def test_a_sink_that_tripped_before_a_kill_comes_back(tmp_path: Path) -> None:
    """Tripped and killed: the next start probes at once, delivers, and says that the sink runs."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        hook.mood = Mood.FAILS
        states = "SELECT state FROM sinks WHERE name = 'hook'"
        async with serving(site) as process, load(site, lanes=2) as sender:
            await until(lambda: site.rows(states) == [("tripped",)], "the sink to trip")
            await sender.stop()
            await process.kill()
        hook.mood = Mood.TAKES
        async with serving(site) as process:
            await settled(site, process)
            kept_once(site, sender.acknowledged)
            delivered(sender.acknowledged, hook.events)
            assert site.rows(states) == [("running",)]


async def test_a_callback_that_was_there_when_others_killed_the_worker_is_no_poison(tmp_path: Path) -> None:
    """However often the worker is killed over a callback that is not at fault, the callback arrives in the end."""
    site = Site(tmp_path)
    process = await Process.start(site, point="after-claim")
    sender = Sender(site.address)
    await sender.send([Factory(site).of("callcov", "unlucky")])
    await process.died()
    for _ in range(4):
        process = await Process.start(site, point="after-claim")
        await process.died()
    async with serving(site) as process:
        await settled(site, process)
        everything_holds(site, sender.acknowledged)
