"""The admin listener: people and programs look at what is kept and give orders, always with the token."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from receiver.contract.errors import HookscribeError, StoreError, UsageError
from receiver.metrics import CONTENT_TYPE, Metrics
from receiver.pipeline.chosen import Chosen, Move
from receiver.pipeline.replay import Changed, Moved, Replay
from receiver.pipeline.reprocess import Reprocess
from receiver.store.lists import Lists, Page, named, part
from receiver.store.store import Store
from receiver.web.again import Again
from receiver.web.overview import Overview
from receiver.web.problems import explain, problem
from receiver.web.reading import read_order
from receiver.web.sessions import Sessions
from receiver.web.shield import Hosts, Shield, TokenNeeded

_READY_SECONDS = 2.0


class Order(Chosen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `replay` and `discard` are told: a filter, or ids."""

    ids: tuple[str, ...] = ()
    dry_run: bool = False


class MoveOrder(Move, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `move` is told."""

    dry_run: bool = False


class EventOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the replay of one event may be told."""

    sink: str | None = None


class Api:
    """The endpoints below /api/v1."""

    def __init__(
        self,
        lists: Lists,
        replay: Replay,
        reprocess: Reprocess,
        *,
        sources: Mapping[str, str],
        sinks: Mapping[str, str],
        now: Callable[[], float],
    ) -> None:
        """`sources` and `sinks` are the configured ones: name and provider, name and kind."""
        self._lists = lists
        self._replay = replay
        self._again = Again(reprocess)
        self._providers = sources
        self._kinds = sinks
        self._now = now

    def routes(self) -> list[BaseRoute]:
        """Return the routes, relative to /api/v1."""
        return [
            Route("/receipts", _listed(self._lists.receipts)),
            Route("/receipts/reprocess", self._again.many, methods=["POST"]),
            Route("/receipts/{id}", _shown(self._lists.receipt)),
            Route("/receipts/{id}/reprocess", self._again.one, methods=["POST"]),
            Route("/receipts/{id}/body", self.body),
            Route("/transcripts", _listed(self._lists.transcripts)),
            Route("/transcripts/{id}", self.transcript),
            Route("/transcripts/{id}/versions", self.versions),
            Route("/calls", _listed(self._lists.calls)),
            Route("/calls/{id}", _shown(self._lists.call)),
            Route("/events", _listed(self._lists.events)),
            Route("/events/{id}", _shown(self._lists.event)),
            Route("/events/{id}/replay", self.replay_event, methods=["POST"]),
            Route("/deliveries", _listed(self._lists.deliveries)),
            Route("/deliveries/replay", self.replay, methods=["POST"]),
            Route("/deliveries/discard", self.discard, methods=["POST"]),
            Route("/deliveries/move", self.move, methods=["POST"]),
            Route("/deliveries/{id}", _shown(self._lists.delivery)),
            Route("/deliveries/{id}/replay", self.replay_one, methods=["POST"]),
            Route("/deliveries/{id}/discard", self.discard_one, methods=["POST"]),
            Route("/sources", self.sources),
            Route("/sources/{name}", self.source),
            Route("/sinks", self.sinks),
            Route("/sinks/{name}", self.sink),
            Route("/sinks/{name}/pause", self.pause, methods=["POST"]),
            Route("/sinks/{name}/resume", self.resume, methods=["POST"]),
        ]

    async def body(self, request: Request) -> Response:
        """Answer with the exact bytes of a receipt."""
        name = request.path_params["id"]
        headers = {"content-disposition": f'attachment; filename="{name}.bin"'}
        return Response(await self._lists.body(name), headers=headers, media_type="application/octet-stream")

    async def transcript(self, request: Request) -> Response:
        """Answer with a transcript, of the version asked for."""
        given = _given(request, "version")
        version = given.get("version")
        if version is not None and not (version.isascii() and version.isdigit() and len(version) < 10):
            raise UsageError("version: expected a number from 1")
        return _json(await self._lists.transcript(request.path_params["id"], int(version) if version else None))

    async def versions(self, request: Request) -> Response:
        """Answer with where a transcript's versions come from."""
        return _json({"items": await self._lists.versions(request.path_params["id"]), "next": None})

    async def sources(self, request: Request) -> Response:
        """Answer with every source."""
        found = await self._lists.sources(self._providers, self._now())
        return _page(part("sources", found, _given(request)))

    async def source(self, request: Request) -> Response:
        """Answer with one source."""
        found = await self._lists.sources(self._providers, self._now())
        return _json(named(found, request.path_params["name"], "source"))

    async def sinks(self, request: Request) -> Response:
        """Answer with every sink."""
        return _page(part("sinks", await self._lists.sinks(self._kinds), _given(request)))

    async def sink(self, request: Request) -> Response:
        """Answer with one sink."""
        return _json(named(await self._lists.sinks(self._kinds), request.path_params["name"], "sink"))

    async def pause(self, request: Request) -> Response:
        """Pause a sink."""
        await self._replay.pause(request.path_params["name"])
        return await self.sink(request)

    async def resume(self, request: Request) -> Response:
        """Resume a sink."""
        await self._replay.resume(request.path_params["name"])
        return await self.sink(request)

    async def replay(self, request: Request) -> Response:
        """Replay deliveries, by ids or by a filter."""
        order = await read_order(request, Order)
        if order.ids:
            return _changed(await self._replay.replay_deliveries(_only_ids(order)))
        return _changed(await self._replay.replay(order, dry_run=order.dry_run))

    async def discard(self, request: Request) -> Response:
        """Discard deliveries, by ids or by a filter."""
        order = await read_order(request, Order)
        if order.ids:
            return _changed(await self._replay.discard_deliveries(_only_ids(order)))
        return _changed(await self._replay.discard(order, dry_run=order.dry_run))

    async def move(self, request: Request) -> Response:
        """Give what waits for one sink to another."""
        order = await read_order(request, MoveOrder)
        return _changed(await self._replay.move(order, dry_run=order.dry_run))

    async def replay_one(self, request: Request) -> Response:
        """Replay one delivery."""
        return _changed(await self._replay.replay_deliveries([request.path_params["id"]]))

    async def discard_one(self, request: Request) -> Response:
        """Discard one delivery."""
        return _changed(await self._replay.discard_deliveries([request.path_params["id"]]))

    async def replay_event(self, request: Request) -> Response:
        """Replay one event, to one sink or to all that it went to."""
        order = await read_order(request, EventOrder, default=EventOrder())
        return _changed(await self._replay.replay_event(request.path_params["id"], order.sink))


def probes(store: Store, trouble: Callable[[], str | None] | None = None) -> list[BaseRoute]:
    """Return /healthz and /readyz, which say nothing of what is kept.

    `trouble` says why the worker of this process takes no work, None where it does.
    """

    async def healthz(_: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(_: Request) -> Response:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await store.engine.rows("last_start")
                current = await store.engine.current()
        except (StoreError, TimeoutError) as error:
            return problem(503, f"the store does not answer: {error}")
        if not current:
            return problem(503, "the schema is not this release's: migrate")
        why = trouble() if trouble else None
        return problem(503, why) if why else _json({"status": "ready"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def metrics_routes(metrics: Metrics) -> list[BaseRoute]:
    """Return /metrics; whoever mounts it sees to the token."""

    async def read(_: Request) -> Response:
        return Response(await metrics.text(), media_type=CONTENT_TYPE)

    return [Route("/metrics", read)]


def admin_app(
    *,
    store: Store,
    replay: Replay,
    reprocess: Reprocess,
    sources: Mapping[str, str],
    sinks: Mapping[str, str],
    sessions: Sessions,
    hosts: Hosts,
    now: Callable[[], float],
    trouble: Callable[[], str | None] | None = None,
    extra: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Return the admin listener's app; it may be mounted under a path.

    `sources` and `sinks` are the configured ones: name and provider, name and kind. `extra` are further routes that
    need the token, with their whole paths. `now` is Unix time in seconds; `trouble` as in `probes`.
    """
    lists = Lists(store.engine)
    api = Api(lists, replay, reprocess, sources=sources, sinks=sinks, now=now)
    overview = Overview(lists, sessions, hosts, sources=sources, sinks=sinks, now=now)
    behind = [*overview.behind(), *probes(store, trouble), *extra, Mount("/api/v1", routes=api.routes())]
    guarded = Mount("", routes=behind, middleware=[Middleware(TokenNeeded, sessions=sessions)])
    handlers = {HookscribeError: explain, HTTPException: _http_problem, Exception: _failed}
    app = Starlette(routes=[*overview.door(), guarded], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Shield(app, hosts)


def _listed(read: Callable[[Mapping[str, str]], Awaitable[Page]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _page(await read(_given(request)))

    return endpoint


def _shown(read: Callable[[str], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _json(await read(request.path_params["id"]))

    return endpoint


def _given(request: Request, *known: str) -> dict[str, str]:
    """Return the parameters of the URL, each once; `known` are the only ones, where any are named."""
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) < len(pairs):
        raise UsageError("a parameter stands twice in the URL")
    if known and (unknown := sorted(set(given) - set(known))):
        raise UsageError(f"{unknown[0][:40]!r} is no parameter here; known are {', '.join(known)}")
    return given


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _page(page: Page) -> Response:
    return _json({"items": page.items, "next": page.next})


def _changed(changed: Changed | Moved) -> Response:
    return _json(changed)


def _only_ids(order: Order) -> tuple[str, ...]:
    if order != Order(ids=order.ids):
        raise UsageError("ids: they stand alone, without a filter")
    return order.ids


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return problem(error.status_code, told, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    return problem(500, "the log says more")
