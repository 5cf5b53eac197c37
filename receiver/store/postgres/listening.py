"""Hears at once what other processes wrote, where the way to the server allows it; nothing depends on it.

A pooler in transaction mode forwards no notifications. Whether they come is tried out; where they do not, everybody goes
on looking once a second, as always.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from typing import Any, Protocol

import psycopg
import structlog

from receiver.contract.errors import StoreError
from receiver.store.postgres.link import Link
from receiver.store.postgres.pool import CONNECT

log = structlog.get_logger()

_TRIAL = 3.0
"""Seconds within which our own first notification has to come."""
_QUIET = 60.0
"""Seconds of silence after which the connection is tried out again."""
_AGAIN = (1.0, 2.0, 5.0, 10.0)


class Heard(Protocol):
    """Who listens: where to connect, under which name it speaks itself, and how often it heard others."""

    where: str
    who: str
    heard: int

    @property
    def address(self) -> str:
        """Return what to connect to."""
        ...

    async def rows(self, name: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a named query over another connection."""
        ...


async def listen(engine: Heard) -> None:
    """Raise `engine.heard` for every notification of another process, until cancelled or found to be of no use."""
    for tries in itertools.count():
        with contextlib.suppress(StoreError, psycopg.Error):
            link = await Link.to(engine.address, engine.where, CONNECT)
            try:
                while await _hears(engine, link):
                    await _hear(engine, link)
                log.info("store.polls", why="notifications do not come through: a pooler stands between")
                return
            finally:
                link.cut()
                await link.close()
        await asyncio.sleep(_AGAIN[min(tries, len(_AGAIN) - 1)])


async def _hears(engine: Heard, link: Link) -> bool:
    """Send ourselves a notification over another connection, and say whether it comes.

    Over the same one it comes through a pooler too, as part of the answer. Raises where the connection has ended.
    """
    trial = f"trial {engine.who}"
    await link.run("LISTEN hookscribe", timeout=_TRIAL)
    await engine.rows("tell", {"who": trial})
    async for note in link.connection.notifies(timeout=_TRIAL):
        if note.payload == trial:
            return True
        engine.heard += 1
    return False


async def _hear(engine: Heard, link: Link) -> None:
    """Listen until it has been quiet for a while."""
    quiet = False
    while not quiet:
        quiet = True
        async for note in link.connection.notifies(timeout=_QUIET):
            quiet = False
            if note.payload != engine.who:
                engine.heard += 1
