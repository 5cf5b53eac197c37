"""Worker: runs the steps behind the reply - confirm, normalize, deliver - until it is told to stop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from receiver.contract.errors import StoreError
from receiver.pipeline.attempt import ended
from receiver.pipeline.confirm import Confirm
from receiver.pipeline.deliver import Runner
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.retention import Retention
from receiver.store.store import Store

log = structlog.get_logger()

_POLL = 1.0
_WATCH = 0.1
_AGAIN = 1.0


class Worker:
    """The tasks of one worker process."""

    def __init__(
        self,
        store: Store,
        normalize: Normalize,
        confirm: Confirm,
        runners: Sequence[Runner],
        retention: Retention | None = None,
    ) -> None:
        self.runners = tuple(runners)
        self._store = store
        self._normalize = normalize
        self._confirm = confirm
        self._retention = retention
        self._work = asyncio.Event()
        self._stopping = False
        self._normalizing: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Receipts were kept."""
        self._work.set()

    def written(self) -> None:
        """Deliveries were written."""
        for runner in self.runners:
            runner.wake()

    async def run(self) -> None:
        """Take over what a dead worker held, then work until cancelled or stopped."""
        taken = await self._store.reclaim()
        if taken:
            log.info("worker.took_over", count=taken)
        async with asyncio.TaskGroup() as group:
            self._normalizing = group.create_task(self._step_by_step(self._normalize_then_wake, self._work))
            group.create_task(self._step_by_step(self._confirm_then_wake, asyncio.Event()))
            group.create_task(self._watch())
            if self._retention:
                self._keeping = group.create_task(self._retention.run())
            for runner in self.runners:
                group.create_task(runner.run())

    async def stop(self, grace: float) -> None:
        """Start nothing new, and give what is under way `grace` seconds; may be called again."""
        self._stopping = True
        self.wake()
        if self._keeping:
            self._keeping.cancel()
        await asyncio.gather(
            *(ended(task, grace) for task in [self._normalizing] if task),
            *(runner.stop(grace) for runner in self.runners),
        )

    async def _normalize_then_wake(self) -> int:
        done = await self._normalize.step()
        if done:
            self.written()
        return done

    async def _confirm_then_wake(self) -> int:
        done = await self._confirm.step()
        if done:
            self.wake()
        return done

    async def _step_by_step(self, step: Callable[[], Awaitable[int]], wake: asyncio.Event) -> None:
        while not self._stopping:
            wake.clear()
            try:
                done = await step()
            except StoreError as error:
                log.error("worker.store_failed", why=str(error))
                await asyncio.sleep(_AGAIN)
                continue
            except Exception:
                log.exception("worker.step_failed")
                await asyncio.sleep(_AGAIN)
                continue
            if not done:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):  # wait_for of 3.11 can swallow a cancellation
                        await wake.wait()

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
