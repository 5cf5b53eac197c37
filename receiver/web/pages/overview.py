"""The overview: the last hour and day as small plots, how sources and sinks are, and what needs attention now."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.store.activity import COUNTED, Activity, Stretch
from receiver.store.job_lists import JobLists
from receiver.store.lists import Lists
from receiver.web.pages.attention import attention
from receiver.web.pages.frame import Frame
from receiver.web.pages.plots import Bars, bars

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_QUICK = 0.01
"""Seconds; what takes no longer is read every time."""
_REST = 20
"""What takes long to read is read no more often than every so many times as long."""


class Overview:
    """The page /."""

    def __init__(
        self,
        frame: Frame,
        lists: Lists,
        jobs: JobLists,
        activity: Activity,
        *,
        sources: Mapping[str, str],
        sinks: Mapping[str, str],
        now: Callable[[], float],
    ) -> None:
        """`sources` and `sinks` are the configured ones: name and provider, name and kind; `now` is Unix seconds."""
        self._frame = frame
        self._lists = lists
        self._jobs = jobs
        self._activity = activity
        self._names = [*sources]
        self._now = now
        self._sources = Rested(lambda: lists.sources(sources, now()))
        self._sinks = Rested(lambda: lists.sinks(sinks))

    def routes(self) -> list[BaseRoute]:
        """Return the route."""
        return [self._frame.get("/", self.page)]

    async def page(self, request: Request) -> Response:
        """Show how everything is."""
        now = int(self._now() * 1000)
        hour, day, sources, sinks = await asyncio.gather(
            self._activity.over(self._names, now, _MINUTE_MS, 60),
            self._activity.over(self._names, now, _HOUR_MS, 24),
            self._sources.read(),
            self._sinks.read(),
        )
        waiting, overdue = await self._jobs.waiting(), await self._jobs.overdue()
        newest = await self._lists.transcripts({"limit": "10"}, whole=False)
        return self._frame.page(
            request,
            "overview.html",
            plots=[("Last hour", _plots(hour, "%H:%M")), ("Last day", _plots(day, "%a %H:00"))],
            needs=attention(sources, sinks, waiting, sum(hour.refused)),
            sources=[{**one, "overdue": _lateness(overdue.get(one["name"]), now)} for one in sources],
            sinks=sinks,
            newest=newest.items,
            waiting=waiting,
            capped=COUNTED,
        )


def _plots(stretch: Stretch, form: str) -> list[Bars]:
    labels = [datetime.fromtimestamp(start / 1000, UTC).strftime(form) for start in stretch.starts]
    counts = {"In": stretch.received, "Out": stretch.delivered, "Refused": stretch.refused, "Late": stretch.late}
    return [bars(name, values, labels, COUNTED) for name, values in counts.items()]


def _lateness(overdue: tuple[int, int] | None, now: int) -> dict[str, Any] | None:
    """Return how many jobs of a source are overdue, and by how many seconds the latest."""
    return None if overdue is None else {"count": overdue[0], "seconds": max(0, now - overdue[1]) / 1000}


class Rested:
    """Reads a value again only after it rested for as long as reading it is worth."""

    def __init__(self, read: Callable[[], Awaitable[list[dict[str, Any]]]]) -> None:
        self._read = read
        self._value: list[dict[str, Any]] = []
        self._until = 0.0

    async def read(self) -> list[dict[str, Any]]:
        """Return the value, read just now or a little before."""
        began = time.monotonic()
        if began >= self._until:
            self._value = await self._read()
            took = time.monotonic() - began
            self._until = began + (took * _REST if took > _QUICK else 0.0)
        return self._value
