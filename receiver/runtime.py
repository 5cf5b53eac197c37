"""The composition root: clock, chance, environment, store, sources and sinks are made here and passed in."""

import asyncio
import contextlib
import fcntl
import os
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from receiver.config import Config
from receiver.contract.errors import SchemaError
from receiver.contract.provider import Provider
from receiver.contract.sink import Sink, SinkPorts
from receiver.http import GuardedClient
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.confirm import Confirm
from receiver.pipeline.deliver import Runner
from receiver.pipeline.ingest import Ingest
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.offload import Offload
from receiver.pipeline.outbox import Outbox, Route
from receiver.pipeline.quarantine import QuarantineWriter
from receiver.pipeline.reprocess import Reprocess
from receiver.pipeline.retention import Retention, keeps
from receiver.pipeline.wanted import Wanted
from receiver.pipeline.watch import Watch
from receiver.pipeline.worker import Worker
from receiver.registry import Registry
from receiver.store import disk
from receiver.store.opening import open_store, sqlite_path
from receiver.store.quarantine.quarantine import Quarantine, beside
from receiver.store.store import Store

log = structlog.get_logger()

Role = Literal["all", "web", "worker"]


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What commands and listeners work with."""

    config: Config
    registry: Registry
    store: Store
    sources: dict[str, Provider[Any]]
    quarantine: Quarantine


class Makes(msgspec.Struct, frozen=True, kw_only=True):
    """What runners are made with, at the start and at each reload; `outbox` and `render` are what they share."""

    registry: Registry
    store: Store
    ports: SinkPorts
    outbox: Outbox
    render: Renderer

    def runners(self, config: Config, names: Iterable[str]) -> list[Runner]:
        """Make the runners of some sinks; none is opened yet. Raises ConfigError."""
        made = sinks(config, self.registry, self.ports, names)
        return [
            Runner(sink, self.store, self.outbox, render=self.render, dice=random.random, now=time.time)
            for sink in made
        ]

    def change(self, config: Config) -> None:
        """Send events where the settings say from now on, and as they say."""
        self.outbox.change(routes(config), config.root.event_prefix, wanted(config))
        self.render.change(config.root.public_url, config.root.event_prefix)


class Running(msgspec.Struct, kw_only=True):
    """A receiver at work: `ingest` in the web role, `worker` in the worker role, both in `all`."""

    runtime: Runtime
    """As the settings are now: a reload puts another in its place."""
    refusals: QuarantineWriter
    ingest: Ingest | None
    worker: Worker | None
    reprocess: Reprocess
    makes: Makes | None = None


def sources(config: Config, registry: Registry) -> dict[str, Provider[Any]]:
    """Make the provider of every source."""
    return {name: registry.provider(settings.provider)(name, settings) for name, settings in config.sources.items()}


def sinks(config: Config, registry: Registry, ports: SinkPorts, names: Iterable[str]) -> list[Sink[Any]]:
    """Make the sinks of these names; none is opened yet."""
    chosen = [(name, config.sinks[name]) for name in names]
    return [registry.sink(settings.kind)(name, settings, ports) for name, settings in chosen]


def routes(config: Config) -> list[Route]:
    """Return which events go to which sink."""
    return [
        Route(
            sink=name,
            events=settings.events,
            sources=settings.sources,
            first_wait=int(settings.retry[0] * 1000) if settings.retry else 0,
        )
        for name, settings in config.sinks.items()
    ]


def wanted(config: Config) -> dict[str, Wanted]:
    """Return which events are made of each source's callbacks."""
    return {name: Wanted(include=settings.include, ignore=settings.ignore) for name, settings in config.sources.items()}


@contextlib.asynccontextmanager
async def opened(config: Config, registry: Registry) -> AsyncIterator[Runtime]:
    """Open the store beside a running `serve`, for a command. Raises SchemaError where it has another schema."""
    async with _stores(config, checkpoint=False) as (store, quarantine):
        if not await store.engine.current():
            raise SchemaError(f"{config.root.store} does not have this release's schema: run `hookscribe migrate`")
        await store.register("command")
        yield Runtime(
            config=config,
            registry=registry,
            store=store,
            sources=sources(config, registry),
            quarantine=quarantine,
        )


@contextlib.asynccontextmanager
async def reprocessing(runtime: Runtime) -> AsyncIterator[Reprocess]:
    """Give the verb that reads receipts again, with a child of its own for large bodies."""
    config, store = runtime.config, runtime.store
    offload = Offload(config.root.limits.normalize_timeout)
    normalize = Normalize(store, runtime.sources, Outbox((), store.ids), offload=offload)
    try:
        yield Reprocess(store, normalize, routes(config), prefix=config.root.event_prefix, wanted=wanted(config))
    finally:
        await offload.close()


@contextlib.asynccontextmanager
async def running(config: Config, registry: Registry, role: Role = "all") -> AsyncIterator[Running]:
    """Receive, normalize and deliver as long as the block runs; then stop within the grace time.

    The schema is brought up to date first. Raises ConfigError, SchemaError or StoreUnavailable.
    """
    path, limits = sqlite_path(config.root.store), config.root.limits
    disk.check(path, least=limits.free_disk, network=limits.network_disk)
    async with contextlib.AsyncExitStack() as stack:
        if role != "web":
            await stack.enter_async_context(_only_worker(path))
        checkpoint = stack.enter_context(_lock(path, "checkpoint"))
        store, quarantine = await stack.enter_async_context(_stores(config, checkpoint=checkpoint))
        for name in await store.engine.migrate():
            log.info("store.migrated", step=name)
        await store.register(f"{role} {os.getpid()}")
        runtime = Runtime(
            config=config, registry=registry, store=store, sources=sources(config, registry), quarantine=quarantine
        )
        refusals = QuarantineWriter(runtime.sources, quarantine, config.root.quarantine, ids=store.ids)
        reprocess = await stack.enter_async_context(reprocessing(runtime))
        run = Running(runtime=runtime, refusals=refusals, ingest=None, worker=None, reprocess=reprocess)
        if role != "web":
            run.makes, run.worker = await stack.enter_async_context(_working(runtime))
        if role != "worker":
            run.ingest = await stack.enter_async_context(_receiving(runtime, refusals, run.worker))
        yield run


@contextlib.asynccontextmanager
async def _stores(config: Config, *, checkpoint: bool) -> AsyncIterator[tuple[Store, Quarantine]]:
    store = await open_store(config.root.store, time.time, checkpoint=checkpoint)
    try:
        quarantine = beside(config.root.store, time.time, checkpoint=checkpoint)
        try:
            yield store, quarantine
        finally:
            await quarantine.close()
    finally:
        await store.engine.close()


@contextlib.asynccontextmanager
async def _receiving(runtime: Runtime, refusals: QuarantineWriter, worker: Worker | None) -> AsyncIterator[Ingest]:
    ingest = Ingest(
        runtime.sources,
        ids=runtime.store.ids,
        keep=runtime.store.keep,
        refusals=refusals,
        now=time.time,
        kept=worker.wake if worker else _nothing,
    )
    async with alongside(refusals.run()):
        yield ingest
    await ingest.close()
    await refusals.close()


@contextlib.asynccontextmanager
async def _working(runtime: Runtime) -> AsyncIterator[tuple[Makes, Worker]]:
    root = runtime.config.root
    async with GuardedClient() as http:
        outbox = Outbox(routes(runtime.config), runtime.store.ids, root.event_prefix, wanted(runtime.config))
        ports = SinkPorts(http=http, links=root.admin_url, now=time.time)
        render = Renderer(root.public_url, root.admin_url, root.event_prefix)
        makes = Makes(registry=runtime.registry, store=runtime.store, ports=ports, outbox=outbox, render=render)
        runners = makes.runners(runtime.config, runtime.config.sinks)
        offload = Offload(root.limits.normalize_timeout)
        normalize = Normalize(runtime.store, runtime.sources, outbox, offload=offload)
        counts = root.quarantine.enabled
        watch = Watch(runtime.store, runtime.quarantine, runtime.sources, outbox, counts=counts)
        retention = Retention(runtime.store, keeps(runtime.sources))
        confirm = Confirm(runtime.store, None, time.time)
        worker = Worker(runtime.store, normalize, confirm, runners, watch=watch, retention=retention)
        try:
            async with alongside(worker.run()):
                yield makes, worker
                await worker.stop(root.grace)
        finally:
            await offload.close()


@contextlib.asynccontextmanager
async def alongside(work: Any) -> AsyncIterator[None]:
    """Run something beside a block, and end it with the block; where it fails, so does the block."""
    task = asyncio.ensure_future(work)
    me = asyncio.current_task()
    task.add_done_callback(lambda done: me.cancel() if me and not done.cancelled() and done.exception() else None)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def _lock(path: Path, name: str) -> Iterator[bool]:
    """Hold a lock beside the store as long as the block runs, if no other process has it; say whether."""
    descriptor = os.open(f"{path}-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.asynccontextmanager
async def _only_worker(path: Path) -> AsyncIterator[None]:
    """Be the one worker of an embedded store; wait while another process is."""
    waits = False
    with contextlib.ExitStack() as stack:
        while not stack.enter_context(_lock(path, "worker")):
            stack.close()
            if not waits:
                log.info("worker.waits", why="another process works on this store")
            waits = True
            await asyncio.sleep(1)
        yield


def _nothing() -> None:
    """The web role alone wakes nobody; a worker elsewhere sees the commit by itself."""
