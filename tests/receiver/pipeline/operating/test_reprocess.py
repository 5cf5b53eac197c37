"""Reprocess: a normalizer that was wrong, put right over what is stored; only what changed is written and delivered."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kept import ROUTES, notice, result
from offload_fakes import Child
from pipeline_fakes import World, world

from receiver.contract.errors import Conflict, NotFound, Unreadable, UsageError
from receiver.contract.model import Call, Progress, Result
from receiver.pipeline.operating.reprocess import Meant, Redone, Reprocess, Summary
from receiver.store.ids import RECEIPT, encode
from receiver.testing.store import DAY_MS


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[World]:
    """Give a world with two sinks."""
    async with world(tmp_path, ROUTES) as made:
        yield made


def verb(one: World, step: int = 2) -> Reprocess:
    """Return the verb on a world."""
    return Reprocess(one.store, one.normalize, ROUTES, step=step)


async def again(one: World, *, write: bool = True, deliver: tuple[str, ...] = (), **meant: Any) -> list[Redone]:
    """Read receipts of a world again."""
    return [redone async for redone in verb(one).run(Meant(**meant), write=write, deliver=deliver)]


def now_says(one: World, number: int, *said: Any) -> None:
    """Let the provider say something else of a receipt."""
    ((body,),) = one.sql("SELECT body FROM receipts WHERE id = ?", number)
    one.acme.said[body] = said[0] if isinstance(said[0], BaseException) else said


def about(said: Result, **call: Any) -> Result:
    """Return a result about a call."""
    return msgspec.structs.replace(said, call=Call(**call))


def kept_rows(one: World) -> list[Any]:
    """Return everything that reprocessing could change."""
    tables = ("receipts", "calls", "transcripts", "versions", "events", "deliveries")
    return [one.sql(f"SELECT * FROM {table} ORDER BY rowid") for table in tables]


async def test_what_was_unreadable_is_read(one: World) -> None:
    """It becomes what it would have been, and its event is told to nobody unless a sink is named."""
    number = await one.say(Unreadable("member is missing"))
    now_says(one, number, result("1", "CA1"))
    before = kept_rows(one)
    (shown,) = await again(one, write=False)
    assert kept_rows(one) == before
    (done,) = await again(one)
    assert (shown.result, done.result, done.reason) == ("readable", "readable", "member is missing")
    assert one.states() == [("normalized", None)]
    assert one.types() == ["ops.receipt_unreadable", "transcript.completed"]
    assert [change.version for change in done.changes] == [1]
    assert one.sql("SELECT count(*) FROM deliveries") == [(2,)]
    assert [redone.result for redone in await again(one)] == ["unchanged"]


async def test_a_new_version_keeps_the_ids(one: World) -> None:
    """Transcript and call stay, the version counts on, the normalizer stands in it, the named sink is told."""
    number = await one.say(result("1", "CA1", text="wrong"))
    ((trn, call),) = one.sql("SELECT id, call_id FROM transcripts")
    now_says(one, number, result("1", "CA1", text="right"))
    type(one.acme).normalizer = "acme/2"
    try:
        (done,) = await again(one, deliver=("team",))
    finally:
        type(one.acme).normalizer = "acme/1"
    assert (done.result, done.deliveries) == ("changed", 1)
    assert one.sql("SELECT id, call_id, version FROM transcripts") == [(trn, call, 2)]
    assert one.sql("SELECT version, receipt_id, normalizer, doc ->> '$.text', doc ->> '$.provenance.normalizer'"
                   " FROM versions") == [(1, number, "acme/1", "wrong", "acme/1"), (2, number, "acme/2", "right", "acme/2")]  # fmt: skip
    assert one.types() == ["transcript.completed", "transcript.updated"]
    assert one.sql("SELECT sink FROM deliveries ORDER BY id") == [("archive",), ("team",), ("team",)]


async def test_a_normalizer_may_take_words_back(one: World) -> None:
    """The current receipt's words are replaced also where they only become fewer; a poorer copy would not do that."""
    number = await one.say(result("1", language="en", metadata={"wrong": "1"}))
    now_says(one, number, result("1"))
    (done,) = await again(one)
    assert done.result == "changed"
    assert one.sql("SELECT doc ->> '$.language' FROM versions ORDER BY version") == [("en",), (None,)]


async def test_the_same_words_make_no_version(one: World) -> None:
    """Another version of the normalizer, another digest, volatile members: all that is no difference."""
    await one.say(result("1", "CA1", metadata={"url": "a"}, volatile=frozenset({"url"})))
    two = await one.say(result("2", metadata={"empty": ""}))
    await one.say(notice("tested"))
    now_says(one, two, result("2"))
    ((first,),) = one.sql("SELECT id FROM receipts ORDER BY id LIMIT 1")
    now_says(one, first, result("1", "CA1", metadata={"url": "b"}, volatile=frozenset({"url"})))
    before = kept_rows(one)
    type(one.acme).normalizer = "acme/2"
    try:
        assert {redone.result for redone in await again(one, deliver=("archive",))} == {"unchanged"}
    finally:
        type(one.acme).normalizer = "acme/1"
    assert kept_rows(one) == before


async def test_an_old_receipt_does_not_supersede(one: World) -> None:
    """Only the newest receipt of a transcript counts; an older one that can be read now is evidence."""
    first = await one.say(result("1", text="one"))
    lost = await one.say(Unreadable("no"))
    await one.say(result("1", text="two"))
    now_says(one, first, result("1", text="one, read better"))
    now_says(one, lost, result("1", text="between"))
    assert [redone.result for redone in await again(one)] == ["unchanged", "readable", "unchanged"]
    assert one.sql("SELECT version FROM transcripts") == [(2,)]
    assert one.sql("SELECT outcome ->> '$[0].as' FROM receipts") == [("new",), ("older",), ("version",)]


async def test_a_later_copy_goes_by_the_usual_rules(one: World) -> None:
    """Two copies of one result, both read wrong: the first is corrected, the second is the same again."""
    numbers = [await one.say(result("1", text="wrong")), await one.say(result("1", text="wrong"))]
    for number in numbers:
        now_says(one, number, result("1", text="right"))
    assert [redone.result for redone in await again(one, write=False)] == ["changed", "unchanged"]
    assert [redone.result for redone in await again(one)] == ["changed", "unchanged"]
    assert one.sql("SELECT version FROM transcripts") == [(2,)]


async def test_a_dry_run_knows_what_it_would_have_written(one: World) -> None:
    """Also over the bounds of its steps: the copies of one result make one version."""
    numbers = [await one.say(Unreadable("no")) for _ in range(5)]
    for number in numbers:
        now_says(one, number, result("1", text="right"))
    shown = await again(one, write=False)
    assert [len(redone.changes) for redone in shown] == [1, 0, 0, 0, 0]
    assert [len(redone.changes) for redone in await again(one)] == [1, 0, 0, 0, 0]


async def test_failed_and_then_completed_is_completed(one: World) -> None:
    """As when a result comes."""
    number = await one.say(result("1", status="failed", text=None))
    now_says(one, number, result("1"))
    (done,) = await again(one)
    assert [change.event for change in done.changes] == ["transcript.completed"]


async def test_events_are_made_where_they_say_something_else(one: World) -> None:
    """A notice that says the same keeps its event; one that was not read, or was read wrong, makes one."""
    await one.say(notice("tested"))
    wrong = await one.say(notice("wrong"), notice("tested"))
    now_says(one, wrong, notice("right"), notice("tested"))
    assert [redone.result for redone in await again(one)] == ["unchanged", "changed"]
    assert one.types() == ["acme.tested", "acme.wrong", "acme.tested", "acme.right"]
    assert [redone.result for redone in await again(one)] == ["unchanged", "unchanged"]


async def test_what_cannot_be_read_any_more_stays(one: World) -> None:
    """A handler that became worse takes nothing back; a new reason is written down."""
    good = await one.say(result("1"))
    bad = await one.say(Unreadable("old reason"))
    now_says(one, good, Unreadable("today's fault"))
    now_says(one, bad, Unreadable("new reason"))
    done = await again(one)
    assert [(redone.result, redone.reason) for redone in done] == [
        ("worse", "today's fault"),
        ("unreadable", "new reason"),
    ]
    assert one.states() == [("normalized", None), ("unreadable", "new reason")]
    assert one.types().count("ops.receipt_unreadable") == 1


async def test_what_cannot_be_written_is_unreadable(one: World) -> None:
    """One outcome that no row can hold spoils nobody else's."""
    numbers = [await one.say(result(job)) for job in "12"]
    now_says(one, numbers[0], result("1", text="\ud800"))
    now_says(one, numbers[1], result("2", text="right"))
    assert [redone.result for redone in await again(one)] == ["worse", "changed"]


async def test_progress_and_two_results_of_one_name(one: World) -> None:
    """The job's progress changes nothing; of two results with one name the last counts, however often it is read."""
    await one.say(Progress(job_id="1", status="running"))
    await one.say(result("2", text="a"), result("2", text="b"))
    assert {redone.result for redone in await again(one)} == {"unchanged"}


async def test_a_call_that_is_named_now(one: World) -> None:
    """The transcript's call keeps its id and takes the name."""
    number = await one.say(result("1"))
    before = one.sql("SELECT call_id FROM transcripts")
    now_says(one, number, about(result("1"), external_id="CA9", direction="inbound"))
    await again(one)
    assert one.sql("SELECT call_id FROM transcripts") == before
    assert one.sql("SELECT key FROM calls") == [("acme:CA9",)]


async def test_filters(one: World) -> None:
    """Source, provider, state, time and ids; what waits to be normalized is left alone."""
    first = await one.say(result("1"))
    await one.say(Unreadable("no"))
    one.clock.ms += DAY_MS
    await one.say(result("2"), source="gone")
    waiting = await one.keep(result("3"))
    finds: list[tuple[dict[str, Any], int]] = [
        ({}, 3),
        ({"source": "acme"}, 2),
        ({"provider": "acme"}, 3),
        ({"provider": "none"}, 0),
        ({"state": "unreadable"}, 2),
        ({"state": "normalized"}, 1),
        ({"since": "2024-10-05"}, 1),
        ({"until": "2024-10-05"}, 2),
        ({"ids": (encode(RECEIPT, first),) * 2}, 1),
    ]
    for meant, count in finds:
        assert len(await again(one, write=False, **meant)) == count, meant
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"state": "received"}, UsageError, "state: expected one of normalized, unreadable"),
        ({"since": "x"}, UsageError, "since: expected a time"),
        ({"ids": ("rcp_0000000000000",)}, NotFound, "there is no rcp_0000000000000"),
        ({"ids": (encode(RECEIPT, waiting),)}, UsageError, "is received: it is about to be normalized"),
        ({"ids": (encode(RECEIPT, first),), "source": "acme"}, UsageError, "ids: they stand alone"),
    ]
    for meant, error, told in wrong:
        with pytest.raises(error, match=told):
            await again(one, **meant)
    with pytest.raises(NotFound, match="no sink has the name 'none'; configured are archive, team"):
        await again(one, deliver=("none",))


async def test_a_bug_over_many_receipts(one: World) -> None:
    """Only what it touched is written and delivered, each once, however often the command runs."""
    numbers = [await one.keep(result(str(job), text="x" if job % 3 else "wrong")) for job in range(300)]
    await one.settle()
    for job in range(0, 300, 3):
        now_says(one, numbers[job], result(str(job), text="right"))
    summary = Summary(written=True)
    for redone in await again(one, deliver=("archive",)):
        summary.add(redone)
    assert (summary.receipts, summary.changed, summary.unchanged) == (300, 100, 200)
    assert (summary.versions, summary.events, summary.deliveries) == (100, 100, 100)
    assert {redone.result for redone in await again(one, deliver=("archive",))} == {"unchanged"}
    told = "SELECT count(*) FROM deliveries AS d JOIN events AS e ON e.id = d.event_id WHERE e.type LIKE '%updated'"
    assert one.sql(told) == [(100,)]


async def test_two_commands_at_once(one: World) -> None:
    """Each version and each event is made once; who comes second plans again."""
    numbers = [await one.keep(notice("wrong") if job % 2 else result(str(job), text="wrong")) for job in range(40)]
    await one.settle()
    for job, number in enumerate(numbers):
        now_says(one, number, notice("right") if job % 2 else result(str(job), text="right"))
    await asyncio.gather(*(again(one) for _ in range(3)))
    assert one.sql("SELECT DISTINCT version FROM transcripts") == [(2,)]
    assert sorted(one.types()[40:]) == ["acme.right"] * 20 + ["transcript.updated"] * 20


async def test_beside_a_worker_that_writes_the_same(one: World) -> None:
    """Results that come while old ones are read again: nobody's version is lost, and the newest receipt is current."""
    numbers = [await one.keep(result(str(job), "CA", text="wrong")) for job in range(60)]
    await one.settle()
    for job, number in enumerate(numbers):
        now_says(one, number, about(result(str(job), text="right"), external_id="CA", agent_id=str(job)))
    for job in range(60):
        await one.keep(result(str(job), "CA", text="newer"))
    late = asyncio.create_task(again(one, until="2024-10-09"))
    await asyncio.gather(late, one.settle())
    assert one.sql("SELECT count(*) FROM claims") == [(0,)]
    assert {state for state, _ in one.states()} == {"normalized"}
    newest = one.sql("SELECT v.doc ->> '$.text' FROM transcripts AS t JOIN versions AS v"
                     " ON v.transcript_id = t.id AND v.version = t.version")  # fmt: skip
    assert newest == [("newer",)] * 60
    assert one.sql("SELECT count(*) FROM calls") == [(1,)]


async def test_a_version_written_in_between_stands(one: World) -> None:
    """A newer receipt is normalized between reading and writing: the old one is planned again, and gives way."""
    number = await one.say(result("1", text="wrong"))
    now_says(one, number, result("1", text="right"))
    await one.keep(result("1", text="newer"))
    write = one.store.write

    async def meanwhile(*args: Any, **options: Any) -> None:
        one.store.write = write  # type: ignore[method-assign]
        await one.settle()
        await write(*args, **options)

    one.store.write = meanwhile  # type: ignore[method-assign]
    done = await again(one, ids=(encode(RECEIPT, number),))
    assert [redone.result for redone in done] == ["unchanged"]
    assert one.sql("SELECT doc ->> '$.text' FROM versions ORDER BY version") == [("wrong",), ("newer",)]


async def test_conflicts_without_end_are_told(one: World) -> None:
    """Somebody writes the same all the time: nothing is written, and it says so."""
    number = await one.say(result("1", text="wrong"))
    now_says(one, number, result("1", text="right"))

    async def always(*args: Any, **options: Any) -> None:
        raise Conflict

    one.store.write = always  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="others write the same all the time; try again"):
        await again(one)


async def test_large_bodies_are_read_by_the_child(one: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the process down takes only the child, and stays unreadable."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    child = Child(tmp_path)
    one.sources["acme"] = child
    body = b"fine " + b"x" * 300_000
    await one.say(Unreadable("no"), body=b"dies " + b"x" * 300_000)
    await one.say(Unreadable("no"), body=body)
    with contextlib.closing(sqlite3.connect(one.path)) as connection, connection:
        connection.execute("UPDATE receipts SET state = 'unreadable', outcome = NULL, reason = 'no'")
    assert [redone.result for redone in await again(one)] == ["unreadable", "readable"]
    assert os.getpid() not in child.asked()
