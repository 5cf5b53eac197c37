"""The composition root: clock, chance, environment, store, sources and sinks are made here and passed in."""

import asyncio
import contextlib
import fcntl
import functools
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from receiver.asking.callers import Callers
from receiver.asking.reach import reachable
from receiver.config import Config
from receiver.contract.asking import Fetched
from receiver.contract.errors import SchemaError, StoreError, StoreUnavailable
from receiver.contract.provider import Provider
from receiver.contract.sink import SinkPorts
from receiver.http import GuardedClient
from receiver.making import Makes, check_seal_key, places, recordings, renderer, routes, seal_key, sources, wanted
from receiver.pipeline.beat import beating
from receiver.pipeline.confirm import Confirm
from receiver.pipeline.indexing import Indexing
from receiver.pipeline.ingest import Ingest
from receiver.pipeline.jobs.fates import Fates
from receiver.pipeline.jobs.follow import Follow
from receiver.pipeline.jobs.reconcile import Reconcile
from receiver.pipeline.jobs.reread import Reread
from receiver.pipeline.jobs.submit import Submit
from receiver.pipeline.jobs.subscriptions import Subscriptions, Upkeep
from receiver.pipeline.keeping import fetched_receipt
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.offload import Offload
from receiver.pipeline.operating.reprocess import Reprocess
from receiver.pipeline.operating.retention import Retention, keeps
from receiver.pipeline.outbox import Outbox
from receiver.pipeline.quarantine import QuarantineWriter
from receiver.pipeline.shape import Addresses
from receiver.pipeline.tokens import JobTokens
from receiver.pipeline.watch import Watch
from receiver.pipeline.worker import Worker
from receiver.registry import Registry
from receiver.store import disk
from receiver.store.jobs import Jobs
from receiver.store.opening import is_shared, open_store, sqlite_path
from receiver.store.owners import Leases, LockFiles
from receiver.store.quarantine.quarantine import Quarantine, beside
from receiver.store.sealed import Sealed
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


class Running(msgspec.Struct, kw_only=True):
    """A receiver at work: `ingest` in the web role, `worker` in the worker role, both in `all`."""

    runtime: Runtime
    """As the settings are now: a reload puts another in its place."""
    refusals: QuarantineWriter
    ingest: Ingest | None
    worker: Worker | None
    reprocess: Reprocess
    asks: "Submitting"
    makes: Makes | None = None


@contextlib.asynccontextmanager
async def opened(config: Config, registry: Registry) -> AsyncIterator[Runtime]:
    """Open the store beside a running `serve`, for a command. Raises SchemaError where it has another schema."""
    async with _stores(config, checkpoint=False) as (store, quarantine):
        await _check_schema(config, store)
        await store.register("command")
        config = await unsealed(config, store)
        async with alongside(beating(store, _nothing)):
            yield Runtime(
                config=config, registry=registry, store=store, sources=sources(config, registry), quarantine=quarantine
            )
        await store.leave()


class Submitting(msgspec.Struct, frozen=True, kw_only=True):
    """What hands recordings over and asks about jobs, in one process."""

    submit: Submit
    reconcile: Reconcile
    reread: Reread
    callers: Callers
    fates: Fates
    outbox: Outbox
    alive: Callable[[int], Awaitable[bool]]
    """Says whether a start of a process still submits."""

    def change(self, config: Config, sources: Mapping[str, Provider[Any]]) -> None:
        """Go by other settings from the next question on."""
        self.callers.change(sources)
        self.submit.places = places(config)
        self.outbox.change(routes(config), config.root.event_prefix, wanted(config))


@contextlib.asynccontextmanager
async def submitting(runtime: Runtime) -> AsyncIterator[Submitting]:
    """Give what submits and asks, as the living owner of what it submits."""
    config, store = runtime.config, runtime.store
    outbox = Outbox(routes(config), store.ids, config.root.event_prefix, wanted(config))
    url = config.root.store
    owners = Leases(store.engine) if is_shared(url) else LockFiles(sqlite_path(url))
    callers = Callers(runtime.sources, store, now=time.time)
    fates = Fates(store, outbox)
    submit = Submit(store, callers, fates, places(config), reachable)
    reconcile = Reconcile(
        store,
        callers,
        fates,
        alive=owners.alive,
        called_back=lambda: submit.heard and submit.places.public_url is not None,
    )
    with owners.held(store.start):
        try:
            yield Submitting(
                submit=submit,
                reconcile=reconcile,
                reread=Reread(store, callers),
                callers=callers,
                fates=fates,
                outbox=outbox,
                alive=owners.alive,
            )
        finally:
            await callers.close()


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

    An embedded store's schema is brought up to date first; a shared one is another's to change. Raises ConfigError,
    SchemaError or StoreUnavailable.
    """
    async with contextlib.AsyncExitStack() as stack:
        store, quarantine = await stack.enter_async_context(
            _shared(config, role) if is_shared(config.root.store) else _embedded(config, role)
        )
        config = await unsealed(config, store)
        runtime = Runtime(
            config=config, registry=registry, store=store, sources=sources(config, registry), quarantine=quarantine
        )
        check_seal_key(config, runtime.sources)
        refusals = QuarantineWriter(runtime.sources, quarantine, config.root.quarantine, ids=store.ids)
        reprocess = await stack.enter_async_context(reprocessing(runtime))
        asks = await stack.enter_async_context(submitting(runtime))
        run = Running(runtime=runtime, refusals=refusals, ingest=None, worker=None, reprocess=reprocess, asks=asks)
        await stack.enter_async_context(alongside(beating(store, functools.partial(_freed, run))))
        if role != "web":
            run.makes, worker = await stack.enter_async_context(_working(runtime, asks))
            run.worker, asks.fates.wake = worker, worker.written
        if role != "worker":
            run.ingest = await stack.enter_async_context(_receiving(runtime, refusals, run.worker))
        yield run


@contextlib.asynccontextmanager
async def _embedded(config: Config, role: Role) -> AsyncIterator[tuple[Store, Quarantine]]:
    """Open, and migrate, a store that this machine alone has; be its one worker."""
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
        yield store, quarantine


@contextlib.asynccontextmanager
async def _shared(config: Config, role: Role) -> AsyncIterator[tuple[Store, Quarantine]]:
    """Open a database that others may work on too; what is held at the end is let go."""
    async with _stores(config, checkpoint=False) as (store, quarantine):
        await _check_schema(config, store)
        await store.register(f"{role} {socket.gethostname()} {os.getpid()}")
        async with alongside(store.engine.listen()) if role != "web" else contextlib.nullcontext():
            yield store, quarantine
        with contextlib.suppress(StoreError):  # else the lease runs out
            await store.leave()


async def _check_schema(config: Config, store: Store) -> None:
    if not await store.engine.current():
        shown = config.root.store if not is_shared(config.root.store) else "the database"
        raise SchemaError(
            f"{shown} does not have this release's schema: run `hookscribe migrate`, or, where a newer release wrote it, "
            "install that one"
        )


def sealed(config: Config, store: Store) -> Sealed:
    """Return what seals secrets in a store. Raises ConfigError."""
    return Sealed(store, functools.cache(lambda: seal_key(config)))


async def unsealed(config: Config, store: Store) -> Config:
    """Return the settings with the secrets that providers showed once. Raises ConfigError or StoreError."""
    sources = dict(config.sources)
    for name, settings in config.sources.items():
        if settings.seals():
            secrets = await sealed(config, store).of(name)
            sources[name] = settings.with_secrets(tuple(secrets.values()))
    return msgspec.structs.replace(config, sources=sources)


@contextlib.asynccontextmanager
async def subscribing(runtime: Runtime, public_url: str | None = None) -> AsyncIterator[Subscriptions]:
    """Give the verbs for subscriptions; `public_url` instead of the setting's."""
    config, store = runtime.config, runtime.store
    callers = Callers(runtime.sources, store, now=time.time)
    try:
        yield Subscriptions(
            callers, store, sealed(config, store), runtime.sources, public_url or config.root.public_url
        )
    finally:
        await callers.close()


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
        tokens=JobTokens(Jobs(runtime.store), runtime.sources),
        at_once=runtime.store.keeps_at_once,
    )
    async with alongside(refusals.run()):
        yield ingest
    await ingest.close()
    await refusals.close()


@contextlib.asynccontextmanager
async def _working(runtime: Runtime, asks: Submitting) -> AsyncIterator[tuple[Makes, Worker]]:
    root = runtime.config.root
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(GuardedClient())
        outbox = Outbox(routes(runtime.config), runtime.store.ids, root.event_prefix, wanted(runtime.config))
        ports = SinkPorts(http=http, links=root.admin_url, now=time.time)
        subscriptions = await stack.enter_async_context(subscribing(runtime))
        makes = Makes(
            registry=runtime.registry,
            store=runtime.store,
            ports=ports,
            outbox=outbox,
            subscriptions=subscriptions,
            render=renderer(runtime.config),
            addresses=Addresses(root.public_url, root.admin_url),
        )
        runners = makes.runners(runtime.config, runtime.config.sinks)
        offload = Offload(root.limits.normalize_timeout)
        stack.push_async_callback(offload.close)
        worker = Worker(
            runtime.store,
            Normalize(runtime.store, runtime.sources, outbox, offload=offload),
            Confirm(runtime.store, asks.reread.ask, time.time),
            runners,
            watch=Watch(runtime.store, runtime.quarantine, runtime.sources, outbox, counts=root.quarantine.enabled),
            retention=Retention(runtime.store, keeps(runtime.sources), root.audit_keep, recordings(runtime.config)),
            upkeep=Upkeep(subscriptions, runtime.store, outbox),
            indexing=Indexing(runtime.store),
            reconcile=asks.reconcile,
            follow=Follow(runtime.store, asks.callers, functools.partial(_keep_fetched, runtime.store)),
        )
        await stack.enter_async_context(alongside(worker.run()))
        yield makes, worker
        await worker.stop(root.grace)


async def _keep_fetched(store: Store, provider: Provider[Any], found: Fetched) -> None:
    """Make a receipt of what a provider answered."""
    await store.keep([fetched_receipt(store, provider, found, None)])


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
    """Hold a lock beside the store as long as the block runs, if no other process has it; say whether.

    Raises StoreUnavailable where no file can be made there.
    """
    try:
        descriptor = os.open(f"{path}-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"{path}: {error.strerror} in {path.absolute().parent}: make that folder, let this user write there, "
            "or set store elsewhere"
        ) from None
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


async def worker_runs(config: Config, store: Store) -> bool:
    """Say whether some process works on the store. Raises StoreError."""
    if is_shared(config.root.store):
        return bool(await store.engine.rows("living_workers"))
    with _lock(sqlite_path(config.root.store), "worker") as mine:
        return not mine


def _freed(run: Running) -> None:
    if run.worker:
        run.worker.freed()


def _nothing() -> None:
    """The web role alone wakes nobody; a worker elsewhere sees the commit by itself."""
