"""The schema's steps: applied once, by whoever comes first, while everybody else waits."""

import re
from importlib import resources

from receiver.contract.errors import SchemaError
from receiver.store.postgres.link import Link

_PACKAGE = "receiver.store.postgres"
_BESIDE = re.compile(r"^-- Releases that know schema (\d+) run beside it\.$", re.MULTILINE)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('hookscribe schema ' || current_schema(), 0))"
_TABLE = """CREATE TABLE IF NOT EXISTS hookscribe_schema (
    number integer PRIMARY KEY, name text NOT NULL, beside integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"""
_THERE = "SELECT to_regclass('hookscribe_schema') IS NOT NULL"
_STATE = "SELECT coalesce(max(number), 0), coalesce(max(beside), 0) FROM hookscribe_schema"
_DONE = "INSERT INTO hookscribe_schema (number, name, beside) VALUES (%(number)s, %(name)s, %(beside)s)"
_WAIT = 600.0
"""Seconds that a step, or waiting for another process's steps, may take."""


class Schema:
    """The schema of a database, through one connection."""

    def __init__(self, link: Link, where: str) -> None:
        self._link = link
        self._where = where

    async def state(self) -> tuple[int, int]:
        """Return the number of the newest step, and of the oldest release's schema that runs beside it."""
        found = await self._link.run(_THERE, {}, timeout=_WAIT)
        if not (await found.fetchall())[0][0]:
            return 0, 0
        ((number, beside),) = await (await self._link.run(_STATE, {}, timeout=_WAIT)).fetchall()
        return int(number), int(beside)

    async def fits(self) -> bool:
        """Say whether this release can work with it."""
        number, beside = await self.state()
        return number >= newest() >= beside

    async def migrate(self) -> list[str]:
        """Apply what is missing, all of it or nothing; return the names. Raises SchemaError."""
        run = self._link.run
        await run("BEGIN", timeout=_WAIT)
        try:
            await run(_LOCK, {}, timeout=_WAIT)
            await run(_TABLE, {}, timeout=_WAIT)
            applied = await self._apply()
            await run("COMMIT", timeout=_WAIT)
        except BaseException:
            await run("ROLLBACK", timeout=_WAIT)
            raise
        return applied

    async def _apply(self) -> list[str]:
        number, beside = await self.state()
        if beside > newest():
            raise SchemaError(
                f"{self._where} has schema {number}, and this release knows {newest()}: install the release that wrote it"
            )
        applied = []
        for place, (name, text) in enumerate(steps(), 1):
            if place > number:
                await self._link.run(text, timeout=_WAIT)
                row = {"number": place, "name": name, "beside": _beside(name, text)}
                await self._link.run(_DONE, row, timeout=_WAIT)
                applied.append(name)
        return applied


def steps() -> list[tuple[str, str]]:
    """Return the names and texts of this release's steps, in order."""
    folder = resources.files(_PACKAGE).joinpath("migrations")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(name, folder.joinpath(name).read_text("utf-8")) for name in names]


def newest() -> int:
    """Return the number of this release's schema."""
    return len(steps())


def _beside(name: str, text: str) -> int:
    found = _BESIDE.search(text)
    if found is None:
        raise ValueError(f"{name} does not say which releases run beside it")
    return int(found[1])
