"""A sink's condition: what it does not hold for never becomes a delivery, whichever way an event comes."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from kept import kept_in, normalized, notice, result
from pipeline_fakes import world

from receiver.contract.model import Result
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.condition import Condition
from receiver.pipeline.operating.chosen import MISSING, Chosen, Move
from receiver.pipeline.operating.replay import Changed, Moved, Replay
from receiver.pipeline.operating.reprocess import Meant, Reprocess
from receiver.pipeline.outbox import Route
from receiver.store.store import Store
from receiver.testing.store import Clock

ALL = Route(sink="all", events=("*",), sources=("*",))


def route(where: str, sink: str = "some") -> Route:
    """Return a route with a condition."""
    render = Renderer("https://calls.example.com", None, "com.x")
    return Route(sink=sink, events=("*",), sources=("*",), where=Condition(where, render))


def a_result(text: str | None, **changes: str) -> Result:
    """Return a transcript that says something."""
    made = Result(kind="transcript", operation="transcription", job_id="1", text=text)
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", Clock()) as made:
        yield made


@pytest.mark.parametrize(
    ("where", "sent"),
    [
        ("data.text == 'refund'", ["transcript.completed"]),
        ("type == 'com.x.acme.said'", ["acme.said"]),
        (
            "source == 'https://calls.example.com/sources/acme'",
            ["transcript.completed", "transcript.updated", "acme.said"],
        ),
        ("data.version > `1`", ["transcript.updated"]),
        ("data.body.name", ["acme.said"]),
        ("data.nothing", []),
        ("`[]`", []),
    ],
)
async def test_only_events_for_which_it_holds_are_deliveries(tmp_path: Path, where: str, sent: list[str]) -> None:
    """The condition sees the CloudEvent as the sink would; other sinks get what they get."""
    async with world(tmp_path, [ALL, route(where)], "com.x") as one:
        await one.say(a_result("refund"))
        await one.say(a_result("thanks"))
        await one.say(notice("said"))
        rows = one.sql("SELECT d.sink, e.type FROM deliveries AS d JOIN events AS e ON e.id = d.event_id ORDER BY d.id")
    assert [kind for sink, kind in rows if sink == "some"] == sent
    assert len([kind for sink, kind in rows if sink == "all"]) == 3


async def test_what_cannot_be_decided_goes_nowhere_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that a function cannot take is told without its content, and the event stays stored."""
    async with world(tmp_path, [ALL, route("contains(data.metadata.team, 'x')")]) as one:
        await one.say(msgspec.structs.replace(a_result("words"), metadata={"team": 5}))
        assert one.sql("SELECT sink FROM deliveries") == [("all",)]
        assert one.states() == [("normalized", None)]
    told = capsys.readouterr()
    assert "route.not_decided" in told.out + told.err
    assert "words" not in told.out + told.err


async def test_a_new_sink_gets_what_it_wants_of_what_it_missed(store: Store) -> None:
    """Replaying what a sink never had goes by its condition, and counts by it on a dry run too."""
    await normalized(
        store, [result("1", text="refund"), notice("said"), result("2"), result("3", text="refund")], [ALL]
    )
    replay = Replay(store, [ALL, route("data.text == 'refund'")], step=2)
    missing = Chosen(state=MISSING, sink="some")
    assert await replay.replay(missing, dry_run=True) == Changed(matched=2, changed=0)
    assert await replay.replay(missing) == Changed(matched=2, changed=2)
    assert await replay.replay(missing) == Changed(matched=0, changed=0)
    sent = await store.due("some", 10, in_order=True, max_bytes=1 << 20)
    assert [json.loads(one.data)["job_id"] for one in sent] == ["1", "3"]


async def test_a_backlog_moves_as_far_as_it_is_wanted(store: Store) -> None:
    """What the other sink does not want stays where it is."""
    await normalized(store, [result("1", text="refund"), result("2"), notice("said")], [ALL])
    replay = Replay(store, [ALL, route("data.text == 'refund'")])
    move = Move(from_="all", to="some")
    assert await replay.move(move, dry_run=True) == Moved(matched=1, stay=2)
    assert await replay.move(move) == Moved(matched=1, changed=1, stay=2)


async def test_reading_again_goes_by_it(tmp_path: Path) -> None:
    """A new version goes where it is wanted."""
    async with world(tmp_path, [ALL]) as one:
        receipt = await one.say(a_result("thanks"))
        (body,) = one.acme.said
        routes = [route("data.text == 'refund'"), route("data.text == 'thanks'", "thanks")]
        reprocess = Reprocess(one.store, one.normalize, routes)
        one.acme.said[body] = (a_result("refund"),)
        done = [found async for found in reprocess.run(Meant(), write=True, deliver=["some", "thanks"])]
        assert [(len(found.changes), found.deliveries) for found in done] == [(1, 1)]
        assert one.sql("SELECT sink FROM deliveries ORDER BY id") == [("all",), ("some",)]
        assert receipt
