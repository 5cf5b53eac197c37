"""The site: every page of the admin listener, put together."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.routing import BaseRoute

from receiver.contract.provider import Provider
from receiver.pipeline.operating.replay import Replay
from receiver.pipeline.operating.reprocess import Reprocess
from receiver.store.activity import Activity
from receiver.store.job_lists import JobLists
from receiver.store.lists import Lists
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.store import Store
from receiver.web.pages.calls import Calls
from receiver.web.pages.deliveries import Deliveries
from receiver.web.pages.door import Door
from receiver.web.pages.frame import Frame
from receiver.web.pages.jobs import JobPages
from receiver.web.pages.overview import Overview
from receiver.web.pages.quarantine import QuarantinePages
from receiver.web.pages.receipts import Receipts
from receiver.web.pages.search import SearchPage
from receiver.web.pages.sinks import Sinks
from receiver.web.pages.transcripts import Transcripts
from receiver.web.sessions import Sessions
from receiver.web.shield import Hosts


class Site:
    """All pages: `door` answers without a session, `routes` with one."""

    def __init__(
        self,
        store: Store,
        quarantine: Quarantine,
        replay: Replay,
        reprocess: Reprocess,
        *,
        providers: Mapping[str, Provider[Any]],
        sources: Mapping[str, str],
        sinks: Mapping[str, str],
        sessions: Sessions,
        hosts: Hosts,
        now: Callable[[], float],
    ) -> None:
        """`sources` and `sinks` are the configured ones: name and provider, name and kind; `now` is Unix seconds."""
        frame, lists, jobs = Frame(sessions, now), Lists(store.engine), JobLists(store)
        activity = Activity(store.engine, quarantine)
        self._door = Door(frame, sessions, hosts)
        self._pages = (
            Overview(frame, lists, jobs, activity, sources=sources, sinks=sinks, now=now),
            Receipts(frame, lists, store.engine, reprocess, providers),
            QuarantinePages(frame, quarantine, store, providers),
            Calls(frame, lists, jobs),
            Transcripts(frame, lists, jobs),
            SearchPage(frame, lists),
            Deliveries(frame, lists, replay, [*sinks]),
            Sinks(frame, lists, replay, sinks),
            JobPages(frame, lists, jobs),
        )

    def door(self) -> list[BaseRoute]:
        """Return the routes that answer everybody."""
        return self._door.outside()

    def routes(self) -> list[BaseRoute]:
        """Return the routes that need a session."""
        return [*self._door.inside(), *(route for page in self._pages for route in page.routes())]
