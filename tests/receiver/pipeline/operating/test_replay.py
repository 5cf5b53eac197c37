"""Replay: the same event under a new delivery, old ones as history, in bounded steps, beside running work."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kept import ROUTES, kept_in, normalized, notice, result

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import DeliveryState, SinkState
from receiver.pipeline.operating.chosen import MISSING, Chosen, Move
from receiver.pipeline.operating.replay import Changed, Moved, Replay
from receiver.pipeline.outbox import Route
from receiver.store.ids import DELIVERY, EVENT, encode
from receiver.store.lists import Lists
from receiver.store.records import DueDelivery, SinkRow
from receiver.store.shapes import Shape
from receiver.store.store import Store
from receiver.testing.store import DAY_MS, MIB, Clock, a_receipt, a_tried, put_events


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", clock) as opened:
        yield opened


@pytest.fixture
def replay(store: Store) -> Replay:
    """Give the verbs, with steps of two."""
    return Replay(store, ROUTES, step=2)


async def end(store: Store, state: DeliveryState, sink: str = "archive") -> list[DueDelivery]:
    """Let everything that is due to a sink end in a state; return it."""
    due = await store.due(sink, 100, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(one.id, state, detail="410") for one in due])
    return due


async def listed(store: Store, **given: str) -> list[Shape]:
    """Return deliveries, oldest first."""
    return list((await Lists(store.engine).deliveries(given)).items)[::-1]


def found(matched: int, changed: int | None = None) -> Changed:
    """Return what a verb says, where it changed all that it found."""
    return Changed(matched=matched, changed=matched if changed is None else changed)


async def test_the_dead_are_sent_again_with_their_event_id(store: Store, replay: Replay) -> None:
    """A new delivery for the same event is due at once; the old one is history that names it."""
    await put_events(store, [None] * 5)
    dead = await end(store, DeliveryState.DEAD)
    assert await replay.replay(Chosen()) == found(5)
    again = await store.due("archive", 10, in_order=True, max_bytes=MIB)
    assert [one.event_id for one in again] == [one.event_id for one in dead]
    assert not {one.id for one in again} & {one.id for one in dead}
    assert [one.attempts for one in again] == [0] * 5
    history = await listed(store, state="discarded")
    assert [one["detail"] for one in history] == [f"replayed as {encode(DELIVERY, one.id)}" for one in again]
    assert history[0]["attempts"] == 1


async def test_a_second_replay_finds_nothing(store: Store, replay: Replay) -> None:
    """What is on its way is not doubled, however often it is asked for."""
    await put_events(store, [None] * 3)
    await end(store, DeliveryState.DEAD)
    assert await replay.replay(Chosen()) == found(3)
    assert await replay.replay(Chosen()) == found(0)
    assert await replay.replay(Chosen(state="discarded")) == found(0)
    assert len(await listed(store)) == 6


async def test_two_replays_at_once_send_once(store: Store, replay: Replay) -> None:
    """Two operators, or a double click."""
    await put_events(store, [None] * 9)
    await end(store, DeliveryState.DELIVERED)
    both = await asyncio.gather(*(replay.replay(Chosen(state="delivered")) for _ in range(2)))
    assert sum(one.changed for one in both) == 9
    assert len(await listed(store, state="pending")) == 9


async def test_only_the_newest_delivery_counts(store: Store, replay: Replay) -> None:
    """An event that arrived on its second way is not sent again for the first, dead one."""
    await put_events(store, [None])
    await end(store, DeliveryState.DELIVERED)
    await replay.replay(Chosen(state="delivered"))
    await end(store, DeliveryState.DEAD)
    assert await replay.replay(Chosen(state="delivered"), dry_run=True) == found(0)
    assert await replay.replay(Chosen(), dry_run=True) == found(1, 0)


async def test_a_dry_run_counts_and_changes_nothing(store: Store, replay: Replay) -> None:
    """The same number that would be found."""
    await put_events(store, [None] * 5)
    await end(store, DeliveryState.DEAD)
    before = await listed(store)
    assert await replay.replay(Chosen(), dry_run=True) == found(5, 0)
    assert await replay.discard(Chosen(), dry_run=True) == found(5, 0)
    assert await listed(store) == before


async def test_a_call_keeps_its_order(store: Store, replay: Replay) -> None:
    """Replayed events of a call go out one after the other, as they once did, behind what waits already."""
    await put_events(store, [1, 1, 1])
    due = await store.due("archive", 10, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(one.id, DeliveryState.DELIVERED) for one in due])
    (waiting,) = await put_events(store, [1])
    await replay.replay(Chosen(state="delivered"))
    order = []
    for _ in range(4):
        (one,) = await store.due("archive", 10, in_order=True, max_bytes=MIB)
        order.append(one)
        await store.tried([a_tried(one.id, DeliveryState.DELIVERED)])
    assert order[0].id == waiting
    assert [one.event_id for one in order[1:]] == [one.event_id for one in due]


async def test_filters_narrow(store: Store, clock: Clock, replay: Replay) -> None:
    """Sink, source, event, type and time, alone and together."""
    await normalized(store, [result("1"), notice("tested")])
    clock.ms += DAY_MS
    await normalized(store, [result("2")], source="other")
    for sink in ("archive", "team"):
        await end(store, DeliveryState.DEAD, sink)
    event = (await listed(store))[0]["event_id"]
    for chosen, count in (
        (Chosen(), 4),
        (Chosen(sink="team"), 1),
        (Chosen(source="other"), 1),
        (Chosen(type="transcript.*"), 3),
        (Chosen(type="acme.tested"), 1),
        (Chosen(type="none.*"), 0),
        (Chosen(event=event), 2),
        (Chosen(since="2024-10-05"), 1),
        (Chosen(until="2024-10-05"), 3),
        (Chosen(sink="archive", type="transcript.*", until="2024-10-05"), 1),
        (Chosen(state="discarded"), 0),
    ):
        assert await replay.replay(chosen, dry_run=True) == found(count, 0), chosen


async def test_deliveries_by_id(store: Store, replay: Replay) -> None:
    """Each once, whatever became of it; nothing happens where one of them is unknown."""
    made = [encode(DELIVERY, number) for number in await put_events(store, [None] * 3)]
    await end(store, DeliveryState.DELIVERED)
    with pytest.raises(NotFound, match="dlv_0000000000000"):
        await replay.replay_deliveries([made[0], "dlv_0000000000000"])
    assert await replay.replay_deliveries([made[0], made[0], made[2]]) == found(2)
    assert await replay.replay_deliveries([made[0]]) == found(1, 0)
    assert await replay.discard_deliveries([]) == found(0)


async def test_states_that_do_not_fit_are_refused(store: Store, replay: Replay) -> None:
    """What waits is sent anyway; what arrived cannot be given up; the message says how it is."""
    waiting, arrived = [encode(DELIVERY, number) for number in await put_events(store, [None, None])]
    due = await store.due("archive", 10, in_order=False, max_bytes=MIB)
    with pytest.raises(UsageError, match=f"{waiting} is in_flight; expected one that is dead or pending"):
        await replay.discard_deliveries([waiting])
    await store.tried([
        a_tried(due[0].id, DeliveryState.PENDING, next_at=1),
        a_tried(due[1].id, DeliveryState.DELIVERED),
    ])  # fmt: skip
    with pytest.raises(UsageError, match="is pending; expected one that is dead or discarded or delivered"):
        await replay.replay_deliveries([waiting])
    with pytest.raises(UsageError, match="is delivered"):
        await replay.discard_deliveries([arrived])


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (Chosen(state="pending"), "state: expected one of dead, discarded, delivered, missing"),
        (Chosen(state="x' OR 1"), "state: "),
        (Chosen(sink="none"), "no sink has the name 'none'; configured are archive, team"),
        (Chosen(since="x"), "since: expected a time"),
        (Chosen(event="x"), "event: "),
        (Chosen(state=MISSING), "sink: state missing asks"),
    ],
)
async def test_wrong_filters_are_refused(replay: Replay, chosen: Chosen, told: str) -> None:
    """By the name of what is wrong."""
    with pytest.raises(UsageError, match=told):
        await replay.replay(chosen)


async def test_discarding(store: Store, replay: Replay) -> None:
    """Dead by default, waiting where asked; a held call goes on; it can be replayed."""
    first, second = await put_events(store, [1, 1])
    assert await replay.discard(Chosen()) == found(0)
    assert await replay.discard_deliveries([encode(DELIVERY, first)]) == found(1)
    assert [one.id for one in await store.due("archive", 5, in_order=True, max_bytes=MIB)] == [second]
    await put_events(store, [None] * 3, sink="gone")
    assert await replay.discard(Chosen(state="pending", sink="gone")) == found(3)
    assert {one["detail"] for one in await listed(store, state="discarded")} == {"discarded by an operator"}
    assert await replay.replay(Chosen(state="discarded")) == found(1)
    with pytest.raises(UsageError, match="state: expected one of dead, pending"):
        await replay.discard(Chosen(state="delivered"))


async def test_sinks_that_are_gone_get_nothing(store: Store, replay: Replay) -> None:
    """What was for a sink that is configured no more stays as it is."""
    (made,) = await put_events(store, [None], sink="gone")
    await end(store, DeliveryState.DEAD, "gone")
    assert await replay.replay(Chosen()) == found(0)
    with pytest.raises(NotFound, match="no sink has the name 'gone'"):
        await replay.replay_deliveries([encode(DELIVERY, made)])


async def test_an_event_again(store: Store, replay: Replay) -> None:
    """To where it went, or to one sink that never had it."""
    await normalized(store, [notice("tested")])
    event = (await listed(store))[0]["event_id"]
    assert await replay.replay_event(event) == found(1, 0)
    await end(store, DeliveryState.DELIVERED)
    assert await replay.replay_event(event) == found(1)
    assert await replay.replay_event(event, "team") == found(1)
    assert [one["sink"] for one in await listed(store, event=event)] == ["archive", "archive", "team"]
    for name in (encode(EVENT, 1), "garbage"):
        with pytest.raises(NotFound, match=name):
            await replay.replay_event(name)
    with pytest.raises(NotFound, match="no sink"):
        await replay.replay_event(event, "none")


async def test_a_new_sink_gets_what_it_missed(store: Store) -> None:
    """Events that it takes and never had, oldest first, and none about sinks."""
    await normalized(store, [result("1"), notice("tested"), result("2")], ROUTES[:1])
    await normalized(store, [result("3")], ROUTES[:1], source="other")
    routes = [*ROUTES[:1], Route(sink="new", events=("com.x.transcript.*", "ops.*"), sources=("ac*",))]
    replay = Replay(store, routes, prefix="com.x", step=1)
    missing = Chosen(state=MISSING, sink="new")
    assert await replay.replay(missing, dry_run=True) == found(2, 0)
    assert await replay.replay(missing) == found(2)
    assert await replay.replay(missing) == found(0)
    sent = await store.due("new", 10, in_order=True, max_bytes=MIB)
    assert [(one.type, one.source) for one in sent] == [("transcript.completed", "acme")] * 2
    assert sent[0].event_id < sent[1].event_id
    assert await replay.replay(Chosen(state=MISSING, sink="archive")) == found(0)


OLD = [Route(sink="old", events=("*",), sources=("*",))]
TO_ARCHIVE = Move(from_="old", to="archive")


async def test_a_backlog_moves_and_stands_before_what_came_since(store: Store, replay: Replay) -> None:
    """Deliveries keep their ids, so that the order within a call holds; they start as if never tried."""
    await normalized(store, [result(str(number), "call") for number in range(3)], OLD)
    (first,) = await store.due("old", 1, in_order=True, max_bytes=MIB)
    await store.tried([a_tried(first.id, DeliveryState.PENDING, next_at=store.now_ms() + DAY_MS, outcome="failed")])
    before = [one["id"] for one in await listed(store, sink="old")]
    await normalized(store, [result("3", "call")], ROUTES[:1])
    assert await replay.move(TO_ARCHIVE, dry_run=True) == Moved(matched=3)
    assert await replay.move(TO_ARCHIVE) == Moved(matched=3, changed=3)
    assert await replay.move(TO_ARCHIVE) == Moved()
    there = await listed(store, sink="archive")
    assert [one["id"] for one in there][:3] == before
    assert {(one["state"], one["attempts"]) for one in there} == {("pending", 0)}
    assert [one["detail"] for one in there] == ["moved from old"] * 3 + [None]
    for one in there:
        (due,) = await store.due("archive", 9, in_order=True, max_bytes=MIB)
        assert encode(DELIVERY, due.id) == one["id"]
        await store.tried([a_tried(due.id, DeliveryState.DELIVERED)])


async def test_a_move_doubles_nothing(store: Store, replay: Replay) -> None:
    """What the other sink has, in whatever state, is discarded at the old one; the dead move only where it is said."""
    await normalized(store, [notice(str(number)) for number in range(4)], OLD)
    dead = (await store.due("old", 1, in_order=False, max_bytes=MIB))[0]
    await store.tried([a_tried(dead.id, DeliveryState.DEAD)])
    events = [one["event_id"] for one in await listed(store, sink="old")]
    await replay.replay_event(events[1], "archive")
    await end(store, DeliveryState.DELIVERED)
    assert await replay.move(TO_ARCHIVE) == Moved(matched=3, changed=2, doubled=1)
    assert [one["detail"] for one in await listed(store, sink="old", state="discarded")] == [
        "archive has its event already"
    ]
    assert await replay.move(Move(from_="old", to="archive", dead=True)) == Moved(matched=1, changed=1)
    assert sorted(one["event_id"] for one in await listed(store, sink="archive")) == sorted(events)


async def test_a_sink_gets_only_what_it_takes(store: Store, replay: Replay) -> None:
    """The rest stays where it is; what is under way is left alone, and the filter narrows."""
    await normalized(store, [result("1"), notice("tested"), result("2")], OLD)
    await normalized(store, [result("3")], OLD, source="other")
    assert await replay.move(Move(from_="old", to="team", type="acme.*")) == Moved(stay=1)
    assert await replay.move(Move(from_="old", to="team")) == Moved(matched=2, changed=2, stay=2)
    assert len(await store.due("old", 9, in_order=False, max_bytes=MIB)) == 2
    assert await replay.move(TO_ARCHIVE) == Moved()


async def test_a_move_needs_a_sink_that_is_there(store: Store, replay: Replay) -> None:
    """And another one."""
    with pytest.raises(NotFound, match="no sink has the name 'none'; configured are archive, team"):
        await replay.move(Move(from_="old", to="none"))
    with pytest.raises(UsageError, match="to: it is the sink"):
        await replay.move(Move(from_="team", to="team"))
    assert await store.due("old", 9, in_order=False, max_bytes=MIB) == []


async def test_what_was_moved_just_now_is_not_started(store: Store, replay: Replay) -> None:
    """A runner that looked before the move, and wants to start after it, gets nothing."""
    await normalized(store, [notice("1")], OLD)
    asked = {"sink": "old", "now": 1 << 60, "limit": 9, "inline": 1}
    seen = [row.id for row in store.engine.unpacked(await store.engine.rows("due_deliveries", asked))]
    assert len(seen) == 1
    await replay.move(TO_ARCHIVE)
    start = {"ids": seen, "worker": store.start, "sink": "old", "now": store.now_ms()}
    assert await store.engine.write("start_deliveries", start) == 0


async def test_the_backlog_of_a_sink_that_is_gone_is_discarded(store: Store, replay: Replay) -> None:
    """It need not be configured to be settled."""
    await normalized(store, [notice("1"), notice("2")], OLD)
    assert await replay.discard(Chosen(state="pending", sink="old")) == found(2)
    assert await listed(store, sink="old", state="pending") == []


async def test_receiving_goes_on_between_the_steps(store: Store) -> None:
    """A long replay lets others write between any two of its steps."""
    await put_events(store, [None] * 400)
    await end(store, DeliveryState.DELIVERED)
    while await end(store, DeliveryState.DELIVERED):
        pass
    replaying = asyncio.create_task(Replay(store, ROUTES, step=5).replay(Chosen(state="delivered")))
    kept = 0
    while not replaying.done():
        await store.keep([a_receipt(store, b"%d" % kept)])
        kept += 1
    assert await replaying == found(400)
    assert kept >= 40


async def test_sinks_pause_and_resume(store: Store, replay: Replay) -> None:
    """What an operator said is remembered; resuming forgets what had failed."""
    await store.put_sink(SinkRow(name="archive", state=SinkState.TRIPPED, failures=5, reason="503", probe_at=7))
    await replay.pause("archive")
    assert (await store.sinks())["archive"].state == SinkState.PAUSED
    await replay.resume("archive")
    row = (await store.sinks())["archive"]
    assert (row.state, row.failures, row.reason, row.probe_at) == (SinkState.RUNNING, 0, None, 0)
    for verb in (replay.pause, replay.resume):
        with pytest.raises(NotFound, match="no sink has the name 'none'"):
            await verb("none")
