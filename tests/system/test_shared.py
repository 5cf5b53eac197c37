"""Several processes on one PostgreSQL: killed, restarted, frozen; nothing acknowledged is lost, doubled or out of order."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_cluster import Cluster, cluster, needs_cluster, needs_pooler, pooler
from postgres_server import database

from receiver.store.opening import postgres_engine
from receiver.store.postgres.store import LEASE
from system.harness import Process, Site, until
from system.holds import everything_holds, settled
from system.hook import Hook, hooking
from system.sender import Factory, Sender

pytestmark = [pytest.mark.system, needs_cluster]

CALLBACKS = int(os.environ.get("HOOKSCRIBE_TEST_CALLBACKS", "2000"))
"""How many are sent in the test of kills; 30,000 take some minutes."""
CALLS = int(os.environ.get("HOOKSCRIBE_TEST_CALLS", "100"))
"""Over how many calls."""
_LANES = 10


class SharedSite(Site):
    """A site whose store is a database, used by several processes at once."""

    def __init__(self, folder: Path, url: str, hook: Hook) -> None:
        super().__init__(folder, hook=hook.url)
        self.change(f'store = "sqlite:{folder}/store.db"', f'store = "{url}"\nadmin_token = "system-admin-token-4Xw9"')
        hook.expects(self.secret)
        self.url = url
        self.webs: list[Process] = []

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read the database."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.replace("?", "%s").encode(), values).fetchall()

    def address(self) -> tuple[str, int] | None:
        """Return where one of the processes receives."""
        found = [place for one in self.webs if (place := one.address())]
        return random.choice(found) if found else None


class Fleet:
    """Two processes of each role, of which any may be replaced."""

    def __init__(self, site: SharedSite) -> None:
        self._site = site
        self._all: list[tuple[str, Process]] = []

    async def start(self, role: str) -> None:
        """Start one more."""
        process = await Process.start(self._site, role)
        self._all.append((role, process))
        self._site.webs = [one for what, one in self._all if what == "web"]

    async def started(self) -> None:
        """Wait until all of them are at work."""
        await asyncio.gather(*(one.started() for _, one in self._all))

    async def kill_one(self) -> None:
        """Kill any of them, and start another of its role."""
        role, victim = self._all.pop(random.randrange(len(self._all)))
        await victim.kill()
        await self.start(role)

    async def supervise(self) -> None:
        """Start again what has ended by itself, as one does that finds the server away when it starts."""
        ended = [(role, one) for role, one in self._all if not one.running]
        self._all = [one for one in self._all if one not in ended]
        for role, _ in ended:
            await self.start(role)

    def worker(self) -> Process:
        """Return a worker."""
        return next(one for role, one in self._all if role == "worker")

    async def end(self) -> None:
        """Kill all of them."""
        for _, process in self._all:
            await process.kill()

    def outputs(self) -> str:
        """Return the end of what each of them wrote."""
        return "\n".join(f"{role}: {one.output()[-1500:]}" for role, one in self._all)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """Give a private server."""
    with cluster() as made:
        yield made


@contextlib.asynccontextmanager
async def fleet(
    folder: Path, server: Cluster, hook: Hook, through: str | None = None
) -> AsyncIterator[tuple[SharedSite, Fleet]]:
    """Run two web and two worker processes on a new database; `through` is the address of a pooler before it."""
    with database(server.server) as made_url:
        url = f"{through}/{made_url.rpartition('/')[2]}" if through else made_url
        engine = postgres_engine(url)
        await engine.migrate()
        await engine.close()
        site = SharedSite(folder, url, hook)
        made = Fleet(site)
        try:
            for role in ("web", "web", "worker", "worker"):
                await made.start(role)
            await made.started()
            yield site, made
        finally:
            await made.end()


def lanes(site: SharedSite, sender: Sender, count: int, calls: int) -> Iterator[asyncio.Task[None]]:
    """Send so many callbacks, call by call, over several connections; those of one call one after the other."""
    factory = Factory(site)
    for lane in range(_LANES):
        mine = (one for number in range(lane, calls, _LANES) for one in factory.call(f"call-{number}", count // calls))
        yield asyncio.create_task(sender.send(mine))


async def test_kills_and_restarts_lose_nothing(tmp_path: Path, server: Cluster) -> None:
    """A random process killed every second, the server restarted twice: all is kept once and delivered in order."""
    async with hooking() as hook, fleet(tmp_path, server, hook) as (site, running):
        sender = Sender(site.address)
        sending = asyncio.gather(*lanes(site, sender, CALLBACKS, CALLS))
        restarts = [("fast", CALLBACKS // 4), ("immediate", CALLBACKS // 2)]
        while not sending.done():
            await asyncio.wait([sending], timeout=1.0)
            await running.supervise()
            await running.kill_one()
            if restarts and len(sender.acknowledged) > restarts[0][1]:
                server.stop(restarts.pop(0)[0])
                server.start()
        await sending
        assert not restarts
        assert len(sender.acknowledged) == CALLBACKS // CALLS * CALLS
        await running.supervise()
        await settled(site, running.worker(), 60 + CALLBACKS / 50)
        everything_holds(site, sender.acknowledged, hook)
        assert not sender.refused


async def test_kills_and_a_server_that_stands_still_lose_nothing(tmp_path: Path, server: Cluster) -> None:
    """The same with the server frozen for longer than a lease: all goes on, whoever holds what afterwards."""
    async with hooking() as hook, fleet(tmp_path, server, hook) as (site, running):
        sender = Sender(site.address)
        sending = asyncio.gather(*lanes(site, sender, CALLBACKS, CALLS), _stands_still(server, sender))
        while not sending.done():
            await asyncio.wait([sending], timeout=1.0)
            await running.supervise()
            await running.kill_one()
        await sending
        assert len(sender.acknowledged) == CALLBACKS // CALLS * CALLS
        await running.supervise()
        await settled(site, running.worker(), 60 + CALLBACKS / 50)
        everything_holds(site, sender.acknowledged, hook)
        assert not sender.refused


@needs_pooler
async def test_kills_behind_a_pooler_lose_nothing(tmp_path: Path, server: Cluster) -> None:
    """Migrated, received, delivered and indexed through PgBouncer in transaction mode, a random process killed every second."""
    with pooler(server.server) as through:
        async with hooking() as hook, fleet(tmp_path, server, hook, through) as (site, running):
            sender = Sender(site.address)
            sending = asyncio.gather(*lanes(site, sender, 600, 60))
            while not sending.done():
                await asyncio.wait([sending], timeout=1.0)
                await running.kill_one()
            await sending
            await settled(site, running.worker(), 120)
            everything_holds(site, sender.acknowledged, hook)
            await until(lambda: not site.rows("SELECT 1 FROM unindexed LIMIT 1"), "the index", 120)
            assert (len(sender.acknowledged), sender.refused) == (600, [])


async def _stands_still(server: Cluster, sender: Sender) -> None:
    """Freeze it once something was kept, with everything under way."""
    await until(lambda: len(sender.acknowledged) > CALLBACKS // 4, "the first callbacks", 60 + CALLBACKS / 50)
    begun = time.monotonic()
    server.freeze()
    try:
        await asyncio.sleep(LEASE * 2)
    finally:
        server.thaw()
    assert time.monotonic() - begun >= LEASE * 2
