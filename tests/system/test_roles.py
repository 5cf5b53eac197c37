"""Two processes on one embedded store: one receives, one works; and never two that work."""

import asyncio
import random
from pathlib import Path

import pytest

from system.harness import Process, Site, serving, until
from system.holds import everything_holds, settled
from system.hook import hooking
from system.sender import Factory, Sender, load

pytestmark = pytest.mark.system

KILLS = 8


async def test_kills_of_either_process_lose_nothing(tmp_path: Path) -> None:
    """The receiving and the working process are killed in turns under load: the same holds as for one process."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        web = await (await Process.start(site, "web")).started()
        worker = await Process.start(site, "worker")
        async with load(site) as sender:
            for turn in range(KILLS):
                await asyncio.sleep(random.uniform(0.2, 0.9))
                if turn % 2:
                    await web.kill()
                    web = await Process.start(site, "web")
                else:
                    await worker.kill()
                    worker = await Process.start(site, "worker")
            await web.started()
            await worker.started()
            await sender.goes_on(60)
        try:
            await settled(site, worker)
            everything_holds(site, sender.acknowledged, hook)
            await worker.stop()
            await web.stop()
        finally:
            await worker.kill()
            await web.kill()
    assert len(sender.acknowledged) > 50
    assert not sender.refused


async def test_a_second_worker_waits_for_the_first_to_be_gone(tmp_path: Path) -> None:
    """Only one process works on a store; where it is killed, the one that waited takes over what it held."""
    site = Site(tmp_path)
    async with serving(site, "web"), load(site, lanes=4) as sender:
        first = await (await Process.start(site, "worker")).started()
        second = await Process.start(site, "worker")
        try:
            await until(lambda: second.said("worker.waits"), "the second worker to wait")
            await until(lambda: len(site.lines()) > 20, "events by the first worker")
            assert not second.said("serve.started")
            await first.kill()
            await second.started()
            before = len(site.lines())
            await until(lambda: len(site.lines()) > before + 20, "events by the second worker")
            await sender.stop()
            await settled(site, second)
            everything_holds(site, sender.acknowledged)
        finally:
            await first.kill()
            await second.kill()


async def test_a_worker_that_waits_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM ends a process that has nothing to do yet."""
    site = Site(tmp_path)
    async with serving(site, "worker"):
        second = await Process.start(site, "worker")
        try:
            await until(lambda: second.said("worker.waits"), "the second worker to wait")
            assert await second.stop() < 3
        finally:
            await second.kill()


async def test_after_a_takeover_the_log_still_moves_into_the_store(tmp_path: Path) -> None:
    """The process that takes over also checkpoints: SQLite's log does not grow without end."""
    site = Site(tmp_path)
    async with serving(site) as first:
        second = await Process.start(site)
        try:
            await until(lambda: second.said("worker.waits"), "the second process to wait")
            await first.kill()
            await second.started()
            sender, factory = Sender(site.address), Factory(site)
            await sender.send(factory.of_call("large", f"large.{n}", text="x" * 2_000_000) for n in range(24))
            await settled(site, second)
            assert site.store.stat().st_size > 48_000_000
            everything_holds(site, sender.acknowledged)
        finally:
            await second.kill()
