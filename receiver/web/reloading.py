"""SIGHUP: the settings are read again, and taken over by the running receiver or refused with their reasons."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

import structlog

from receiver.config import Config
from receiver.contract.errors import ConfigError, StoreError
from receiver.orphans import tell_orphans
from receiver.reload import Changes, reload
from receiver.runtime import Running
from receiver.store import sealed

log = structlog.get_logger()


_LOOK = 1.0
"""Seconds between two looks for a secret that a command has sealed."""


class Hangup:
    """What a SIGHUP means: read the settings again; or, where it says that the terminal is gone, stop."""

    def __init__(self, read: Callable[[], Config], stop: Callable[[], None]) -> None:
        """`read` reads the settings; `stop` ends the receiver."""
        self._read = read
        self._stop = stop
        self._asked = asyncio.Event()
        self._at_terminal = _at_terminal()

    def __call__(self) -> None:
        """Take a SIGHUP; one that comes during the start, or another reload, is not forgotten."""
        if self._at_terminal and not _at_terminal():
            self._stop()
        else:
            self._asked.set()

    async def run(self, run: Running) -> None:
        """Reload whenever it is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._reload(run)

    async def watch(self, run: Running) -> None:
        """Reload whenever a command sealed a secret, so that the callbacks signed with it prove at once."""
        seen = None
        while True:
            with contextlib.suppress(StoreError):
                found = await sealed.newest(run.runtime.store)
                if seen is not None and found != seen:
                    self._asked.set()
                seen = found
            await asyncio.sleep(_LOOK)

    async def _reload(self, run: Running) -> None:
        """Reload once; whatever is wrong with the new settings, the receiver goes on with those that it has."""
        before = run.runtime.config
        try:
            found = await reload(run, await asyncio.to_thread(self._read))
        except (ConfigError, StoreError) as error:
            for line in str(error).splitlines():
                log.error("reload.refused", why=line)
        except Exception:
            log.exception("reload.failed")
        else:
            _tell(found, before)
            await tell_left(run)


async def tell_left(run: Running) -> None:
    """Say what waits for sinks and sources that are not configured; where nobody works, who works says it."""
    if run.worker is not None:
        with contextlib.suppress(StoreError):
            await tell_orphans(run.runtime.store, run.runtime.config, time.time())


def _tell(found: Changes, before: Config) -> None:
    for key in found.restart:
        log.warning("reload.needs_restart", setting=key, why="it is read at the start only; the old value stays")
    for line in found.config.warnings:
        if line not in before.warnings:
            log.warning("reload.warning", why=line)
    log.info("reload.done", **found.sources.told("sources"), **found.sinks.told("sinks"), settings=list(found.root))


def _at_terminal() -> bool:
    """Say whether somebody sits at stdin; a terminal that hung up is none any more."""
    return os.isatty(0)
