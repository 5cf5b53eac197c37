"""The admin listener: people and programs look at what is kept and give orders, always with the token."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from receiver.contract.errors import HookscribeError, StoreError
from receiver.exporting import NOBODY
from receiver.metrics import CONTENT_TYPE, Metrics
from receiver.pipeline.operating.replay import Replay
from receiver.pipeline.operating.reprocess import Reprocess
from receiver.store.audit import Trail
from receiver.store.lists import Lists
from receiver.store.store import Store
from receiver.web.api import Api, trail_endpoints
from receiver.web.audited import Audited, Reads
from receiver.web.endpoint import Endpoint
from receiver.web.openapi import Description
from receiver.web.pages.site import Site
from receiver.web.problems import explain, problem
from receiver.web.sessions import Sessions
from receiver.web.shield import Hosts, Shield, TokenNeeded

_READY_SECONDS = 2.0


def probes(store: Store, trouble: Callable[[], str | None] | None = None) -> list[BaseRoute]:
    """Return /healthz and /readyz, which say nothing of what is kept.

    `trouble` says why the worker of this process takes no work, None where it does.
    """

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

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
        return problem(503, why) if why else JSONResponse({"status": "ready"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def metrics_routes(metrics: Metrics) -> list[BaseRoute]:
    """Return /metrics; whoever mounts it sees to the token."""

    async def read(_: Request) -> Response:
        return Response(await metrics.text(), media_type=CONTENT_TYPE)

    return [Route("/metrics", read)]


def admin_app(  # noqa: PLR0913 -- everything that people see comes together here
    *,
    store: Store,
    replay: Replay,
    reprocess: Reprocess,
    site: Site,
    sources: Mapping[str, str],
    sinks: Mapping[str, str],
    sessions: Sessions,
    hosts: Hosts,
    now: Callable[[], float],
    trouble: Callable[[], str | None] | None = None,
    extra: Sequence[BaseRoute | Endpoint] = (),
    host: str = NOBODY,
    reads: Reads | None = None,
) -> ASGIApp:
    """Return the admin listener's app; it may be mounted under a path.

    `sources` and `sinks` are the configured ones: name and provider, name and kind. `extra` are further routes that
    need a token, with their whole paths; endpoints among them are described. `now` is Unix time in seconds; `trouble` as
    in `probes`; `host` as in `Api`; `reads` are closed by the caller, at the end.
    """
    lists = Lists(store.engine)
    api = Api(lists, replay, reprocess, sources=sources, sinks=sinks, now=now, host=host)
    reads = reads or Reads(Trail(store))
    more = [one for one in extra if isinstance(one, Endpoint)]
    declared = [*api.endpoints(), *trail_endpoints(reads.trail), *more]
    described = Description(declared).endpoints()
    routes = [one.route() for one in sorted([*declared, *described], key=lambda one: one.path.endswith("/{id}"))]
    behind = [
        *site.routes(),
        *probes(store, trouble),
        *(one for one in extra if isinstance(one, BaseRoute)),
        *routes,
    ]
    layers = [Middleware(TokenNeeded, sessions=sessions), Middleware(Audited, reads=reads)]
    guarded = Mount("", routes=behind, middleware=layers)
    handlers = {HookscribeError: explain, HTTPException: _http_problem, Exception: _failed}
    app = Starlette(routes=[*site.door(), guarded], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Shield(app, hosts)


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return problem(error.status_code, told, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    return problem(500, "the log says more")
