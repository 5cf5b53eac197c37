"""SIGHUP under load: new settings are in force, nothing acknowledged is lost, a wrong file changes nothing."""

import asyncio
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from receiver.store.ids import RECEIPT, decode
from system.harness import Process, Site, serving, until
from system.holds import delivered, everything_holds, kept_once, settled
from system.hook import Mood, hooking
from system.recipes import recipe
from system.sender import Factory, Sender, load
from system.test_stop import SLACK, left_tidy

pytestmark = pytest.mark.system


async def reloaded(process: Process, said: str = "reload.done") -> None:
    """Send SIGHUP and wait until it was acted upon."""
    before = process.output().count(f'"event":"{said}"')
    process.signal(signal.SIGHUP)
    await until(lambda: process.output().count(f'"event":"{said}"') > before or not process.running, said)
    assert process.running, process.output()


async def test_a_reload_under_load_loses_nothing(tmp_path: Path) -> None:
    """A secret rotated, a sink added, changed and removed, a broken file: all while callbacks come."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=5)
        hook.expects(site.secret)
        async with serving(site) as process, load(site) as sender:
            await sender.goes_on(60)
            site.change(
                'secrets = ["system-callcov-secret-7Qm2"]', 'secrets = ["new-9Xk4", "system-callcov-secret-7Qm2"]'
            )
            site.add_settings(f'[sinks.copy]\nkind = "jsonl"\npath = "{tmp_path}/copy.jsonl"\n')
            await reloaded(process)
            await sender.goes_on(60)
            site.change("timeout = 10\n", "timeout = 11\nconcurrency = 3\n")
            await reloaded(process)
            await sender.goes_on(60)
            whole = site.settings()
            site.write('frobnicate = "canary-7Qm2"\n' + whole + "[sinks.copy\n")
            await reloaded(process, "reload.refused")
            await sender.goes_on(60)
            site.write(whole.partition("[sinks.copy]")[0])
            await reloaded(process)
            await sender.goes_on(60)
            await sender.stop()
            await settled_but(site, "copy")
            took = await process.stop()
        assert took < 5 + SLACK
        left_tidy(site)
        everything_holds(site, sender.acknowledged, hook, orphans="copy")
    assert not sender.refused
    assert not sender.busy
    assert "canary" not in process.output()
    assert "Traceback" not in process.output()
    assert (tmp_path / "copy.jsonl").stat().st_size


async def settled_but(site: Site, sink: str) -> None:
    """Wait until nothing is left to be done but for a sink that is gone."""
    open_ = (
        "SELECT (SELECT count(*) FROM receipts WHERE state = 'received'), (SELECT count(*) FROM claims),"
        f" (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'in_flight') AND sink <> '{sink}')"
    )
    await until(lambda: site.rows(open_) == [(0, 0, 0)], "everything to be delivered")


async def test_a_renamed_sink_takes_its_backlog_along(tmp_path: Path) -> None:
    """It hangs, is taken out under another name, is told of with its commands, and the move brings everything."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=1, timeout=60)
        hook.expects(site.secret)
        hook.mood = Mood.HANGS
        async with serving(site) as process:
            async with load(site, lanes=3) as sender:
                await until(lambda: hook.asked >= 3, "sends that hang")
                await sender.goes_on(30)
                site.change("[sinks.hook]", "[sinks.front]")
                await reloaded(process)
                await sender.goes_on(30)
            hook.relax()
            orphaned = process.said("sink.orphaned")
            assert orphaned
            assert orphaned["sink"] == "hook"
            assert orphaned["pending"] >= 3
            assert orphaned["move"] == "hookscribe deliveries move --from hook --to NAME"
            await until(lambda: site.rows("SELECT 1 FROM deliveries WHERE state = 'in_flight'") == [], "the sends")
            said, counted, moved = await recipe(site, "A sink renamed with a backlog", team="hook", chat="front")
            assert "sink hook: is not in the settings" in said
            assert "found, nothing was done" in counted
            assert " moved" in moved
            await settled(site, process)
            await process.stop()
        left_tidy(site)
        everything_holds(site, sender.acknowledged)
        assert {event["id"] for event in hook.events} >= {line["id"] for line in site.lines()}


async def test_a_sink_that_was_gone_for_a_day(tmp_path: Path) -> None:
    """It trips, its backlog waits without using up attempts, and the recipe brings everything."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        hook.mood = Mood.FAILS
        tripped = "SELECT count(*) FROM sinks WHERE name = 'hook' AND state = 'tripped'"
        async with serving(site) as process:
            async with load(site, lanes=3) as sender:
                await until(lambda: site.rows(tripped) == [(1,)], "the sink to trip")
                await sender.goes_on(60)
            assert site.rows("SELECT count(*) FROM deliveries WHERE state = 'dead'") == [(0,)]
            hook.relax()
            _, again = await recipe(site, "A sink gone for a day", team="hook")
            assert again == "0 found, 0 replayed\n"
            await settled(site, process)
            await process.stop()
        everything_holds(site, sender.acknowledged)
        delivered(sender.acknowledged, hook.events)
        assert [line["type"] for line in site.lines()].count("ops.sink_tripped") == 1


async def test_a_new_sink_gets_the_old_events(tmp_path: Path) -> None:
    """Added by a reload, filled by the recipe: it has what the others have, in the same order."""
    site = Site(tmp_path)
    async with serving(site) as process:
        sender = Sender(site.address)
        await sender.send(Factory(site).call("old", 5))
        await settled(site, process)
        site.add_settings(f'[sinks.new]\nkind = "jsonl"\npath = "{tmp_path}/new.jsonl"\n')
        await reloaded(process)
        await settled(site, process)
        found, filled = await recipe(site, "A new sink and the old events", archive="new")
        assert (found, filled) == ("5 found, nothing was done\n", "5 found, 5 replayed\n")
        await settled(site, process)
        await process.stop()
    assert (tmp_path / "new.jsonl").read_text() == site.events.read_text()


async def test_a_source_that_is_removed_is_404_and_what_it_left_is_read(tmp_path: Path) -> None:
    """What was kept before is normalized; put back, it receives again."""
    site = Site(tmp_path)
    async with serving(site) as process:
        factory, sender = Factory(site), Sender(site.address)
        await sender.send(factory.call("before", 3))
        whole = site.settings()
        site.change('[sources.calls]\nprovider = "calls"\ntoken = "system-calls-token"\n', "")
        await reloaded(process)
        await sender.send([factory.of_call("gone", "gone.0")])
        assert sender.refused == [404]
        await sender.send([factory.of("callcov", "another")])
        site.write(whole)
        await reloaded(process)
        await sender.send([factory.of_call("again", "again.0")])
        assert sender.refused == [404]
        await settled(site, process)
        everything_holds(site, sender.acknowledged)
        await process.stop()


async def test_receipts_of_a_source_that_is_gone_wait_for_it(tmp_path: Path) -> None:
    """Kept by the web role, unreadable to a worker without the source, read by itself once it is put back."""
    site = Site(tmp_path)
    async with serving(site, "web"):
        sender = Sender(site.address)
        await sender.send(Factory(site).call("waits", 3))
        whole = site.settings()
        site.change('[sources.calls]\nprovider = "calls"\ntoken = "system-calls-token"\n', "")
        async with serving(site, "worker") as worker:
            unreadable = "SELECT count(*) FROM receipts WHERE state = 'unreadable'"
            await until(lambda: site.rows(unreadable) == [(3,)], "the receipts to be looked at")
            site.write(whole)
            await reloaded(worker)
            await until(lambda: site.rows(unreadable) == [(0,)], "the receipts to be read again")
            await settled_but(site, "")
            await worker.stop()
    kept_once(site, sender.acknowledged)
    jobs = {line["data"]["job_id"] for line in site.lines() if line["type"] == "transcript.completed"}
    assert jobs == {"waits.0", "waits.1", "waits.2"}


async def test_roles_reload_each_by_itself(tmp_path: Path) -> None:
    """The web role takes sources over, the worker role sinks; what only a start changes is told by both."""
    site = Site(tmp_path)
    async with serving(site, "web") as web, serving(site, "worker") as worker:
        site.change("[sinks.archive]", "[sinks.files]")
        site.change('token = "system-calls-token"', 'token = ["other-calls-token-1", "system-calls-token"]')
        site.change("grace = 10", "grace = 11")
        await reloaded(web)
        await reloaded(worker)
        sender = Sender(site.address)
        await sender.send(Factory(site).call("new", 2))
        await settled(site, worker)
        assert {row[0] for row in site.rows("SELECT DISTINCT sink FROM deliveries")} == {"files"}
        for one in (web, worker):
            told = one.said("reload.needs_restart")
            assert told
            assert told["setting"] == "grace"
            await one.stop()
    assert {decode(RECEIPT, one.id) for one in sender.acknowledged}


async def test_a_stop_during_a_reload_keeps_to_its_time(tmp_path: Path) -> None:
    """A sink that hangs while it is taken out holds up neither the stop nor the others."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url, grace=2, timeout=60)
        hook.expects(site.secret)
        hook.mood = Mood.HANGS
        async with serving(site) as process:
            sender = Sender(site.address)
            await sender.send([Factory(site).of("callcov", "hangs")])
            await until(lambda: hook.asked == 1, "the send")
            whole = site.settings()
            site.write(whole.partition("[sinks.hook]")[0])
            process.signal(signal.SIGHUP)
            await asyncio.sleep(0.3)
            await sender.send([Factory(site).of("callcov", "meanwhile")])
            assert await process.stop() < 2 + SLACK
        left_tidy(site)
        hook.relax()
        site.write(whole)
        async with serving(site) as process:
            await settled(site, process)
            await process.stop()
        kept_once(site, sender.acknowledged)


async def test_a_terminal_that_hangs_up_ends_it(tmp_path: Path) -> None:
    """Where stdin was a terminal and is none any more, SIGHUP is no reload: it stops, with exit code 0."""
    site = Site(tmp_path)
    mine, theirs = pty.openpty()
    command, log = site.command("serve"), tmp_path / "terminal.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=theirs, stdout=output, stderr=output, env=site.environment(), start_new_session=True
        )
    os.close(theirs)
    try:
        await until(lambda: b"serve.started" in log.read_bytes() or process.poll() is not None, "the start")
        process.send_signal(signal.SIGHUP)
        await until(lambda: b"reload.done" in log.read_bytes(), "the reload")
        os.close(mine)
        process.send_signal(signal.SIGHUP)
        await until(lambda: process.poll() is not None, "the end")
        assert process.returncode == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
