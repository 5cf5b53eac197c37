"""Worker: runs the steps behind the reply - confirm, normalize, deliver - until it is told to stop."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from receiver.contract.errors import StoreError, StoreUnavailable
from receiver.contract.provider import Provider
from receiver.pipeline.attempt import ended
from receiver.pipeline.confirm import Confirm
from receiver.pipeline.deliver import Runner
from receiver.pipeline.indexing import Indexing
from receiver.pipeline.jobs.follow import Follow
from receiver.pipeline.jobs.reconcile import Reconcile
from receiver.pipeline.jobs.subscriptions import Upkeep
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.operating.retention import Retention, keeps
from receiver.pipeline.schedule import rest_after
from receiver.pipeline.watch import Watch
from receiver.store.store import Store

log = structlog.get_logger()

_POLL = 1.0
_WATCH = 0.1
_AGAIN = 1.0
_TRIES = 5
"""Of a store that is away when a worker starts: a receiver that received and never delivered would be a lie."""
_SLOWLY = 30.0
_UPKEEP = 600.0
_FOLLOW = 2.0
STEPS = ("take_over", "normalize", "confirm", "reconcile", "watch", "upkeep", "follow")
"""Whatever asks the store by itself, as failures are counted."""
_STUCK = 300.0
"""Seconds after which a step that has not ended counts as hanging: a batch of slow bodies may take minutes."""


class Worker:
    """The tasks of one worker process."""

    def __init__(
        self,
        store: Store,
        normalize: Normalize,
        confirm: Confirm,
        runners: Sequence[Runner],
        *,
        watch: Watch | None = None,
        retention: Retention | None = None,
        upkeep: Upkeep | None = None,
        indexing: Indexing | None = None,
        reconcile: Reconcile | None = None,
        follow: Follow | None = None,
    ) -> None:
        """Without `watch` nobody looks for what goes wrong slowly; without `retention` everything stays.

        Without `upkeep` subscriptions end when they end; without `indexing` nothing new is found by its words; without
        `reconcile` nobody asks about jobs; without `follow` nobody fetches what callbacks announce.
        """
        self.runners = tuple(runners)
        self._store = store
        self.normalize = normalize
        self.store_errors: Counter[str] = Counter()
        """By step; those of the sinks are counted by their runners."""
        self._confirm = confirm
        self._slow = watch
        self._retention = retention
        self._upkeep = upkeep
        self._indexing = indexing
        self._keeping: list[asyncio.Task[None]] = []
        self.reconcile = reconcile
        self._follow = follow
        self._work = asyncio.Event()
        self._stopping = False
        self._ending = asyncio.Event()
        self._normalizing: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._failed: str | None = None
        self._group: asyncio.TaskGroup | None = None

    def wake(self) -> None:
        """Receipts were kept."""
        self._work.set()

    def freed(self) -> None:
        """What a dead process held can be taken."""
        self.wake()
        self.written()

    def written(self) -> None:
        """Deliveries were written."""
        for runner in self.runners:
            runner.wake()

    def trouble(self) -> str | None:
        """Say why this worker takes no work now, or None where it does."""
        if self._stopping:
            return "the worker is stopping"
        if self._normalizing is None or self._normalizing.done():
            return "the worker does not run"
        if self._failed is not None:
            return f"the worker cannot go on: {self._failed}"
        since = time.monotonic() - self._begun
        return f"the worker has been at one step for {since:.0f} s" if since > _STUCK else None

    async def run(self) -> None:
        """Take over what a dead worker held, then work until cancelled or stopped."""
        await self._take_over()
        async with asyncio.TaskGroup() as group:
            self._normalizing = group.create_task(
                self._step_by_step("normalize", self._normalize_then_wake, self._work)
            )
            group.create_task(self._step_by_step("confirm", self._confirm_then_wake, asyncio.Event()))
            if self.reconcile is not None:
                group.create_task(self._step_by_step("reconcile", self._reconcile_then_wake, asyncio.Event()))
            group.create_task(self._watch())
            if self._slow is not None:
                group.create_task(self._now_and_then("watch", self._slow.step, _SLOWLY))
            if self._upkeep is not None:
                group.create_task(self._now_and_then("upkeep", self._upkeep.step, _UPKEEP))
            if self._follow is not None:
                group.create_task(self._now_and_then("follow", self._follow_then_wake, _FOLLOW))
            if self._retention:
                self._keeping.append(group.create_task(self._retention.run()))
            if self._indexing:
                self._keeping.append(group.create_task(self._indexing.run()))
            self._group = group
            for runner in self.runners:
                group.create_task(runner.run())

    async def _take_over(self) -> None:
        """Take back what a dead worker held; a store that is away for a moment is asked again. Raises StoreError."""
        failed, done = 0, False
        while not (done or self._stopping):
            try:
                if taken := await self._store.reclaim():
                    log.info("worker.took_over", count=taken)
                await self.normalize.readmit()
                done = True
            except StoreUnavailable as error:
                failed += 1
                self._store_failed("take_over", error)
                if failed == _TRIES:
                    raise
                await self._rest(rest_after(failed, _AGAIN))

    def _store_failed(self, step: str, error: StoreError) -> None:
        self.store_errors[step] += 1
        log.error("worker.store_failed", step=step, why=str(error))

    async def change(
        self, sources: Mapping[str, Provider[Any]], gone: Collection[str], new: Sequence[Runner], grace: float
    ) -> None:
        """Go by other settings: let the runners of the sinks `gone` end within the grace time, then start `new` ones.

        The others go on meanwhile. A stop in the middle of it ends all of them, and starts none.
        """
        self.normalize.change(sources)
        if self._slow is not None:
            self._slow.change(sources)
        if self._retention is not None:
            self._retention.change(keeps(sources))
        leaving = [runner for runner in self.runners if runner.name in gone]
        await asyncio.gather(*(runner.stop(grace) for runner in leaving))
        if self._stopping:
            return
        self.runners = (*(runner for runner in self.runners if runner not in leaving), *new)
        if self._group is not None:  # else they start with the others
            for runner in new:
                self._group.create_task(runner.run())
        with contextlib.suppress(StoreError):  # the next start does it
            await self.normalize.readmit()
        self.wake()

    async def stop(self, grace: float) -> None:
        """Start nothing new, and give what is under way `grace` seconds; may be called again."""
        self._stopping = True
        self._ending.set()
        self.wake()
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(
            *(ended(task, grace) for task in [self._normalizing] if task),
            *(runner.stop(grace) for runner in self.runners),
        )

    async def _normalize_then_wake(self) -> int:
        self._begun = time.monotonic()
        try:
            done = await self.normalize.step()
        except Exception as error:
            self._failed = str(error) if isinstance(error, StoreError) else type(error).__name__
            raise
        self._failed = None
        if done:
            self.written()
        return done

    async def _confirm_then_wake(self) -> int:
        done = await self._confirm.step() if await self._store.leads("confirm") else 0
        if done:
            self.wake()
        return done

    async def _reconcile_then_wake(self) -> int:
        assert self.reconcile is not None
        done = await self.reconcile.step() if await self._store.leads("reconcile") else 0
        if done:
            self.wake()
            self.written()
        return done

    async def _step_by_step(self, name: str, step: Callable[[], Awaitable[int]], wake: asyncio.Event) -> None:
        failed = 0
        while not self._stopping:
            wake.clear()
            try:
                done = await step()
                failed = 0
            except Exception as error:
                failed += 1
                if isinstance(error, StoreError):
                    self._store_failed(name, error)
                else:
                    log.exception("worker.step_failed")
                await self._rest(rest_after(failed, _AGAIN))
                continue
            if not done:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):  # wait_for of 3.11 can swallow a cancellation
                        await wake.wait()

    async def _rest(self, seconds: float) -> None:
        """Wait, but for a stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _follow_then_wake(self) -> int:
        assert self._follow is not None
        kept = await self._follow.once()
        if kept:
            self.wake()
        return 0

    async def _now_and_then(self, name: str, step: Callable[[], Awaitable[int]], every: float) -> None:
        """Run a step that makes events, once in so many seconds."""
        while not self._stopping:
            try:
                if await self._store.leads(name) and await step():
                    self.written()
            except StoreError as error:
                self._store_failed(name, error)
            except Exception:
                log.exception("worker.step_failed")
            await asyncio.sleep(every)

    async def _watch(self) -> None:
        """See what other processes commit: SQLite wakes nobody by itself."""
        seen = -1
        while not self._stopping:
            with contextlib.suppress(StoreError):
                version = await self._store.engine.data_version()
                if version != seen:
                    seen = version
                    self.wake()
                    self.written()
            await asyncio.sleep(_WATCH)
