"""A wrong secret under traffic: what was refused waits, is explained, and is admitted by the recipe, nothing twice."""

import asyncio
import contextlib
import functools
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from receiver.store.ids import RECEIPT, encode
from system.harness import Process, Site, serving, until
from system.holds import everything_holds, settled
from system.hook import hooking
from system.recipes import recipe
from system.sender import Acknowledged, Callback, Factory, Sender, load
from system.test_reload import reloaded

pytestmark = pytest.mark.system

OLD, NEW = "system-callcov-secret-7Qm2", "rotated-callcov-secret-4Hd8"
HEADING = "A wrong secret for an hour"
REFUSED = 1200
"""More than the quarantine keeps unless it is told otherwise."""
AT_ONCE = 400
"""An hour's traffic is no flood: what comes faster than about 500 a second is counted, and not all of it kept."""
FORGED = 12
AGAIN = 40
"""Callbacks that the provider sends a second time, some before the fix and as many after it."""


async def test_a_wrong_secret_for_an_hour_under_traffic_loses_nothing(tmp_path: Path) -> None:
    """A provider signs with a secret that we lack; the recipe brings all of it to every sink, once, forgeries excepted."""
    async with hooking() as hook:
        site = Site(tmp_path, hook=hook.url)
        hook.expects(site.secret)
        rotated, forged = signing(site, NEW), signing(site, "secret-of-a-forger-9Zw3")
        forgeries = [forged.of("callcov", f"forged-{number}") for number in range(FORGED)]
        late = [rotated.of("callcov", f"late-{number}") for number in range(REFUSED)]
        async with serving(site) as process, load(site, lanes=2) as genuine:
            await refuse(site, process, late[:800])
            site.add_settings("[quarantine]\nmax_count = 20000\nmax_bytes = 536870912\n")
            await reloaded(process)
            await refuse(site, process, late[800:])
            await refuse(site, process, late[:AGAIN])
            await refuse(site, process, forgeries)
            waiting = REFUSED + AGAIN + FORGED
            assert kept(site) == waiting

            told = process.said("receipt.refused")
            assert told
            listed, explained = await recipe(site, HEADING, ends=(0, 1), qrn_02mkhz5m00400=told["quarantined"])
            assert "signature_mismatch" in listed
            assert "no match with any of 1 secrets over {body}" in explained
            site.change(f'secrets = ["{OLD}"]', f'secrets = ["{NEW}", "{OLD}"]')
            await reloaded(process)
            again = Sender(site.address)
            await again.send(late[-AGAIN:])
            assert not again.refused
            await genuine.goes_on(20)

            counted, done = await recipe(site, HEADING, block=1, ends=(1, 1))
            assert (
                last(counted) == f"{waiting:,} found: {waiting - FORGED:,} proven, {FORGED} refused; nothing was done"
            )
            accepted = REFUSED - AGAIN
            assert last(done) == f"{waiting:,} found: {accepted:,} accepted, {2 * AGAIN} duplicate, {FORGED} refused"
            assert kept(site) == FORGED
            await genuine.goes_on(20)
            await genuine.stop()
            await settled(site, process)
            await process.stop()
        assert not genuine.refused
        everything_holds(site, [*genuine.acknowledged, *again.acknowledged, *admitted(site, late)], hook)
        assert not {one.job for one in forgeries} & {event["data"].get("job_id") for event in hook.events}
        assert not any(secret in process.output() + explained + done for secret in (OLD, NEW))


def signing(site: Site, secret: str) -> Factory:
    """Return a provider that signs with another secret than the receiver's."""
    whole = site.settings()
    site.change(OLD, secret)
    try:
        return Factory(site)
    finally:
        site.write(whole)


async def refuse(site: Site, process: Process, callbacks: Sequence[Callback]) -> None:
    """Send callbacks that must be refused, over some connections, and wait until the quarantine has them."""
    for start in range(0, len(callbacks), AT_ONCE):
        before = kept(site)
        piece = callbacks[start : start + AT_ONCE]
        sender = Sender(site.address)
        await asyncio.gather(*(sender.send(piece[lane::4]) for lane in range(4)))
        assert sender.refused == [401] * len(piece)
        await until(functools.partial(all_kept, site, process, before + len(piece)), "the quarantine")


def all_kept(site: Site, process: Process, wanted: int) -> bool:
    """Say whether so many are in the quarantine."""
    assert process.running, process.output()
    return kept(site) >= wanted


def kept(site: Site) -> int:
    """Return how many requests are in the quarantine, 0 while nobody has made its file."""
    path = site.store.with_name(site.store.name + "-quarantine")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM quarantined").fetchall()
            return int(count)
    except sqlite3.OperationalError:
        return 0


def admitted(site: Site, callbacks: Sequence[Callback]) -> list[Acknowledged]:
    """Return each callback with the one receipt that it has become."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for number, body in site.rows("SELECT id, body FROM receipts WHERE source = 'callcov'"):
        found[body].append(number)
    made = []
    for one in callbacks:
        (number,) = found[one.body]
        made.append(Acknowledged(callback=one, status="accepted", id=encode(RECEIPT, number)))
    return made


def last(output: str) -> str:
    """Return the last line."""
    return output.splitlines()[-1]
