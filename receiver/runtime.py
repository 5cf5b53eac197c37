"""The composition root: clock, chance, environment, store, sources and sinks are made here and passed in."""

import asyncio
import contextlib
import fcntl
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from receiver.config import Config
from receiver.contract.errors import SchemaError
from receiver.contract.provider import Provider
from receiver.contract.sink import Sink, SinkPorts
from receiver.http import GuardedClient
from receiver.pipeline.attempt import renderer
from receiver.pipeline.confirm import Confirm
from receiver.pipeline.deliver import Runner
from receiver.pipeline.ingest import Ingest
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.offload import Offload
from receiver.pipeline.outbox import Outbox, Route
from receiver.pipeline.quarantine import QuarantineWriter
from receiver.pipeline.reprocess import Reprocess
from receiver.pipeline.worker import Worker
from receiver.registry import Registry
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


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver at work: `ingest` in the web role, `worker` in the worker role, both in `all`."""

    runtime: Runtime
    refusals: QuarantineWriter
    ingest: Ingest | None
    worker: Worker | None
    reprocess: Reprocess


def sources(config: Config, registry: Registry) -> dict[str, Provider[Any]]:
    """Make the provider of every source."""
    return {name: registry.provider(settings.provider)(name, settings) for name, settings in config.sources.items()}


def sinks(config: Config, registry: Registry, ports: SinkPorts) -> list[Sink[Any]]:
    """Make every sink; none is opened yet."""
    return [registry.sink(settings.kind)(name, settings, ports) for name, settings in config.sinks.items()]


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
        yield Reprocess(store, normalize, routes(config), prefix=config.root.event_prefix)
    finally:
        await offload.close()


@contextlib.asynccontextmanager
async def running(config: Config, registry: Registry, role: Role = "all") -> AsyncIterator[Running]:
    """Receive, normalize and deliver as long as the block runs; then stop within the grace time.

    The schema is brought up to date first. Raises ConfigError, SchemaError or StoreUnavailable.
    """
    path = sqlite_path(config.root.store)
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
        worker = await stack.enter_async_context(_working(runtime)) if role != "web" else None
        ingest = await stack.enter_async_context(_receiving(runtime, refusals, worker)) if role != "worker" else None
        reprocess = await stack.enter_async_context(reprocessing(runtime))
        yield Running(runtime=runtime, refusals=refusals, ingest=ingest, worker=worker, reprocess=reprocess)


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
    async with _task(refusals.run()):
        yield ingest
    await ingest.close()
    await refusals.close()


@contextlib.asynccontextmanager
async def _working(runtime: Runtime) -> AsyncIterator[Worker]:
    root = runtime.config.root
    async with GuardedClient() as http:
        outbox = Outbox(routes(runtime.config), runtime.store.ids, root.event_prefix)
        ports = SinkPorts(http=http, links=root.admin_url, now=time.time)
        render = renderer(root.public_url, root.admin_url, root.event_prefix)
        runners = [
            Runner(sink, runtime.store, outbox, render=render, dice=random.random, now=time.time)
            for sink in sinks(runtime.config, runtime.registry, ports)
        ]
        offload = Offload(root.limits.normalize_timeout)
        normalize = Normalize(runtime.store, runtime.sources, outbox, offload=offload)
        worker = Worker(runtime.store, normalize, Confirm(runtime.store, None, time.time), runners)
        try:
            async with _task(worker.run()):
                yield worker
                await worker.stop(root.grace)
        finally:
            await offload.close()


@contextlib.asynccontextmanager
async def _task(work: Any) -> AsyncIterator[None]:
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
