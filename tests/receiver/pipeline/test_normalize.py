"""Receipts are read batch by batch; one that cannot be read, or that kills its reader, stops no other."""

import asyncio
import contextlib
import os
import pickle
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from offload_fakes import Child
from pipeline_fakes import PATIENCE, World, until, world

from receiver.contract.errors import Conflict, StoreError, StoreUnavailable, Unreadable
from receiver.contract.model import Call, Notice, Progress, Receipt, Result, Verdict
from receiver.pipeline import normalize as normalize_module
from receiver.pipeline import offload as offload_module
from receiver.pipeline.normalize import GONE, Normalize
from receiver.pipeline.offload import ChildDied, Offload, answer, serve

DONE = Progress(job_id="1", status="done")
RESULT = Result(kind="transcript", operation="transcription", job_id="1", text="hello")
LARGE = 300_000
CRASHED = "crashed: the process that normalized this died, each time it was tried"


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[World]:
    """Give an empty world."""
    async with world(tmp_path) as made:
        yield made


# Batches


async def test_a_batch_takes_many_and_leaves_no_claim(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at once as the bound says, oldest first; each step tells how many, and 0 when nothing waits."""
    monkeypatch.setattr(normalize_module, "_BATCH", 4)
    for _ in range(9):
        await one.keep(DONE)
    assert [await one.normalize.step() for _ in range(5)] == [4, 4, 1, 0, 0]
    assert one.states() == [("normalized", None)] * 9
    assert one.sql("SELECT count(*) FROM claims") == [(0,)]


async def test_a_batch_is_bounded_in_bytes(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies make small batches, but a body over the bound is read all the same."""
    monkeypatch.setattr(normalize_module, "_BATCH_BYTES", 25)
    for number in range(3):
        await one.keep(DONE, body=b"%d" % number * 10)
    await one.keep(DONE, body=b"x" * 100)
    assert [await one.normalize.step() for _ in range(4)] == [2, 1, 1, 0]


async def test_other_tasks_run_between_the_receipts_of_a_batch(one: World) -> None:
    """A long batch does not keep the loop from receiving."""
    turns: list[int] = []
    for _ in range(200):
        await one.keep(DONE)

    async def beside() -> None:
        while True:
            turns.append(len(turns))
            await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE):
        task = asyncio.create_task(beside())
        await one.settle()
        task.cancel()
    assert len(turns) >= 200 / 16


# What cannot be read


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Unreadable("jobId is missing"), "jobId is missing"),
        (Unreadable("lone \ud800"), "lone ?"),
        (KeyError("words of a call"), "the normalizer raised KeyError"),
        (RecursionError(), "the normalizer raised RecursionError"),
        ([DONE], "the normalizer returned something else than a tuple of outcomes"),
        (
            msgspec.structs.replace(RESULT, job_id="a\0b"),
            "job_id is no text, holds a NUL, or is longer than 1000 characters",
        ),
        (msgspec.structs.replace(RESULT, text="lone \ud800"), "what it says cannot be written: UnicodeEncodeError"),
        (msgspec.structs.replace(RESULT, metadata={"a": object()}), "what it says cannot be written: TypeError"),
        (Notice(name="n", body={"a": float}), "what it says cannot be written: TypeError"),
    ],
)
async def test_a_poisoned_receipt_is_unreadable_alone(one: World, said: Any, reason: str) -> None:
    """Whatever a plugin does with one receipt, that one is told with its reason, and its neighbours get through."""
    await one.keep(RESULT)
    await one.keep(said)
    await one.keep(msgspec.structs.replace(RESULT, job_id="2"), DONE)
    assert await one.normalize.step() == 3
    assert one.states() == [("normalized", None), ("unreadable", reason), ("normalized", None)]
    assert sorted(one.types()) == ["ops.receipt_unreadable", "transcript.completed", "transcript.completed"]
    assert one.sql("SELECT count(*) FROM versions") == [(2,)]


async def test_a_batch_of_nothing_but_poison(one: World) -> None:
    """However many cannot be written, the batch ends."""
    for _ in range(5):
        await one.keep(msgspec.structs.replace(RESULT, text="\ud800"))
    await one.settle()
    assert [state for state, _ in one.states()] == ["unreadable"] * 5


async def test_a_call_that_was_kept_wrong_stops_nobody(one: World) -> None:
    """A plugin wrote a direction that is none: what comes later for that call is unreadable, the rest goes on."""
    wrong = Call(external_id="x", direction="sideways")  # type: ignore[arg-type]
    await one.say(msgspec.structs.replace(RESULT, call=wrong))
    await one.keep(msgspec.structs.replace(RESULT, job_id="2", call=Call(external_id="x")))
    await one.keep(msgspec.structs.replace(RESULT, job_id="3"))
    await one.settle()
    assert [state for state, _ in one.states()] == ["normalized", "unreadable", "normalized"]


async def test_a_source_that_is_not_configured_any_more(one: World) -> None:
    """Its receipts wait as unreadable, and the reason says so; put back, they are read by themselves."""
    await one.say(DONE, source="gone")
    await one.say(Unreadable("not ours"))
    assert one.states() == [("unreadable", GONE), ("unreadable", "not ours")]
    assert await one.normalize.readmit() == 0
    one.sources["gone"] = one.acme
    assert await one.normalize.readmit() == 1
    await one.settle()
    assert one.states() == [("normalized", None), ("unreadable", "not ours")]


# Crashes and stops


async def test_a_crash_before_the_write_doubles_nothing(one: World) -> None:
    """What was read and not written is read again, under the same ids of receipts; the try is counted."""
    await one.keep(RESULT)

    async def crash(*_: Any, **__: Any) -> None:
        raise SystemExit

    write, one.store.write = one.store.write, crash  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        await one.normalize.step()
    one.store.write = write  # type: ignore[method-assign]
    assert await one.store.reclaim() == 1
    again = Normalize(one.store, one.sources, one.outbox, offload=one.offload)
    assert await again.step() == 1
    assert (one.types(), one.sql("SELECT tries FROM receipts")) == (["transcript.completed"], [(1,)])


async def test_results_and_claim_are_written_together(one: World) -> None:
    """There is no moment between the write and the end of the claim: a crash after it counts nothing and repeats nothing."""
    await one.keep(RESULT)
    await one.normalize.step()
    assert await one.store.reclaim() == 0
    assert await one.normalize.step() == 0
    assert one.types() == ["transcript.completed"]


async def test_the_same_receipt_read_twice_makes_one_event(one: World) -> None:
    """Reprocessing says the same again: no version, no event."""
    receipt = await one.say(RESULT)
    with contextlib.closing(sqlite3.connect(one.path)) as connection, connection:
        connection.execute("UPDATE receipts SET state = 'received' WHERE id = ?", (receipt,))
    await one.settle()
    assert (one.types(), one.sql("SELECT count(*) FROM versions")) == (["transcript.completed"], [(1,)])


@pytest.mark.parametrize("times", [1, 5])
async def test_a_store_that_fails_counts_no_crash(one: World, times: int) -> None:
    """However often writing fails, nothing is held against the receipts, and no claim is left behind."""
    await one.keep(RESULT)
    write, failures = one.store.write, [StoreUnavailable("disk full")] * times

    async def fails(*args: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        await write(*args, **options)

    one.store.write = fails  # type: ignore[method-assign]
    for _ in range(times):
        with pytest.raises(StoreUnavailable):
            await one.normalize.step()
    await one.settle()
    assert one.types() == ["transcript.completed"]
    assert await one.store.reclaim() == 0
    assert one.sql("SELECT tries FROM receipts") == [(0,)]


async def test_a_conflict_is_planned_again(one: World) -> None:
    """Another process wrote the same transcript in between: this one becomes its next version, at once."""
    await one.say(RESULT)
    await one.keep(msgspec.structs.replace(RESULT, text="mine"))
    write = one.store.write

    async def meanwhile(*args: Any, **options: Any) -> None:
        one.store.write = write  # type: ignore[method-assign]
        with contextlib.closing(sqlite3.connect(one.path)) as connection, connection:
            connection.execute("INSERT INTO versions SELECT transcript_id, 2, 1, 0, 'x', doc FROM versions")
            connection.execute("UPDATE transcripts SET version = 2")
        await write(*args, **options)

    one.store.write = meanwhile  # type: ignore[method-assign]
    assert await one.normalize.step() == 1
    assert one.sql("SELECT version FROM transcripts") == [(3,)]
    assert one.sql("SELECT count(*) FROM claims") == [(0,)]


async def test_conflicts_without_end_are_no_crash(one: World) -> None:
    """After some it waits, as for a store that fails."""
    await one.keep(RESULT)
    write = one.store.write

    async def always(*args: Any, **options: Any) -> None:
        raise Conflict

    one.store.write = always  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await one.normalize.step()
    one.store.write = write  # type: ignore[method-assign]
    await one.settle()
    assert one.types() == ["transcript.completed"]


@pytest.mark.parametrize("broken", [False, True])
async def test_a_stop_is_no_crash(one: World, broken: bool) -> None:
    """Cancelled in the middle, the claim is given back, and a store that fails then does not swallow the cancelling."""
    await one.keep(RESULT)
    reached, never = asyncio.Event(), asyncio.Event()

    async def hangs(*_: Any, **__: Any) -> None:
        reached.set()
        await never.wait()

    async def fails(claim: int) -> None:
        raise StoreError("disk full")

    one.store.known_transcripts = hangs  # type: ignore[method-assign, assignment]
    if broken:
        one.store.release = fails  # type: ignore[method-assign]
    task = asyncio.create_task(one.normalize.step())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert one.sql("SELECT count(*) FROM claims") == [(1 if broken else 0,)]


# Large bodies


@pytest.fixture
def child(one: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Give the world's source a provider that a child process can import."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    made = Child(tmp_path)
    one.sources["acme"] = made
    return made


def large(word: str) -> bytes:
    """Return a body that is normalized in the child, which does what the word says."""
    return word.encode() + b" " + b"x" * LARGE


async def test_large_bodies_go_to_one_child(one: World, child: Child) -> None:
    """From 256 KiB on a body is read in another process, the same one for all; smaller ones stay."""
    for body in (large("fine"), large("prints"), b"fine small", large("fine") + b"2"):
        await one.keep(body=body)
    await one.settle()
    assert one.states() == [("normalized", None)] * 4
    first, second, here, third = child.asked()
    assert first == second == third != os.getpid() == here


@pytest.mark.parametrize(("word", "ends"), [("fine", ("normalized", None)), ("dies", ("unreadable", CRASHED))])
@pytest.mark.parametrize("crashes", [2, 3, 4])
async def test_a_receipt_over_which_the_worker_died_goes_to_the_child(
    one: World, child: Child, word: str, ends: tuple[str, str | None], crashes: int
) -> None:
    """After two crashes a process of its own shows what killed the worker; who is innocent is read all the same."""
    await one.keep(body=word.encode())
    await one.keep(body=b"fine 2")
    for _ in range(crashes):
        await one.store.claim(1, max_bytes=1)
        await one.store.reclaim()
    await one.settle()
    assert one.states() == [ends, ("normalized", None)]
    assert child.asked()[0] != os.getpid() == child.asked()[-1]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("unreadable", "member is missing"),
        ("raises", "the normalizer raised KeyError"),
        ("strange", "the normalizer raised AttributeError"),
        ("wrong", "the normalizer returned something else than a tuple of outcomes"),
        ("dies", CRASHED),
    ],
)
async def test_what_goes_wrong_in_the_child_is_that_receipts_alone(
    one: World, child: Child, word: str, reason: str
) -> None:
    """Unreadable with a reason and no content; the next body is read."""
    await one.keep(body=large(word))
    await one.keep(body=large("fine"))
    await one.settle()
    assert one.states() == [("unreadable", reason), ("normalized", None)]


async def test_a_child_that_dies_once_is_asked_again(one: World, child: Child) -> None:
    """Killed by the system for its memory, say: the body is tried in a new process."""
    await one.say(body=large("dies_once"))
    assert one.states() == [("normalized", None)]
    assert len(set(child.asked())) == 2


async def test_a_normalizer_that_loops_is_killed(one: World, child: Child) -> None:
    """Over its time it is killed, and the receipt is unreadable; the next body gets a new process."""
    one.offload._seconds = 1.5
    await one.keep(body=large("loops"))
    await one.settle()
    assert one.states() == [("unreadable", "normalizing took longer than 1.5 s")]
    one.offload._seconds = PATIENCE
    with pytest.raises(ProcessLookupError):
        os.kill(child.asked()[0], 0)
    await one.say(body=large("fine"))
    assert one.states()[1] == ("normalized", None)


async def test_a_stop_kills_what_loops(one: World, child: Child) -> None:
    """A stop does not wait for a normalizer without end, and leaves no process behind and no claim."""
    await one.keep(body=large("loops"))
    task = asyncio.create_task(one.normalize.step())
    await until(child.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(child.asked()[0], 0)
    assert one.sql("SELECT count(*) FROM claims") == [(0,)]


async def test_no_process_to_be_had_is_a_crash_of_that_body(
    one: World, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system gives no process, the worker lives on."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    await one.say(body=large("fine"))
    assert one.states() == [("unreadable", CRASHED)]


async def test_a_provider_that_cannot_be_sent_is_told(tmp_path: Path) -> None:
    """A plugin that holds a lock breaks its contract: its large receipts are unreadable, nothing else."""
    with pytest.raises(Unreadable, match="cannot be sent to another process: TypeError"):
        await Offload(1.0).normalize(Child(tmp_path, threading.Lock()), a_receipt(b"fine"))


async def test_an_answer_that_cannot_be_read_is_a_dead_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no answer end the child, and the next body gets a new one."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    offload = Offload(PATIENCE)
    monkeypatch.setattr(pickle, "loads", _no_pickle)
    with pytest.raises(ChildDied):
        await offload.normalize(Child(tmp_path), a_receipt(b"fine"))
    monkeypatch.undo()
    assert offload._child is None


def _no_pickle(_: bytes) -> Any:
    raise ImportError("a module that only the child has")


def a_receipt(body: bytes) -> Receipt:
    """Return a receipt."""
    return Receipt(
        id="rcp_1", source="acme", provider="child", verdict=Verdict.TOKEN, received_at=0, headers=(), body=body
    )


# The child's side


def question(provider: Child, body: bytes) -> bytes:
    """Return what the parent asks."""
    return pickle.dumps((PATIENCE, "the normalizer", provider.normalize, (a_receipt(body),)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"fine", ("value", (Progress(job_id=str(os.getpid()), status="done"),))),
        (b"unreadable", ("unreadable", "member is missing")),
        (b"raises", ("unreadable", "the normalizer raised KeyError")),
    ],
)
def test_the_child_answers(tmp_path: Path, body: bytes, said: tuple[str, Any]) -> None:
    """What the work returns, or why there is nothing, without content; its own alarm is off afterwards."""
    assert pickle.loads(answer(question(Child(tmp_path), body))) == said
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_child_ends_itself_where_no_parent_kills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that was killed leaves no process that loops for ever."""

    class Ended(BaseException):
        """Stands for the death by SIGALRM."""

    def end(*_: Any) -> None:
        raise Ended

    monkeypatch.setattr(offload_module, "_LATER", 0.05 - PATIENCE)
    before = signal.signal(signal.SIGALRM, end)
    try:
        with pytest.raises(Ended):
            answer(question(Child(tmp_path), b"loops"))
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_child_serves_until_the_pipe_ends(tmp_path: Path) -> None:
    """Question after question, each with its length before it."""
    asked = question(Child(tmp_path), b"unreadable")
    framed = struct.pack(">Q", len(asked)) + asked
    answers = BytesIO()
    serve(BytesIO(framed * 2), answers)
    whole = answers.getvalue()
    (size,) = struct.unpack(">Q", whole[:8])
    assert whole == whole[: 8 + size] * 2


def test_the_process_ends_with_its_pipe_and_prints_nowhere_else(tmp_path: Path) -> None:
    """What a plugin prints goes to stderr; stdout holds answers only; no parent, no process."""
    asked = question(Child(tmp_path), b"prints")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "receiver.pipeline.offload"],
        input=struct.pack(">Q", len(asked)) + asked,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        timeout=PATIENCE * 3,
        check=True,
    )
    (size,) = struct.unpack(">Q", done.stdout[:8])
    assert pickle.loads(done.stdout[8:])[0] == "value"
    assert len(done.stdout) == 8 + size
    assert done.stderr.startswith(b"words on stdout")
