"""A graceful stop loses nothing, leaves nothing half done, and keeps to its time."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from system.harness import Process, Site, serving, until
from system.holds import everything_holds, kept_once, settled
from system.hook import Mood, hooking
from system.sender import Factory, Sender, load

pytestmark = pytest.mark.system

SLACK = 3.0
"""Seconds that ending a process takes besides its grace, on a slow machine."""


async def test_a_stop_under_load_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Stopped under load again and again: exit code 0, no claim, no lease and no counted crash stay behind."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=5)
        hook.expects(site.secret)
        process = await Process.start(site)
        async with load(site) as sender:
            for _ in range(4):
                await process.started()
                await sender.goes_on(60)
                took = await process.stop()
                assert took < 5 + SLACK
                left_tidy(site)
                process = await Process.start(site)
            await process.started()
        try:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)
        finally:
            await process.kill()
    assert not sender.refused


def left_tidy(site: Site) -> None:
    """Check that a stop gave back everything that it did not finish."""
    assert site.rows("SELECT count(*) FROM claims") == [(0,)]
    assert site.rows("SELECT count(*) FROM deliveries WHERE state = 'in_flight'") == [(0,)]
    assert site.rows("SELECT count(*) FROM receipts WHERE tries > 0") == [(0,)]


async def test_a_sink_that_hangs_does_not_delay_the_stop(tmp_path: Path) -> None:
    """Sends that hang are given up at the end of the grace time, and go out after the next start."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=1, timeout=60)
        hook.expects(site.secret)
        hook.mood = Mood.HANGS
        async with serving(site) as process, load(site) as sender:
            await until(lambda: len(sender.acknowledged) >= 60 and hook.asked >= 10, "sends that hang")
            took = await process.stop()
        assert took < 1 + SLACK
        left_tidy(site)
        kept_once(site, sender.acknowledged)
        hook.mood = Mood.TAKES
        async with serving(site) as process:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)


async def test_a_send_under_way_is_finished(tmp_path: Path) -> None:
    """What a sink takes within the grace time is marked as delivered, and does not go out again."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=10)
        hook.expects(site.secret)
        hook.mood = Mood.HANGS
        async with serving(site) as process:
            sender = Sender(site.address)
            await sender.send([Factory(site).of("callcov", "slow")])
            await until(lambda: hook.asked == 1, "the send")
            process.signal(15)
            await until(lambda: process.said("serve.stopping"), "the stop")
            hook.relax()
            await process.ended()
        left_tidy(site)
        everything_holds(site, sender.acknowledged, hook)
        assert hook.asked == 1


async def test_a_stop_uses_up_no_attempt(tmp_path: Path) -> None:
    """A delivery on its last attempt that a stop cut off is not dead after it."""
    async with hooking() as hook:
        site = Site(tmp_path, grace=0.2)
        table = f'kind = "webhook"\nurl = "{hook.url}"\nsecrets = ["{site.secret.value}"]\nallow_private = true'
        site.add_settings(f"[sinks.hook]\n{table}\nretry = [0]\ntimeout = 60\n")
        hook.expects(site.secret)
        hook.mood = Mood.HANGS
        async with serving(site) as process:
            sender = Sender(site.address)
            await sender.send([Factory(site).of("callcov", "last")])
            await until(lambda: hook.asked == 1, "the send")
            await process.stop()
        left_tidy(site)
        hook.mood = Mood.TAKES
        async with serving(site) as process:
            await settled(site, process)
            everything_holds(site, sender.acknowledged, hook)


async def test_slow_senders_do_not_delay_the_stop(tmp_path: Path) -> None:
    """A sender in the middle of a body, and one that is silent, are cut off at the end of the grace time."""
    site = Site(tmp_path, grace=1)
    async with serving(site) as process:
        address = process.address()
        assert address
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"POST /hooks/calls/x HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nhalf")
        silent = await asyncio.open_connection(*address)
        took = await process.stop()
        for one in (writer, silent[1]):
            one.close()
    assert took < 1 + SLACK
    assert "Traceback" not in process.output()


async def test_one_grace_time_does_for_all(tmp_path: Path) -> None:
    """Slow senders and sinks that hang are waited for side by side, not one after the other."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=4, timeout=60)
        hook.expects(site.secret)
        hook.mood = Mood.HANGS
        async with serving(site) as process:
            sender = Sender(site.address)
            await sender.send([Factory(site).of("callcov", "hangs")])
            await until(lambda: hook.asked == 1, "the send")
            address = process.address()
            assert address
            _, writer = await asyncio.open_connection(*address)
            with contextlib.closing(writer):
                writer.write(b"POST /hooks/calls/x HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nhalf")
                await writer.drain()
                assert 3 < await process.stop() < 4 + SLACK
        left_tidy(site)


async def test_a_stop_in_the_middle_of_normalizing_is_no_crash(tmp_path: Path) -> None:
    """A batch that is not written within the grace time is given back, and counts as no try."""
    site = Site(tmp_path, grace=0.5)
    async with serving(site, point="hanging-write") as process:
        sender = Sender(site.address)
        await sender.send(Factory(site).call("cut", 3))
        await until(lambda: site.rows("SELECT count(*) FROM claims") == [(1,)], "the claim")
        assert await process.stop() < 0.5 + SLACK
    left_tidy(site)
    async with serving(site) as process:
        await settled(site, process)
        everything_holds(site, sender.acknowledged)
