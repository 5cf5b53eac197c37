"""A receiver at work in this process, with the studio as its provider: real HTTP both ways, a real store."""

import asyncio
import contextlib
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
from emulating import emulated
from recordings import a_wave
from running_fakes import Keeps
from studio import KEY, Studio, StudioEmulator

from receiver.asking.recording import recording_of
from receiver.config import Config, build
from receiver.pipeline.jobs.submit import Order, Registered
from receiver.registry import Registry
from receiver.runtime import Running
from receiver.store.jobs import JobRow, Jobs
from receiver.store.opening import is_shared, sqlite_path
from receiver.web.serve import Addresses, serving

REGISTRY = Registry({"studio": Studio}, {"keeps": Keeps})
ADMIN = "canary-admin-0123456789"
SEAL_KEY = "canary-seal-key-0123456789"


class StudioWorld:
    """What a test of jobs works with."""

    def __init__(self, folder: Path, studio: StudioEmulator, config: Config, run: Running, at: Addresses) -> None:
        self.folder = folder
        self.studio = studio
        self.config = config
        self.run = run
        self.at = at
        self.jobs = Jobs(run.runtime.store)

    def order(self, name: str = "a.wav", pitch: int = 1, **changes: Any) -> Order:
        """Return an order for a recording that is made."""
        path = a_wave(self.folder / name, pitch)
        return Order(**{"source": "studio", "recording": recording_of(path), "path": path, **changes})

    async def register(self, *given: Any, **changes: Any) -> Registered:
        """Make a job."""
        return await self.run.asks.submit.register(self.order(*given, **changes))

    async def submit(self, *given: Any, **changes: Any) -> JobRow:
        """Make a job and send it."""
        made = await self.register(*given, **changes)
        assert not made.known
        return await self.run.asks.submit.send(made.job)

    async def job(self, number: int) -> JobRow:
        """Return a job as it is now."""
        return await self.run.asks.submit.job(number)

    async def until(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Let the loop run until something holds."""
        async with asyncio.timeout(10):
            while not await look():
                await asyncio.sleep(0.01)

    def sql(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Look into the store, as other programs do."""
        url = self.config.root.store
        if is_shared(url):
            with psycopg.connect(url) as database:
                return database.execute(query.replace("?", "%s").encode(), params).fetchall()
        with contextlib.closing(sqlite3.connect(sqlite_path(url))) as connection:
            return connection.execute(query, params).fetchall()

    def events(self, like: str = "%") -> list[str]:
        """Return the types of events, in their order."""
        return [row[0] for row in self.sql("SELECT type FROM events WHERE type LIKE ? ORDER BY seq", like)]


@contextlib.asynccontextmanager
async def studio_world(
    folder: Path, *, reachable: bool = True, store: str | None = None, **settings: Any
) -> AsyncIterator[StudioWorld]:
    """Give a receiver that runs on a store, a file in the folder if it is not named; `settings` are the source's."""
    studio = StudioEmulator()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        public = f"127.0.0.1:{bound.getsockname()[1]}"
    Keeps.sent.clear()
    async with emulated(studio) as url:
        source = {"provider": "studio", "api": url, "key": KEY, "api_private": True, "poll_after": 600.0, **settings}
        document: dict[str, Any] = {
            "store": store or f"sqlite:{folder / 'store.db'}",
            "grace": 2,
            "admin_token": ADMIN,
            "listen": {"public": public, "admin": "127.0.0.1:0"},
            "sources": {"studio": source},
            "sinks": {"archive": {"kind": "keeps"}},
        }
        if store is not None:
            document["seal_key"] = SEAL_KEY
        if reachable:
            document["public_url"] = f"http://{public}"
        config = build(document, {}, REGISTRY)
        async with serving(config, REGISTRY) as (run, at):
            yield StudioWorld(folder, studio, config, run, at)
