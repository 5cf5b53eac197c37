"""The tasks behind the reply: they wake each other, outlive their failures, and end when they are told to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from kept import kept_in
from pipeline_fakes import PATIENCE, Fake, World, until, world

from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import Progress, ReceiptState, Result
from receiver.pipeline import deliver as deliver_module
from receiver.pipeline import worker as worker_module
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.confirm import Confirm
from receiver.pipeline.deliver import Runner
from receiver.pipeline.watch import Watch
from receiver.pipeline.worker import Worker
from receiver.store.quarantine.quarantine import Quarantine
from receiver.testing.rows import put_events
from receiver.testing.store import a_receipt

RESULT = Result(kind="transcript", operation="transcription", job_id="1", text="hello")
NEVER = 3600.0


@pytest.fixture
async def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Give an empty world in which nobody looks by himself."""
    for module in (deliver_module, worker_module):
        monkeypatch.setattr(module, "_POLL", NEVER)
    monkeypatch.setattr(worker_module, "_WATCH", NEVER)
    monkeypatch.setattr(worker_module, "_AGAIN", 0.01)
    async with world(tmp_path) as made:
        yield made


class Work:
    """A worker with one sink, running as long as the block."""

    def __init__(self, one: World, reread: Any = None, watch: Watch | None = None) -> None:
        self.sink = Fake()
        render = Renderer(None, None, "")
        runner = Runner(self.sink, one.store, one.outbox, render=render, dice=lambda: 0.5, now=one.clock)
        self.worker = Worker(one.store, one.normalize, Confirm(one.store, reread, one.clock), [runner], watch=watch)
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert self.task is not None
        self.task.cancel()
        done, _ = await asyncio.wait([self.task], timeout=PATIENCE)
        assert done, "the worker did not end when it was cancelled"


async def test_a_receipt_goes_all_the_way(one: World) -> None:
    """Woken once, the worker normalizes, and its sinks are woken by what was written."""
    async with Work(one) as work:
        await one.keep(RESULT)
        work.worker.wake()
        await until(lambda: work.sink.sent)
    assert work.sink.sent[0][0].event.type == "transcript.completed"


async def test_no_wake_is_lost(one: World) -> None:
    """However wakes and steps fall together, every receipt arrives without anybody looking by himself."""
    async with Work(one) as work:
        for number in range(60):
            await one.keep(Result(kind="transcript", operation="t", job_id=str(number)))
            work.worker.wake()
            for _ in range(number % 7):
                await asyncio.sleep(0)
        await until(lambda: len(work.sink.ids) == 60)
    assert len(set(work.sink.ids)) == 60


async def test_what_a_dead_worker_held_is_taken_over(one: World) -> None:
    """Its deliveries go out again and its receipts are tried again, each with the try counted."""
    await put_events(one.store, [None])
    await one.store.due("archive", 1, in_order=False, max_bytes=1)
    await one.keep(RESULT)
    await one.store.claim(5, max_bytes=1000)
    async with Work(one) as work:
        await until(lambda: len(work.sink.ids) == 2)
    assert work.sink.sent[0][0].attempt == 2
    assert one.sql("SELECT tries, state FROM receipts") == [(1, "normalized")]


async def test_a_store_that_is_away_just_after_the_start_ends_no_worker(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a dead worker held is asked for again until it comes; until then the probes say that nobody works."""
    failures, reclaim, asked = [StoreUnavailable("away")] * 3, one.store.reclaim, asyncio.Event()

    async def away() -> int:
        if failures:
            asked.set()
            raise failures.pop()
        return await reclaim()

    monkeypatch.setattr(one.store, "reclaim", away)
    await put_events(one.store, [None])
    await one.store.due("archive", 1, in_order=False, max_bytes=1)
    async with Work(one) as work:
        await asked.wait()
        assert work.worker.trouble() == "the worker does not run"
        await until(lambda: work.sink.ids)
        assert work.worker.store_errors["take_over"] == 3


async def test_commits_of_other_processes_are_seen(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite wakes nobody: the worker looks whether the file has changed."""
    monkeypatch.setattr(worker_module, "_WATCH", 0.01)
    async with kept_in(one.path, one.clock) as other, Work(one) as work:
        await asyncio.sleep(0.05)
        one.acme.said[b"elsewhere"] = (RESULT,)
        await other.keep([a_receipt(other, b"m", body=b"elsewhere")])
        await until(lambda: work.sink.sent)
        await put_events(other, [None])
        await until(lambda: len(work.sink.ids) == 2)


async def test_a_watch_that_fails_goes_on(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy file is no reason to look no more."""
    monkeypatch.setattr(worker_module, "_WATCH", 0.01)
    failures, data_version = [StoreUnavailable("busy")] * 3, one.store.engine.data_version

    async def fails() -> int:
        if failures:
            raise failures.pop()
        return await data_version()

    monkeypatch.setattr(one.store.engine, "data_version", fails)
    await one.keep(RESULT)
    async with Work(one) as work:
        await until(lambda: work.sink.sent and not failures)


@pytest.mark.parametrize("error", [StoreUnavailable("disk full"), RuntimeError("a bug")])
@pytest.mark.parametrize("verb", ["claim", "waiting", "write"])
async def test_a_step_that_fails_is_done_again(
    one: World, monkeypatch: pytest.MonkeyPatch, verb: str, error: Exception
) -> None:
    """Neither a store that fails for a while nor a fault of ours ends the worker."""
    failures, real = [error] * 2, getattr(one.store, verb)

    async def fails(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await real(*args, **options)

    monkeypatch.setattr(one.store, verb, fails)
    await one.keep(RESULT)
    async with Work(one) as work:
        await until(lambda: work.sink.sent and not failures)


async def test_a_stop_does_not_wait_for_a_rest(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that rests because the store failed ends at once."""
    monkeypatch.setattr(worker_module, "_AGAIN", NEVER)
    failed = asyncio.Event()

    async def fails() -> int:
        failed.set()
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(one.normalize, "step", fails)
    async with Work(one) as work:
        await failed.wait()
        async with asyncio.timeout(PATIENCE / 2):
            await work.worker.stop(NEVER)


async def test_what_is_confirmed_is_normalized_at_once(one: World) -> None:
    """The provider's word wakes the next step."""
    await one.keep(RESULT, state=ReceiptState.CONFIRMING)
    async with Work(one) as work:
        await until(lambda: work.sink.sent)


async def test_a_stop_ends_everything(one: World) -> None:
    """Steps and runners end by themselves; nothing is held, and a second stop finds nothing to do."""
    async with Work(one) as work:
        await one.keep(RESULT)
        work.worker.wake()
        await until(lambda: one.sql("SELECT state FROM deliveries") == [("delivered",)])
        await work.worker.stop(PATIENCE)
        await work.worker.stop(PATIENCE)
        await one.keep(Progress(job_id="1", status="x"))
        work.worker.wake()
        await asyncio.sleep(0.05)
    assert one.states() == [("normalized", None), ("received", None)]
    assert work.sink.closed >= 1


async def test_a_stop_cuts_off_a_step_that_hangs(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace time the step is cancelled, and its receipts are as if they had not been tried."""
    reached = asyncio.Event()

    async def hangs(*_: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(one.store, "known_transcripts", hangs)
    await one.keep(RESULT)
    async with Work(one) as work:
        await reached.wait()
        await work.worker.stop(0.05)
        assert one.sql("SELECT count(*) FROM claims") == [(0,)]
    assert await one.store.reclaim() == 0


async def test_a_worker_that_never_ran_stops(one: World) -> None:
    """A stop before the start closes the sinks."""
    work = Work(one)
    await work.worker.stop(0)
    assert work.sink.closed == 1


async def test_a_cancelled_worker_ends_whatever_falls_together(one: World) -> None:
    """A wake and a cancellation in the same turn of the loop: the cancellation is not lost."""
    for turns in range(12):
        async with Work(one) as work:
            await asyncio.sleep(0.005)
            for _ in range(turns):
                await asyncio.sleep(0)
            work.worker.wake()
            work.worker.written()


# Whether it takes work


async def test_a_worker_at_work_has_no_trouble(one: World) -> None:
    """Before it runs, and once it stops, it says so."""
    work = Work(one)
    assert work.worker.trouble() == "the worker does not run"
    async with work:
        await one.keep(RESULT)
        work.worker.wake()
        await until(lambda: work.sink.sent)
        assert work.worker.trouble() is None
        await work.worker.stop(PATIENCE)
        assert work.worker.trouble() == "the worker is stopping"


async def test_a_worker_whose_steps_fail_says_why(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's words, or the name of what else was raised; over with the next step that succeeds."""
    errors: list[Exception] = [StoreUnavailable("the disk is full"), RuntimeError("words of a call")]
    step, told = one.normalize.step, []

    async def fails() -> int:
        told.append(work.worker.trouble())
        if errors:
            raise errors.pop(0)
        return await step()

    monkeypatch.setattr(one.normalize, "step", fails)
    work = Work(one)
    async with work:
        await until(lambda: told and work.worker.trouble() is None)
    assert told[:3] == [
        None,
        "the worker cannot go on: the disk is full",
        "the worker cannot go on: RuntimeError",
    ]
    assert work.worker.store_errors == {"normalize": 1}


async def test_a_worker_that_hangs_says_so(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that does not end is no work."""

    async def hangs() -> int:
        await asyncio.sleep(60)
        return 0

    monkeypatch.setattr(worker_module, "_STUCK", 0.01)
    monkeypatch.setattr(one.normalize, "step", hangs)
    async with Work(one) as work:
        await until(lambda: "at one step" in (work.worker.trouble() or ""))


async def test_a_watch_that_fails_is_asked_again(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the store nor a mistake ends it, and what it wrote wakes the sinks."""
    monkeypatch.setattr(worker_module, "_SLOWLY", 0.01)
    said: list[Exception | int] = [StoreUnavailable("the disk is full"), RuntimeError("words of a call"), 1]

    class Fails(Watch):
        async def step(self) -> int:
            outcome = said.pop(0) if said else 0
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    watch = Fails(one.store, Quarantine(one.path, one.clock), one.sources, one.outbox, counts=False)
    work = Work(one, watch=watch)
    async with work:
        await put_events(one.store, [None])
        await until(lambda: work.sink.sent)
    assert work.worker.store_errors == {"watch": 1}
