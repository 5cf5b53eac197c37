"""Serves: the listeners of a role on their addresses, until a signal says stop."""

import asyncio
import contextlib
import functools
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.config import Config, address
from receiver.contract.errors import ConfigError
from receiver.contract.proof import digest
from receiver.exporting import host_of
from receiver.making import links, recordings, renderer, routes
from receiver.metrics import Metrics
from receiver.pipeline.operating.replay import Replay
from receiver.registry import Registry
from receiver.runtime import Role, Running, Runtime, alongside, running
from receiver.store.access import Tokens
from receiver.store.audit import Trail
from receiver.store.opening import is_shared, sqlite_path
from receiver.web.access import admin_token
from receiver.web.admin import admin_app, metrics_routes, probes
from receiver.web.audited import Reads
from receiver.web.body import Bodies
from receiver.web.direct import direct_protocol
from receiver.web.jobs import JobsApi
from receiver.web.media import Media
from receiver.web.memory import pass_over_what_stays, return_large_blocks, take_short_turns
from receiver.web.pages.site import Site
from receiver.web.payloads import Payloads
from receiver.web.protocol import Protocol
from receiver.web.public import Hooks, public_app
from receiver.web.refused import Refused
from receiver.web.reloading import Hangup, tell_left
from receiver.web.sessions import Sessions
from receiver.web.shield import Hosts
from receiver.web.stream import Streams
from receiver.web.uploads import Uploads

log = structlog.get_logger()


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running receiver listens, as URLs; None where the role has no such listener."""

    public: str | None = None
    admin: str | None = None
    login: str | None = None
    """Opens the page within the next ten minutes; for the person at the terminal only."""


class _Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(config: Config, registry: Registry, role: Role = "all") -> AsyncIterator[tuple[Running, Addresses]]:
    """Run a receiver with its listeners as long as the block runs; then stop within the grace time.

    Raises ConfigError where an address is taken, and what `running` raises.
    """
    _raise_file_limit()
    return_large_blocks()
    listen, grace = config.root.listen, config.root.grace
    async with running(config, registry, role) as run, contextlib.AsyncExitStack() as stack:
        listeners = _Listeners(grace)
        stack.push_async_callback(listeners.close)
        bodies = _bodies(config)
        metrics = Metrics(run, bodies if run.ingest else None, time.time)
        await stack.enter_async_context(metrics.watching())
        reads = Reads(Trail(run.runtime.store))
        stack.push_async_callback(reads.close)
        if listen.metrics is not None:
            trouble = run.worker.trouble if run.worker else None
            routes = [*probes(run.runtime.store, trouble), *metrics_routes(metrics)]
            await listeners.open(Starlette(routes=routes), listen.metrics)
        people = _People(run, metrics, reads)
        yield run, await _opened(run, listeners, bodies, people) if run.ingest else Addresses()
        log.info("serve.stopping")
        people.streams.stop()
        await asyncio.gather(listeners.close(), *([run.worker.stop(grace)] if run.worker else []))


async def _opened(run: Running, listeners: "_Listeners", bodies: Bodies, people: "_People") -> Addresses:
    """Open the doors for providers and for people."""
    assert run.ingest is not None
    config = run.runtime.config
    listen = config.root.listen
    hooks = Hooks(run.ingest, bodies, run.refusals.unknown)
    signed = Route("/payloads/{signed}", _Signed(run, people.reads), methods=["GET"])
    providers, protocol = public_app(hooks, [signed, *Media(run, people.reads).routes()]), direct_protocol(hooks)
    if listen.admin.startswith("/"):
        public = await listeners.open(_under(listen.admin, people, providers), listen.public, protocol)
        admin = public + listen.admin
    else:
        admin = await listeners.open(people, listen.admin)
        public = await listeners.open(providers, listen.public, protocol)
    return Addresses(public=public, admin=admin, login=f"{admin}/login?code={people.sessions.link_code()}")


async def serve(
    config: Config, registry: Registry, role: Role, started: "Started", read: Callable[[], Config] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; where it still starts, or waits for another worker, these end it at once.

    On SIGHUP `read` reads the settings again (default: they are the same). Raises what `serving` raises.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    starting = asyncio.current_task()

    def told() -> None:
        stop.set()
        if starting:
            starting.cancel()

    hangup = Hangup(read or (lambda: config), told)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    loop.add_signal_handler(signal.SIGHUP, hangup)
    try:
        async with serving(config, registry, role) as (run, addresses):
            starting = None
            pass_over_what_stays()
            take_short_turns()
            started(run, addresses)
            await tell_left(run)
            async with alongside(hangup.run(run)), alongside(hangup.watch(run)):
                await stop.wait()
    except asyncio.CancelledError:
        if starting is None or not stop.is_set():
            raise


class Started:
    """Told once everything listens."""

    def __call__(self, run: Running, addresses: Addresses) -> None:
        """Say so in the log."""
        sources = {name: list(provider.proofs()) for name, provider in run.runtime.sources.items()}
        log.info("serve.started", public=addresses.public, admin=addresses.admin, sources=sources)
        for name, provider in run.runtime.sources.items():
            if provider.settings.verify == "none":
                log.warning("source.unverified", source=name, why='verify = "none": anybody may send here')
        if addresses.login and sys.stdout.isatty():
            print(f"\nThe page: {addresses.login}\n", flush=True)  # noqa: T201 -- for the person at the terminal


def _bodies(config: Config) -> Bodies:
    limits = config.root.limits
    shared = is_shared(config.root.store)
    folder = Path(tempfile.gettempdir()) if shared else sqlite_path(config.root.store).absolute().parent
    return Bodies(
        memory=limits.memory, disk=limits.spool, large=limits.large_body, seconds=limits.body_timeout, folder=folder
    )


class _Signed:
    """What signed links give, as the settings are at each request."""

    def __init__(self, run: Running, reads: Reads) -> None:
        self._run = run
        self._reads = reads
        self._made_of: Config | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        config = self._run.runtime.config
        if self._made_of is not config:
            self._sinks = {name: sink.redact for name, sink in config.sinks.items() if sink.payload_links}
            self._links = links(config) if self._sinks else None
            self._payloads = Payloads(self._run.runtime.store, renderer(config), self._reads)
            self._made_of = config
        if self._links is None:
            raise HTTPException(404)
        await self._payloads.signed(self._links, self._sinks, scope, receive, send)


class _People:
    """The admin listener's app, made anew where the settings are others than at the last request."""

    def __init__(self, run: Running, metrics: Metrics, reads: Reads) -> None:
        self._run = run
        self._metrics = metrics
        self.reads = reads
        self.streams = Streams(run.runtime.store)
        self._made_of: Runtime | None = None

    @functools.cached_property
    def sessions(self) -> Sessions:
        """What checks tokens. Raises ConfigError where there is none and none can be made."""
        return Sessions(digest(admin_token(self._run.runtime.config).raw), time.time, Tokens(self._run.runtime.store))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._made_of is not self._run.runtime:
            self._made_of = self._run.runtime
            self._app = _admin(self._run, self.sessions, self._metrics, self.reads, self.streams)
        await self._app(scope, receive, send)


def _admin(run: Running, sessions: Sessions, metrics: Metrics, reads: Reads, streams: Streams) -> ASGIApp:
    config, store = run.runtime.config, run.runtime.store
    replay = Replay(store, routes(config), prefix=config.root.event_prefix)
    configured = {
        "sources": {name: settings.provider for name, settings in config.sources.items()},
        "sinks": {name: settings.kind for name, settings in config.sinks.items()},
    }
    hosts = Hosts(config.root)
    return admin_app(
        store=store,
        replay=replay,
        reprocess=run.reprocess,
        site=Site(
            store,
            run.runtime.quarantine,
            replay,
            run.reprocess,
            providers=run.runtime.sources,
            sessions=sessions,
            hosts=hosts,
            now=time.time,
            **configured,
        ),
        sessions=sessions,
        reads=reads,
        hosts=hosts,
        now=time.time,
        trouble=run.worker.trouble if run.worker else None,
        host=host_of(config.root.public_url),
        extra=[
            *Refused(run.runtime.quarantine, store, run.runtime.sources).endpoints(),
            *Payloads(store, renderer(config)).endpoints({name: sink.redact for name, sink in config.sinks.items()}),
            *JobsApi(store, run.asks, Uploads(recordings(config), config.root.limits)).endpoints(),
            *streams.endpoints(),
            *Media(run, reads).for_people(),
            *metrics_routes(metrics),
        ],
        **configured,
    )


def _under(prefix: str, admin: ASGIApp, public: ASGIApp) -> ASGIApp:
    """Serve people under a path of the public listener, for platforms with one port."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == prefix or path.startswith(prefix + "/"):
            inside = {"root_path": prefix, "path": path if path != prefix else f"{prefix}/"}
            await admin({**scope, **inside}, receive, send)
        else:
            await public(scope, receive, send)

    return app


class _Listeners:
    """Listeners that close side by side, so that one grace time does for all."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._open: list[contextlib.AsyncExitStack] = []

    async def open(self, app: ASGIApp, where: str, protocol: type[Protocol] = Protocol) -> str:
        """Listen; return the address as a URL. Raises ConfigError where it is taken."""
        stack = contextlib.AsyncExitStack()
        url = await stack.enter_async_context(_listening(app, where, self._grace, protocol))
        self._open.append(stack)
        return url

    async def close(self) -> None:
        """Take nothing new, and give what is under way the grace time."""
        listeners, self._open = self._open, []
        await asyncio.gather(*(one.aclose() for one in listeners))


@contextlib.asynccontextmanager
async def _listening(app: ASGIApp, where: str, grace: float, protocol: type[Protocol]) -> AsyncIterator[str]:
    """Listen as long as the block runs; yield the address as a URL."""
    server = _Listener(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, int(grace)),
        )
    )
    with _bound(where) as bound:
        host, port = bound.getsockname()[:2]
        task = asyncio.create_task(server.serve([bound]))
        try:
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await task


@contextlib.contextmanager
def _bound(where: str) -> Iterator[socket.socket]:
    host, port = address(where)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen(2048)
        except OSError as error:
            raise ConfigError(f"listen: {where} cannot be listened on: {error.strerror}") from error
        bound.setblocking(False)
        yield bound


def _raise_file_limit() -> None:
    """Let a thousand slow senders have a connection and a file each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
