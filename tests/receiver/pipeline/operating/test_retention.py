"""Retention: what goes and what stays, told as gone, in steps that receiving does not notice."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kept import kept_in, normalized, notice, result
from running_fakes import REGISTRY, TOKEN, configured
from structlog.testing import capture_logs

from receiver.contract.errors import Gone, NotFound
from receiver.contract.model import DeliveryState, ReceiptState
from receiver.pipeline.operating.replay import Replay
from receiver.pipeline.operating.retention import Keep, Retention
from receiver.pipeline.outbox import Outbox, Route
from receiver.pipeline.uploaded import place
from receiver.runtime import running
from receiver.store.ids import JOB, RECEIPT, TRANSCRIPT, encode
from receiver.store.job_lists import JobLists
from receiver.store.jobs import OPEN, JobDoc, Jobs, JobState, NewJob
from receiver.store.lists import Lists
from receiver.store.records import Done, StoredReceipt, Writes
from receiver.store.store import Store
from receiver.testing.rows import DAY_MS, MIB, Clock, a_receipt, a_tried

HOUR_MS = 3_600_000
ROUTES = [Route(sink="archive", events=("*",), sources=("*",))]


class World:
    """A store, its clock, and what keeps it small."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.lists = Lists(store.engine)

    def retention(self, keep: str = "1d", keep_failed: str | None = None) -> Retention:
        """Return a runner for the source acme."""
        return Retention(self.store, {"acme": Keep.read(keep, keep_failed)})

    async def later(self, days: float, keep: str = "1d", keep_failed: str | None = None) -> dict[str, int]:
        """Let days pass, then run once."""
        self.clock.ms += int(days * DAY_MS)
        return await self.retention(keep, keep_failed).once()

    async def said(self, *outcomes: Any, end: DeliveryState | None = DeliveryState.DELIVERED) -> None:
        """Keep outcomes of acme; their deliveries end so, or wait."""
        await normalized(self.store, outcomes, ROUTES)
        if end is not None:
            due = await self.store.due("archive", 100, in_order=False, max_bytes=MIB)
            await self.store.tried([a_tried(one.id, end, detail="so") for one in due])

    async def count(self) -> dict[str, int]:
        """Return how many rows each table has."""
        tables = ("receipts", "events", "deliveries", "attempts", "transcripts", "versions", "calls")
        found = {}
        async with self.store.engine.transaction() as tx:
            for table in tables:
                rows = await tx._connection.execute_fetchall(f"SELECT count(*) FROM {table}")  # type: ignore[attr-defined]
                found[table] = next(iter(rows))[0]
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Give an empty world."""
    clock = Clock()
    async with kept_in(tmp_path / "store.db", clock) as store:
        yield World(store, clock)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("12h", 12 * HOUR_MS), ("90d", 90 * DAY_MS), ("2w", 14 * DAY_MS), ("forever", None)],
)
def test_how_long(text: str, milliseconds: int | None) -> None:
    """Hours, days, weeks, forever; what failed is kept as long unless it says otherwise."""
    assert Keep.read(text) == Keep(done=milliseconds, failed=milliseconds)
    assert Keep.read("1d", text) == Keep(done=DAY_MS, failed=milliseconds)


async def test_nothing_goes_before_its_time(world: World) -> None:
    """To the hour; forever is never; what belongs to no configured source stays."""
    await world.said(result("1", "call"), notice("ring"))
    before = await world.count()
    for days, keep in ((0.99, "1d"), (400, "forever")):
        assert not any((await world.later(days, keep)).values())
    assert not any((await Retention(world.store, {"other": Keep.read("1h")}).once()).values())
    assert await world.count() == before


async def test_content_goes_and_keys_stay(world: World) -> None:
    """Bodies, versions, events, deliveries, attempts, calls; a slim row of receipt and transcript is left."""
    await world.said(result("1", "call"), notice("ring"))
    assert await world.later(1.01) == {"receipts": 2, "events": 2, "transcripts": 1, "jobs": 0, "calls": 1}
    left = {"receipts": 2, "events": 0, "deliveries": 0, "attempts": 0, "transcripts": 1, "versions": 0, "calls": 0}
    assert await world.count() == left
    rows = (await world.lists.receipts({"state": "gone"})).items
    assert [(row["state"], row["size"], row["headers"]) for row in rows] == [("gone", 2, [])] * 2
    assert (await world.lists.transcripts({})).items == []
    assert not any((await world.later(1)).values())


async def test_what_is_gone_is_told_from_what_never_was(world: World) -> None:
    """Body, transcript, event, delivery, call, replay: 410 for the one, 404 for the other."""
    await world.said(result("1", "call"))
    receipt = (await world.lists.receipts({})).items[0]["id"]
    (event,) = (await world.lists.events({}, whole=False)).items
    (delivery,) = (await world.lists.deliveries({})).items
    (transcript,) = (await world.lists.transcripts({}, whole=False)).items
    await world.later(2)
    replay = Replay(world.store, ROUTES)
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "body": lambda: world.lists.body(receipt),
        "transcript": lambda: world.lists.transcript(transcript["id"]),
        "version": lambda: world.lists.transcript(transcript["id"], 1),
        "versions": lambda: world.lists.versions(transcript["id"]),
        "event": lambda: world.lists.event(event["id"]),
        "delivery": lambda: world.lists.delivery(delivery["id"]),
        "call": lambda: world.lists.call(transcript["call_id"]),
        "replay event": lambda: replay.replay_event(event["id"]),
        "replay delivery": lambda: replay.replay_deliveries([delivery["id"]]),
    }
    for ask in asked.values():
        with pytest.raises(Gone):
            await ask()
    assert (await world.lists.receipt(receipt))["state"] == ReceiptState.GONE
    new = world.store.ids.next()
    for ask in (
        lambda: world.lists.body(encode(RECEIPT, new)),
        lambda: world.lists.transcript(encode(TRANSCRIPT, new)),
        lambda: world.lists.event(f"evt_{encode('', new)}"),
    ):
        with pytest.raises(NotFound):
            await ask()


async def test_an_old_redelivery_stays_one(world: World) -> None:
    """Within the window the message is known, with its first id, though its body is gone."""
    first = a_receipt(world.store, b"message")
    await world.store.keep([first])
    done = Done(id=first.id, state=ReceiptState.NORMALIZED, outcome=None, reason=None)
    await world.store.write(Writes(done=[done]))
    assert (await world.later(6, "1h"))["receipts"] == 1
    (again,) = await world.store.keep([a_receipt(world.store, b"message")])
    assert (again.duplicate, again.id) == (True, first.id)


async def test_an_old_result_makes_no_second_event(world: World) -> None:
    """The same result after the window is known by its key; another one is the next version, in its call."""
    await world.said(result("1", "call"))
    await world.later(20)
    await world.said(result("1", "call"))
    assert (await world.count())["events"] == 0
    await world.said(result("1", "call", text="more"))
    (event,) = (await world.lists.events({})).items
    assert event["type"] == "transcript.updated"
    (transcript,) = (await world.lists.transcripts({}, whole=False)).items
    assert transcript["version"] == 2
    assert len((await world.lists.call(transcript["call_id"]))["transcripts"]) == 1


async def test_a_call_that_is_gone_comes_again_with_its_transcript(world: World) -> None:
    """A later version that names no call belongs to the one that it had, which is there again."""
    await world.said(result("1"))
    await world.later(20)
    await world.said(result("1", text="more"))
    (transcript,) = (await world.lists.transcripts({}, whole=False)).items
    assert (await world.lists.call(transcript["call_id"]))["id"] == transcript["call_id"]


async def test_what_waits_for_a_sink_stays(world: World) -> None:
    """However old: the delivery, its event, and what the transcript said; the next run after it arrived takes all."""
    await world.said(result("1"), result("2"), end=None)
    runner = world.retention()
    world.clock.ms += 400 * DAY_MS
    assert await runner.once() == {"receipts": 2, "events": 0, "transcripts": 0, "jobs": 0, "calls": 0}
    due = await world.store.due("archive", 5, in_order=False, max_bytes=MIB)
    assert [b'"text":"hello"' in one.data for one in due] == [True, True]
    assert (await runner.once())["events"] == 0
    await world.store.tried([a_tried(due[1].id, DeliveryState.DELIVERED)])
    assert await runner.once() == {"receipts": 0, "events": 1, "transcripts": 1, "jobs": 0, "calls": 1}
    await world.store.tried([a_tried(due[0].id, DeliveryState.DELIVERED)])
    assert await runner.once() == {"receipts": 0, "events": 1, "transcripts": 1, "jobs": 0, "calls": 1}


async def test_what_is_not_normalized_stays(world: World) -> None:
    """A receipt that waits is work, not history."""
    await world.store.keep([a_receipt(world.store, b"m"), a_receipt(world.store, b"n", state=ReceiptState.CONFIRMING)])
    assert not any((await world.later(400)).values())


@pytest.mark.parametrize(("keep", "keep_failed", "days"), [("1d", "10d", 2), ("10d", "1d", 2)])
async def test_what_failed_has_its_own_time(world: World, keep: str, keep_failed: str, days: int) -> None:
    """Unreadable receipts, failed results and events with a dead delivery, longer or shorter than the rest."""
    await world.said(result("ok"))
    await world.said(result("failed", status="failed", text=None))
    await world.said(notice("dead"), end=DeliveryState.DEAD)
    await unreadable(world.store)
    kept_longer = keep == "1d"
    taken = await world.later(days, keep, keep_failed)
    if kept_longer:
        assert taken == {"receipts": 3, "events": 1, "transcripts": 1, "jobs": 0, "calls": 1}
    else:
        assert taken == {"receipts": 1, "events": 3, "transcripts": 1, "jobs": 0, "calls": 1}
    rest = await world.later(20, keep, keep_failed)
    assert rest["receipts"] == 4 - taken["receipts"]
    assert (await world.count())["events"] == (await world.count())["versions"] == 0


async def unreadable(store: Store) -> None:
    """Keep a receipt that nobody can read."""
    receipt = a_receipt(store, b"unreadable")
    await store.keep([receipt])
    plan = Outbox(ROUTES, store.ids).plan(store.now_ms())
    fields = {name: getattr(receipt, name) for name in StoredReceipt.__struct_fields__ if name != "tries"}
    plan.unreadable(StoredReceipt(**fields, tries=0), "no")
    await store.write(plan.writes)
    due = await store.due("archive", 5, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(one.id, DeliveryState.DELIVERED) for one in due])


async def test_a_stop_loses_no_ground(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled in the middle, the next runner takes the rest, and nothing twice."""
    await world.said(*(result(str(number)) for number in range(30)))
    world.clock.ms += 2 * DAY_MS
    rest = asyncio.Event()

    async def resting(_: float) -> None:
        rest.set()
        await asyncio.Event().wait()

    runner = world.retention()
    runner._rows = 7
    monkeypatch.setattr("receiver.pipeline.operating.retention.asyncio.sleep", resting)
    task = asyncio.create_task(runner.run())
    await rest.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    monkeypatch.undo()
    assert await world.retention().once() == {"receipts": 23, "events": 30, "transcripts": 30, "jobs": 0, "calls": 30}


async def test_a_running_receiver_does_it_by_itself(tmp_path: Path) -> None:
    """As the source's settings say, from its start on."""
    clock = Clock(int(time.time() * 1000) - 2 * HOUR_MS)
    async with kept_in(tmp_path / "store.db", clock) as store:
        await normalized(store, [result("1")], [])
    source = {"provider": "acme", "token": TOKEN, "keep": "1h"}
    async with running(configured(tmp_path, sources={"acme": source}), REGISTRY) as run:
        lists = Lists(run.runtime.store.engine)
        async with asyncio.timeout(30):
            while not (await lists.receipts({"state": "gone"})).items:
                await asyncio.sleep(0.01)


async def test_receiving_does_not_stall(world: World) -> None:
    """While 50,000 old receipts go, a new one is kept as before: the 99th percentile stays far below a second."""
    await old_receipts(world.store, 50_000)
    world.clock.ms += 2 * DAY_MS
    task = asyncio.create_task(world.retention().once())
    times: list[float] = []
    while not task.done():
        began = time.perf_counter()
        (kept,) = await world.store.keep([a_receipt(world.store, b"new %d" % len(times))])
        times.append(time.perf_counter() - began)
        assert not kept.duplicate
        await asyncio.sleep(0)
    assert (await task)["receipts"] == 50_000
    assert len(times) > 100
    assert sorted(times)[int(len(times) * 0.99)] < 0.25


async def old_receipts(store: Store, count: int) -> None:
    """Keep so many receipts of 1.5 kB, all normalized."""
    for start in range(0, count, 500):
        rows: Sequence[Any] = [
            a_receipt(store, b"%d" % number, state=ReceiptState.NORMALIZED, body=b"x" * 1500)
            for number in range(start, start + 500)
        ]
        await store.keep(rows)


async def a_job(world: World, state: JobState, **changes: Any) -> int:
    """Write a job of acme down, as it is now; return its id."""
    number = world.store.ids.next()
    made = NewJob(
        id=number, source="acme", provider="acme", operation="transcription", state=state, owner=0, doc=JobDoc()
    )
    await Jobs(world.store).add(msgspec.structs.replace(made, **changes))
    return number


async def test_jobs_that_ended_go_with_their_results(world: World) -> None:
    """Done and lost ones, once their transcript is gone; what is in doubt or waited for stays, and so do all tokens."""
    jobs = Jobs(world.store)
    ended = {
        state: await a_job(world, state, job_id=state, token=state.encode())
        for state in (JobState.COMPLETED, JobState.FAILED, JobState.LOST)
    }
    waiting = [await a_job(world, state) for state in OPEN]
    held = await a_job(world, JobState.COMPLETED, job_id="held")
    await world.said(result(JobState.COMPLETED))
    await world.said(result("held"), end=None)
    assert (await world.later(0.5))["jobs"] == 0
    assert (await world.later(1, keep_failed="9d"))["jobs"] == 1
    with pytest.raises(Gone):
        await JobLists(world.store).job(encode(JOB, ended[JobState.COMPLETED]))
    assert await jobs.of_token("acme", b"completed") == (ended[JobState.COMPLETED], "gone", 1)
    assert await jobs.of_token("acme", b"lost") == (ended[JobState.LOST], JobState.LOST, 0)
    assert (await world.later(9, keep_failed="9d"))["jobs"] == 2
    assert [job.id for job in await jobs.by_id([*ended.values(), *waiting, held])] == [*waiting, held]
    with pytest.raises(NotFound):
        await JobLists(world.store).job(encode(JOB, world.store.ids.next()))


async def test_recordings_that_were_sent_go_with_their_jobs(world: World, tmp_path: Path) -> None:
    """The file of a job that is gone, and of one that was never made; not what is younger than a day, or none of ours."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    there = await a_job(world, JobState.COMPLETED)
    names = {name: place(folder, world.store.ids.next()) for name in ("never", "young")}
    names |= {"there": place(folder, there), "other": folder / "notes.txt"}
    for name, path in names.items():
        path.write_bytes(b"RIFF")
        if name != "young":
            os.utime(path, (1, 1))
    retention = Retention(world.store, {"acme": Keep.read("1d")}, recordings=folder)
    await retention.once()
    assert sorted(folder.iterdir()) == sorted(path for name, path in names.items() if name != "never")
    world.clock.ms += 2 * DAY_MS
    await retention.once()
    assert sorted(folder.iterdir()) == sorted([names["young"], names["other"]])


async def test_a_recording_that_cannot_be_removed_holds_up_nothing(world: World, tmp_path: Path) -> None:
    """A folder where a file should be stays and is told; a link that leads nowhere goes, and so do the files behind."""
    folder = tmp_path / "recordings"
    odd, broken, usual = (place(folder, world.store.ids.next()) for _ in range(3))
    odd.mkdir(parents=True)
    broken.symlink_to(tmp_path / "nowhere")
    usual.write_bytes(b"RIFF")
    for path in (odd, broken, usual):
        os.utime(path, (1, 1), follow_symlinks=False)
    with capture_logs() as logged:
        await Retention(world.store, {}, recordings=folder).once()
    assert [*folder.iterdir()] == [odd]
    assert [line["event"] for line in logged] == ["recording.not_removed"]
