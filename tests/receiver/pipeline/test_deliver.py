"""Each sink's runner: what is due goes out, what fails comes again, and no sink hurts another."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pipeline_fakes import PATIENCE, Fake, World, until, world
from structlog.testing import capture_logs

from receiver.contract.errors import HookscribeError, StoreUnavailable
from receiver.contract.model import SinkState
from receiver.contract.sink import Delivered, NotReady, Rejected, TryLater
from receiver.pipeline import breaker, claims, deliver
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.deliver import Runner
from receiver.pipeline.outbox import Route
from receiver.store.ids import CALL, DELIVERY, EVENT, decode, encode
from receiver.store.records import DueDelivery, SinkRow, Tried
from receiver.store.store import Store
from receiver.testing.rows import put_events
from receiver.testing.store import NOON


class Going:
    """A world with runners that a test starts and stops."""

    def __init__(self, one: World) -> None:
        self.world = one
        self.store = one.store
        self.runners: list[Runner] = []
        self.tasks: list[asyncio.Task[None]] = []

    def add(self, sink: Fake, store: Store | None = None, render: Any = None) -> Runner:
        """Start a runner for a sink."""
        runner = Runner(
            sink,
            store or self.store,
            self.world.outbox,
            render=render or Renderer("https://calls.example.com", None, ""),
            dice=lambda: 0.5,
            now=self.world.clock,
        )
        self.runners.append(runner)
        self.tasks.append(asyncio.create_task(runner.run()))
        return runner

    async def put(self, *calls: int | None, sink: str = "archive") -> list[int]:
        """Write an event for each call id and wake everybody."""
        made = await put_events(self.store, calls, sink)
        self.wake()
        return made

    def wake(self) -> None:
        """Tell everybody that there may be something to do."""
        for runner in self.runners:
            runner.wake()

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.ms += int(seconds * 1000)
        self.wake()

    def rows(self, columns: str = f"state, attempts, next_at - {NOON}") -> list[tuple[Any, ...]]:
        """Return every delivery to the archive."""
        return self.world.sql(f"SELECT {columns} FROM deliveries WHERE sink = 'archive' ORDER BY id")

    def states(self) -> list[str]:
        """Return the state of every delivery to the archive."""
        return [row[0] for row in self.rows("state")]

    def events(self) -> list[tuple[Any, ...]]:
        """Return type and data of every event of ours."""
        return self.world.sql("SELECT type, data FROM events WHERE type LIKE 'ops.%' ORDER BY seq")

    async def settled(self, *states: str) -> None:
        """Wait until the deliveries have these states."""
        await until(lambda: self.states() == [*states], f"{states}, but {self.states()}")

    async def stop(self, grace: float = PATIENCE) -> None:
        """Stop everybody."""
        await asyncio.gather(*(runner.stop(grace) for runner in self.runners))
        await asyncio.gather(*self.tasks)


@pytest.fixture
async def going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Going]:
    """Give a world with a sink called archive, and one called other that takes events of ours."""
    monkeypatch.setattr(deliver, "_POLL", 0.02)
    monkeypatch.setattr(breaker, "_LOOK", 0.02)
    routes = [Route(sink=name, events=("ops.*",), sources=("*",)) for name in ("archive", "other")]
    async with world(tmp_path, routes) as one:
        made = Going(one)
        try:
            yield made
        finally:
            for task in made.tasks:
                task.cancel()
            await asyncio.gather(*made.tasks, return_exceptions=True)


def says(*answers: Any) -> Callable[[Sequence[Any]], Any]:
    """Answer a batch with each of these in turn, then Delivered."""
    left = list(answers)

    def answer(deliveries: Sequence[Any]) -> Any:
        said = left.pop(0) if left else Delivered()
        return [said] * len(deliveries) if isinstance(said, Delivered | Rejected | TryLater) else said

    return answer


# One delivery


async def test_an_event_is_delivered_once(going: Going) -> None:
    """It goes out under its id with attempt 1, whole; the attempt is written down, and nothing follows."""
    sink = Fake()
    going.add(sink)
    (number,) = await going.put(7)
    await going.settled("delivered")
    (one,) = sink.sent[0]
    ((event_id,),) = going.rows("event_id")
    assert (one.id, one.sink, one.attempt) == (encode(DELIVERY, number), "archive", 1)
    assert one.event.id == encode(EVENT, event_id)
    assert (one.event.call_id, one.event.data, one.event.type) == (encode(CALL, 7), b"{}", "acme.said")
    assert one.event.source == "https://calls.example.com/sources/acme"
    assert going.world.sql("SELECT delivery_id, number, started_at, outcome, detail FROM attempts") == [
        (number, 1, NOON, "delivered", None)
    ]
    await going.stop()
    assert (len(sink.sent), sink.opened, sink.closed) == (1, 1, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (TryLater(reason="not now"), "not now"),
        (TryLater(reason="lone \ud800 surrogate"), "lone ? surrogate"),
        (TryLater(reason="x" * 5000), "x" * 500),
        (TryLater(reason=5), "the sink did not answer 1 deliveries with as many outcomes"),  # type: ignore[arg-type]
        (TryLater(reason="x", after="5"), "the sink did not answer 1 deliveries with as many outcomes"),  # type: ignore[arg-type]
        (Delivered(detail=5), "the sink did not answer 1 deliveries with as many outcomes"),  # type: ignore[arg-type]
        ([Delivered(), Delivered()], "the sink did not answer 1 deliveries with as many outcomes"),
        ([], "the sink did not answer 1 deliveries with as many outcomes"),
        ([None], "the sink did not answer 1 deliveries with as many outcomes"),
        (None, "the sink raised TypeError"),
        (RuntimeError("words of a call"), "the sink raised RuntimeError"),
        (NotReady("no connection to the room"), "no connection to the room"),
        (FileNotFoundError(2, "the directory does not exist", "/no"), "/no: the directory does not exist"),
        (ConnectionResetError(104, "words of a call"), "the sink raised ConnectionResetError"),
        (HookscribeError("what we say ourselves"), "what we say ourselves"),
        (TimeoutError(), "took longer than 10 s"),
        (asyncio.CancelledError(), "the sink raised CancelledError"),
    ],
)
async def test_whatever_a_sink_does_is_tried_later(going: Going, answer: Any, reason: str) -> None:
    """A failure of any kind uses one attempt and comes again after the scheduled wait; its reason holds no content."""
    sink = Fake()
    sink.answer = says(answer)
    going.add(sink)
    await going.put(None)
    await until(lambda: going.rows() == [("pending", 1, 5000)], "a second try after 5 s")
    assert going.rows("detail") == [(reason,)]
    assert going.world.sql("SELECT number, outcome, detail FROM attempts") == [(1, "failed", reason)]
    assert len(sink.sent) == 1
    await going.later(5)
    await going.settled("delivered")
    assert [batch[0].attempt for batch in sink.sent] == [1, 2]
    assert going.rows("attempts, detail") == [(2, None)]


async def test_a_send_that_hangs_is_cut_off(going: Going) -> None:
    """The sink's `timeout` bounds a send; what it was doing is cancelled."""
    sink = Fake(timeout=0.05)
    sink.gate = asyncio.Event()
    going.add(sink)
    await going.put(None)
    await until(lambda: going.rows("state, detail") == [("pending", "took longer than 0.05 s")])
    assert sink.under_way == 0


async def test_retry_after_is_honoured_for_the_whole_sink(going: Going) -> None:
    """The delivery waits as long as it was asked to, and meanwhile nothing else is sent there."""
    sink = Fake()
    sink.answer = says(TryLater(reason="429", after=3600.0))
    going.add(sink)
    await going.put(None, None)
    await until(lambda: going.rows()[0] == ("pending", 1, 3_600_000))
    await going.later(60)
    await asyncio.sleep(0.1)
    assert len(sink.sent) == 1


async def test_refused_for_good_is_dead_at_once_and_told(going: Going) -> None:
    """410 and its like end a delivery with the first attempt; the other sinks hear of it, the sink itself does not."""
    sink, other = Fake(), Fake("other")
    sink.answer = says(Rejected(reason="410 Gone"))
    going.add(sink)
    going.add(other)
    (number,) = await going.put(None)
    await until(lambda: other.sent, "the other sink hears of it")
    assert going.rows("state, attempts, detail") == [("dead", 1, "410 Gone")]
    ((kind, data),) = going.events()
    assert kind == "ops.delivery_dead"
    assert json.loads(data) == {
        "id": encode(DELIVERY, number),
        "sink": "archive",
        "event": encode(EVENT, going.rows("event_id")[0][0]),
        "type": "acme.said",
        "attempts": 1,
        "reason": "410 Gone",
    }
    assert other.sent[0][0].event.type == "ops.delivery_dead"
    assert len(sink.sent) == 1


async def test_after_the_last_try_a_delivery_is_dead(going: Going) -> None:
    """As many tries as the schedule has waits, each at its time."""
    sink = Fake(retry=(0, 10, 100))
    sink.answer = lambda deliveries: [TryLater(reason="no")] * len(deliveries)
    going.add(sink)
    await going.put(None)
    for attempt, wait in ((1, 10), (2, 100)):
        await until(lambda attempt=attempt: going.rows("state, attempts") == [("pending", attempt)])  # type: ignore[misc]
        assert going.rows("next_at")[0][0] == going.world.clock.ms + wait * 1000
        await going.later(wait)
    await going.settled("dead")
    assert going.rows("attempts, detail") == [(3, "no")]
    await until(lambda: [kind for kind, _ in going.events()] == ["ops.delivery_dead"])


async def test_two_sinks_that_refuse_everything_do_not_tell_each_other_for_ever(going: Going) -> None:
    """A dead `ops` event is no news."""
    sinks = [Fake(), Fake("other")]
    for sink in sinks:
        sink.answer = lambda deliveries: [Rejected(reason="no")] * len(deliveries)
        going.add(sink)
    await going.put(None)
    await until(lambda: going.world.sql("SELECT count(*) FROM deliveries WHERE state = 'dead'") == [(2,)])
    await going.stop()
    assert [kind for kind, _ in going.events()] == ["ops.delivery_dead"]


async def test_an_event_that_cannot_be_rendered_stops_nothing_else(going: Going) -> None:
    """One poisoned event fails alone; those behind it arrive."""
    render = Renderer(None, None, "")

    def poisoned(row: DueDelivery) -> Any:
        if row.call_id == 13:
            raise ValueError("words of a call")
        return render(row)

    going.add(Fake(), render=poisoned)
    await going.put(13, 1, 2)
    await going.settled("pending", "delivered", "delivered")
    assert going.rows("detail")[0] == ("the sink raised ValueError",)


# Tripping


def failing(sink: Fake) -> None:
    """Let a sink fail from now on."""
    sink.answer = lambda deliveries: [TryLater(reason="down")] * len(deliveries)


async def tripped(going: Going, sink: Fake, count: int = 20) -> Runner:
    """Return a runner whose sink tripped with a backlog."""
    failing(sink)
    runner = going.add(sink)
    await going.put(*[None] * count)
    await until(lambda: runner.health.state is SinkState.TRIPPED, "tripping")
    await until(lambda: "in_flight" not in going.states(), "giving back")
    return runner


async def test_five_failures_in_a_row_trip_a_sink_and_the_backlog_keeps_its_attempts(going: Going) -> None:
    """Five were tried, fifteen wait untouched; the state is written down, and the other sinks are told once."""
    sink = Fake()
    await tripped(going, sink)
    await until(going.events)
    assert len(sink.sent) == 5
    assert sorted(going.rows("attempts")) == [(0,)] * 15 + [(1,)] * 5
    row = (await going.store.sinks())["archive"]
    assert (row.state, row.failures, row.reason, row.probe_at) == ("tripped", 5, "down", NOON + 5000)
    ((kind, data),) = going.events()
    assert (kind, json.loads(data)) == ("ops.sink_tripped", {"sink": "archive", "reason": "down"})
    assert going.world.sql(
        "SELECT d.sink FROM deliveries AS d JOIN events AS e ON e.id = d.event_id WHERE type <> 'acme.said'"
    ) == [("other",)]


async def test_a_tripped_sink_is_probed_one_at_a_time_without_using_attempts(going: Going) -> None:
    """At each probe's time one delivery goes, another each time, and comes back with the attempts that it had."""
    sink = Fake(concurrency=8, batch=4)
    runner = await tripped(going, sink, 60)
    before, attempts = len(sink.sent), going.rows("attempts")
    for probe in range(1, 4):
        await going.later(runner.health.probe_at - going.world.clock())
        await until(lambda probe=probe: len(sink.sent) == before + probe)  # type: ignore[misc]
        await until(lambda: "in_flight" not in going.states())
        assert len(sink.sent[-1]) == 1
    assert going.rows("attempts") == attempts
    assert len({batch[0].id for batch in sink.sent[before:]}) == 3, "a poisoned delivery would hold up all"
    outcomes = going.world.sql("SELECT outcome, count(*) FROM attempts GROUP BY outcome ORDER BY outcome")
    assert outcomes[1] == ("probe", 3)


async def test_what_was_under_way_when_a_sink_tripped_does_not_put_off_its_probe(going: Going) -> None:
    """Eight sends fail at once: the first probe comes after 5 s, not after a minute."""
    sink = Fake(concurrency=8)
    sink.gate = asyncio.Event()
    failing(sink)
    runner = going.add(sink)
    await going.put(*[None] * 8)
    await until(lambda: sink.under_way == 8)
    sink.gate.set()
    await until(lambda: "in_flight" not in going.states())
    assert (runner.health.failures, runner.health.probe_at) == (5, going.world.clock() + 5)


async def test_a_refused_probe_is_dead_and_the_sink_stays_tripped(going: Going) -> None:
    """A probe that is refused for good ends that delivery alone."""
    sink = Fake()
    runner = await tripped(going, sink)
    sink.answer = lambda deliveries: [Rejected(reason="410")] * len(deliveries)
    await going.later(5)
    await until(lambda: going.states().count("dead") == 1)
    assert runner.health.state is SinkState.TRIPPED
    assert sorted(going.rows("attempts")) == [(0,)] * 14 + [(1,)] * 6


async def test_a_sink_that_is_back_ramps_up(going: Going) -> None:
    """The probe arrives, then 1, 2, 4 … at once, until everything has; the state says running again."""
    sink = Fake(concurrency=8)
    await tripped(going, sink, 80)
    sink.answer, sink.gate = says(), asyncio.Event()
    await going.later(5)
    for width in (1, 1, 2, 4, 8, 8):
        gate = sink.gate
        await until(lambda width=width: sink.under_way == width, f"{width} at once")  # type: ignore[misc]
        await asyncio.sleep(0.05)
        assert sink.under_way == width
        sink.gate = asyncio.Event()
        gate.set()
    sink.gate.set()
    sink.gate = None
    await going.later(300)
    await until(lambda: set(going.states()) == {"delivered"}, "everything arrives")
    assert sink.most_under_way == 8
    assert (await going.store.sinks())["archive"].state == "running"


async def test_a_sink_that_had_tripped_before_the_start_is_probed_and_resumes(going: Going) -> None:
    """What the store says counts on: one probe first, and "running" is written once it arrives."""
    await going.store.put_health(SinkRow(name="archive", state="tripped", failures=9, reason="down", probe_at=NOON * 2))
    sink = Fake(concurrency=8)
    sink.gate = asyncio.Event()
    await going.put(*[None] * 9)
    going.add(sink)
    await until(lambda: sink.sent)
    await asyncio.sleep(0.1)
    assert len(sink.sent) == 1
    sink.gate.set()
    await going.settled(*["delivered"] * 9)
    assert (await going.store.sinks())["archive"].state == "running"


async def test_a_clock_set_back_delays_neither_probe_nor_look(going: Going) -> None:
    """After a step back of a day the sink is probed all the same."""
    sink = Fake()
    await tripped(going, sink)
    sink.answer = says()
    going.world.clock.ms -= 86_400_000
    await going.put(None)
    await until(lambda: going.states()[-1] == "delivered", "a probe")


# An operator


async def test_an_operator_pauses_and_resumes(going: Going) -> None:
    """Paused in the store, nothing goes out and nothing is held in flight; resumed, everything does."""
    sink = Fake(concurrency=2)
    sink.gate = asyncio.Event()
    runner = going.add(sink)
    await going.put(*[None] * 20)
    await until(lambda: sink.under_way == 2)
    await going.store.put_sink(SinkRow(name="archive", state=SinkState.PAUSED))
    await until(lambda: runner.health.state is SinkState.PAUSED)
    sink.gate.set()
    await until(lambda: sorted(going.states()) == ["delivered"] * 2 + ["pending"] * 18)
    assert {row[0] for row in going.rows("attempts") if row} == {0, 1}
    await asyncio.sleep(0.1)
    assert len(sink.sent) == 2
    await going.store.put_sink(SinkRow(name="archive", state=SinkState.RUNNING))
    await going.settled(*["delivered"] * 20)
    assert going.rows("DISTINCT attempts") == [(1,)]


async def test_a_sink_paused_before_the_start_is_not_even_opened(going: Going) -> None:
    """A pause outlives the process."""
    await going.store.put_sink(SinkRow(name="archive", state=SinkState.PAUSED))
    sink = Fake()
    runner = going.add(sink)
    await going.put(None)
    await until(lambda: runner.health.state is SinkState.PAUSED)
    await asyncio.sleep(0.1)
    assert (sink.opened, sink.sent) == (0, [])


async def test_a_failure_does_not_undo_a_pause(going: Going) -> None:
    """An operator pauses a sink while it is failing: that it tripped as well is not written over the pause."""
    sink = Fake(concurrency=5)
    sink.gate = asyncio.Event()
    failing(sink)
    runner = going.add(sink)
    await going.put(*[None] * 5)
    await until(lambda: sink.under_way == 5)
    await going.store.put_sink(SinkRow(name="archive", state=SinkState.PAUSED))
    runner._breaker._looked = float("inf")  # it has not seen it yet
    sink.gate.set()
    await until(lambda: runner.health.state is SinkState.TRIPPED)
    await until(lambda: "in_flight" not in going.states())
    assert (await going.store.sinks())["archive"].state == "paused"
    runner._breaker._looked = 0.0
    going.wake()
    await until(lambda: runner.health.state is SinkState.PAUSED)


async def test_an_operator_resumes_a_tripped_sink_at_once(going: Going) -> None:
    """Sending again as if it had never failed does not wait for the probe's time."""
    sink = Fake()
    runner = await tripped(going, sink)
    await until(going.events)
    sink.answer = says()
    going.world.clock.ms += 1000
    await going.store.put_sink(SinkRow(name="archive", state=SinkState.RUNNING))
    await until(lambda: runner.health.state is SinkState.RUNNING)
    await going.later(10)
    await until(lambda: set(going.states()) == {"delivered"})


# Pace, batches, bounds


async def test_the_rate_bounds_sends_a_second(going: Going) -> None:
    """Between two sends lies at least the rate's gap, however much waits, and nothing is taken before its time."""
    sink = Fake(rate=10.0, concurrency=4)
    times: list[float] = []
    loop = asyncio.get_running_loop()

    def answer(deliveries: Sequence[Any]) -> Any:
        times.append(loop.time())
        return [Delivered()]

    sink.answer = answer
    going.add(sink)
    await going.put(*[None] * 4)
    await going.settled(*["delivered"] * 4)
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.09


async def test_batches_are_full_and_in_order(going: Going) -> None:
    """One send takes as many as the kind says; outcomes count one by one."""
    sink = Fake(batch=10)
    sink.answer = lambda deliveries: [
        Rejected(reason="no") if one.id == encode(DELIVERY, made[3]) else Delivered() for one in deliveries
    ]
    made = await put_events(going.store, [None] * 25)
    going.add(sink)
    await going.settled(*["delivered"] * 3, "dead", *["delivered"] * 21)
    assert [len(batch) for batch in sink.sent] == [10, 10, 5]
    assert sink.ids == [encode(DELIVERY, number) for number in made]


async def test_concurrency_is_used_and_kept(going: Going) -> None:
    """As many sends at once as the settings say, without order also of one call."""
    sink = Fake(concurrency=4)
    sink.gate = asyncio.Event()
    going.add(sink)
    await going.put(*[1] * 12)
    await until(lambda: sink.under_way == 4)
    await asyncio.sleep(0.05)
    assert len(sink.sent) == 4
    sink.gate.set()
    await going.settled(*["delivered"] * 12)
    assert sink.most_under_way == 4


async def test_memory_for_events_is_bounded(going: Going, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sends are allowed at once, no more events are taken than the bound, but always one."""
    monkeypatch.setattr(claims, "_CLAIM_BYTES", 5)
    sink = Fake(concurrency=100)
    sink.gate = asyncio.Event()
    going.add(sink)
    await going.put(*[None] * 30)
    await until(lambda: sink.under_way)
    going.wake()
    await asyncio.sleep(0.1)
    assert 0 < going.states().count("in_flight") <= 3
    sink.gate.set()
    await going.settled(*["delivered"] * 30)


# Order


async def test_a_call_keeps_its_order_and_a_dead_one_lets_it_go_on(going: Going) -> None:
    """A delivery that waits holds back its call and no other; given up, it lets the rest go."""
    sink = Fake(order="call", concurrency=8, retry=(0, 10))
    sink.answer = lambda deliveries: [
        TryLater(reason="no") if one.id == encode(DELIVERY, made[0]) else Delivered() for one in deliveries
    ]
    made = await put_events(going.store, [1, 1, 2, 1, None])
    going.add(sink)
    await going.settled("pending", "pending", "delivered", "pending", "delivered")
    await asyncio.sleep(0.1)
    assert going.rows("attempts") == [(1,), (0,), (1,), (0,), (1,)]
    await going.later(10)
    await going.settled("dead", *["delivered"] * 4)
    ids = sink.ids
    assert ids.index(encode(DELIVERY, made[1])) < ids.index(encode(DELIVERY, made[3]))
    assert ids.index(encode(DELIVERY, made[0]), 1) < ids.index(encode(DELIVERY, made[1]))


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_sent_before_what_came_before_it_in_its_call_is_done_on_disk(
    going: Going, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever is taken ahead, fails, is refused, trips the sink or meets a store that fails, with eight sends at once."""
    monkeypatch.setattr(claims, "_HELD", 20)
    dice = random.Random(seed)
    store = Breaks(going.store)
    sink = Fake(order="call", batch=5, concurrency=8, retry=(0,) * 1000)
    early: list[int] = []

    def answer(deliveries: Sequence[Any]) -> Any:
        numbers = [decode(DELIVERY, one.id) for one in deliveries]
        for number in numbers:
            early.extend(row[0] for row in going.world.sql(_OPEN_BEFORE, number))
        if dice.random() < 0.05:
            store.failing = {dice.choice(["due", "tried", "due, unheard"]): [StoreUnavailable("disk full")]}
        return [dice.choices(_ANSWERS, (80, 15, 5))[0] for _ in numbers]

    sink.answer = answer
    runner = going.add(sink, store)
    made = await going.put(*[dice.choice([None, *range(1, 12)]) for _ in range(400)])
    async with asyncio.timeout(3 * PATIENCE):
        while any(state in ("pending", "in_flight") for state in going.states()):
            await asyncio.sleep(0.005)
            await going.later(0.5 if runner.health.state is SinkState.TRIPPED else 0.001)
    assert early == []
    done = Counter(going.states())
    assert set(sink.ids) == {encode(DELIVERY, number) for number in made}
    assert (set(done), done.total()) == ({"delivered", "dead"}, 400)


_OPEN_BEFORE = """
    SELECT d.id FROM deliveries AS d JOIN deliveries AS earlier
    ON earlier.call_id = d.call_id AND earlier.id < d.id AND earlier.state NOT IN ('delivered', 'dead') WHERE d.id = ?
"""
_ANSWERS = (Delivered(), TryLater(reason="not now"), Rejected(reason="never"))


async def test_what_is_taken_behind_a_delivery_that_has_to_wait_goes_back_untried(going: Going) -> None:
    """Both followers were in hand while the first was being sent; they are pending again, and no attempt is counted."""
    sink = Fake(order="call", retry=(0, 10))
    sink.gate = asyncio.Event()
    sink.answer = says(TryLater(reason="no"))
    going.add(sink)
    await going.put(1, 1, 1)
    await until(lambda: going.states() == ["in_flight"] * 3, "two taken behind the first")
    sink.gate.set()
    await until(lambda: going.rows("state, attempts") == [("pending", 1), ("pending", 0), ("pending", 0)])
    assert len(sink.sent) == 1
    await going.later(10)
    await going.settled(*["delivered"] * 3)
    assert [one.attempt for batch in sink.sent for one in batch] == [1, 2, 1, 1]
    assert going.world.sql("SELECT count(*) FROM attempts") == [(4,)]


@pytest.mark.parametrize("order", ["call", "none"])
async def test_what_is_erased_while_it_waits_in_hand_is_not_sent(
    going: Going, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Behind another of its call or for a free place, the sink being slow; what follows it goes out."""
    monkeypatch.setattr(deliver, "_JUST_NOW", 0.0)
    sink = Fake(order=order)
    sink.gate = asyncio.Event()
    going.add(sink)
    made = await going.put(1, 1, 1)
    await until(lambda: going.states() == ["in_flight"] * 3 and sink.under_way)
    async with going.store.engine.transaction() as tx:
        await tx.run("drop_deliveries", {"ids": [going.rows("event_id")[1][0]]})
    sink.gate.set()
    await going.settled("delivered", "delivered")
    assert sink.ids == [encode(DELIVERY, made[0]), encode(DELIVERY, made[2])]


async def test_what_a_runner_could_not_give_back_its_successor_takes_back(going: Going) -> None:
    """Its last endings could not be written: nothing stays in flight for ever, and nothing newer overtakes it."""
    store = Breaks(going.store)
    first = Fake(order="call")
    first.gate = asyncio.Event()
    runner = going.add(first, store)
    await going.put(1, 1, 1)
    await until(lambda: going.states() == ["in_flight"] * 3)
    store.failing = {"tried": [StoreUnavailable("disk full")] * 9}
    await runner.stop(0.05)
    assert going.states() == ["in_flight"] * 3
    made = [*[row[0] for row in going.rows("id")], *await going.put(1)]
    second = Fake(order="call")
    going.add(second)
    await going.settled(*["delivered"] * 4)
    assert second.ids == [encode(DELIVERY, number) for number in made]


async def test_what_was_taken_while_the_start_number_changed_is_taken_back(
    going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was given a new one between the look at what is due and the taking of it."""
    sink, found = Fake(order="call"), going.store._found
    left = [1]

    async def meanwhile(*args: Any, **options: Any) -> list[DueDelivery]:
        rows = await found(*args, **options)
        if rows and left:
            going.store.start += left.pop()
        return rows

    monkeypatch.setattr(going.store, "_found", meanwhile)
    going.add(sink)
    made = await going.put(1, 1, 2)
    await going.settled(*["delivered"] * 3)
    assert sink.ids.index(encode(DELIVERY, made[0])) < sink.ids.index(encode(DELIVERY, made[1]))
    assert going.rows("attempts") == [(1,)] * 3


async def test_a_slow_call_with_many_events_keeps_no_other_waiting(
    going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can only wait takes no room from what could go, and few of one call are taken to wait."""
    monkeypatch.setattr(claims, "_CLAIM_BYTES", 100)
    sink = Fake(order="call", concurrency=8)
    slow = await put_events(going.store, [1] * 300)
    held, gate = encode(DELIVERY, slow[0]), asyncio.Event()
    send = sink.send

    async def slowly(deliveries: Sequence[Any]) -> Any:
        answer = await send(deliveries)
        if deliveries[0].id == held:
            await gate.wait()
        return answer

    sink.send = slowly  # type: ignore[method-assign]
    going.add(sink)
    await until(lambda: held in sink.ids)
    await going.put(*range(2, 22))
    await until(lambda: going.states().count("delivered") == 20, "the others")
    assert going.states().count("in_flight") <= 1 + claims._DEEP
    gate.set()
    await going.settled(*["delivered"] * 320)


async def test_what_stands_far_behind_a_call_that_waits_arrives_all_the_same(
    going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are sent nobody looks that far; once they are, somebody does, without waiting for the next poll."""
    monkeypatch.setattr(deliver, "_POLL", 60.0)
    sink = Fake(order="call", batch=4, retry=(0, 1000))
    first, *_ = await put_events(going.store, [1] * 200)
    going.world.clock.ms += 1000
    await put_events(going.store, [number for call in range(2, 42) for number in (call, call)])
    sink.answer = lambda deliveries: [
        TryLater(reason="no") if one.id == encode(DELIVERY, first) else Delivered() for one in deliveries
    ]
    going.add(sink)
    await going.settled(*["pending"] * 200, *["delivered"] * 80)


async def test_a_call_that_is_held_back_does_not_make_its_runner_spin(
    going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred due deliveries behind one that waits are looked at now and then, not all the time."""
    monkeypatch.setattr(deliver, "_POLL", 60.0)
    sink = Fake(order="call")
    sink.answer = lambda deliveries: [TryLater(reason="no")] * len(deliveries)
    looks = 0
    due = going.store.due

    async def counted(*args: Any, **options: Any) -> list[DueDelivery]:
        nonlocal looks
        looks += 1
        return await due(*args, **options)

    monkeypatch.setattr(going.store, "due", counted)
    await put_events(going.store, [1] * 100)
    going.add(sink)
    await until(lambda: going.rows()[0][:2] == ("pending", 1))
    await asyncio.sleep(0.3)
    assert looks < 8


# A sink that does not open or close


async def test_a_sink_that_does_not_open_is_tried_again(going: Going, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failed `open` is followed by a `close`; deliveries wait without using attempts, then arrive."""
    monkeypatch.setattr(deliver, "_OPEN_AGAIN", (0.01, 0.02))
    sink = Fake()
    sink.open_raises = [OSError("down"), TimeoutError(), asyncio.CancelledError(), RuntimeError("down")]
    going.add(sink)
    await going.put(None)
    await going.settled("delivered")
    assert (sink.opened, sink.closed, going.rows("attempts")) == (5, 4, [(1,)])


async def test_waking_a_runner_does_not_shorten_the_wait_for_open(going: Going) -> None:
    """However many events come in, a broker that is down is not asked more often."""
    sink = Fake()
    sink.open_raises = [OSError("down")] * 50
    going.add(sink)
    for _ in range(50):
        await going.put(None)
    await until(lambda: sink.opened == 1)
    assert sink.opened == 1


async def test_an_operator_resumes_a_sink_that_did_not_open_at_once(
    going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait before the next opening, by then half a minute, is not sat out."""
    monkeypatch.setattr(deliver, "_OPEN_AGAIN", (0.0, 0.0, 0.0, 0.0, 3600.0))
    sink = Fake()
    sink.open_raises = [OSError("down")] * 5
    runner = going.add(sink)
    await going.put(1)
    await until(lambda: runner.health.state is SinkState.TRIPPED)
    await until(going.events)
    going.world.clock.ms += 1000
    await going.store.put_sink(SinkRow(name="archive", state=SinkState.RUNNING))
    await until(lambda: set(going.states()) == {"delivered"})

    assert sink.opened == 6


async def test_a_sink_that_never_opens_trips(going: Going, monkeypatch: pytest.MonkeyPatch) -> None:
    """People hear of it, and the backlog waits."""
    monkeypatch.setattr(deliver, "_OPEN_AGAIN", (0.0,))
    sink = Fake()
    sink.open_raises = [OSError("down")] * 1000
    going.add(sink)
    await going.put(None)
    await until(lambda: [kind for kind, _ in going.events()] == ["ops.sink_tripped"])
    assert (going.states(), going.rows("attempts")) == (["pending"], [(0,)])


async def test_a_sink_whose_close_hangs_is_left_behind(going: Going, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither opening again nor the stop waits for it."""
    monkeypatch.setattr(deliver, "_OPEN_AGAIN", (0.0,))
    monkeypatch.setattr(deliver, "_CLOSING", 0.05)
    sink = Fake()
    sink.open_raises, sink.close_hangs = [OSError("down")], True
    going.add(sink)
    await going.put(None)
    await going.settled("delivered")
    async with asyncio.timeout(PATIENCE):
        await going.stop()


# A store that fails, a bug, a stop


class Breaks(Store):
    """The same store, in which verbs fail as often as a test says."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine, store._now)
        self.start, self.ids = store.start, store.ids
        self.failing: dict[str, list[Exception]] = {}

    def _break(self, verb: str) -> None:
        if self.failing.get(verb):
            raise self.failing[verb].pop(0)

    async def due(self, sink: str, limit: int, **how: Any) -> list[DueDelivery]:
        self._break("due")
        found = await super().due(sink, limit, **how)
        if found:
            self._break("due, unheard")
        return found

    async def tried(self, results: Sequence[Tried]) -> None:
        self._break("tried")
        await super().tried(results)

    async def sinks(self) -> dict[str, SinkRow]:
        self._break("sinks")
        return await super().sinks()

    async def put_health(self, sink: SinkRow) -> None:
        self._break("put_health")
        await super().put_health(sink)

    async def write(self, writes: Any, *, claim: int = 0) -> None:
        self._break("write")
        await super().write(writes, claim=claim)


@pytest.mark.parametrize(
    ("error", "said"),
    [(StoreUnavailable("disk full"), "deliver.store_failed"), (RuntimeError("a bug"), "deliver.failed")],
)
async def test_a_store_that_fails_in_between_loses_nothing(going: Going, error: Exception, said: str) -> None:
    """Whatever verb fails, and however, the runner lives and everything arrives, once where the send had been done.

    Its lines are caught unwritten: where nobody set logs up, structlog draws each traceback for seconds.
    """
    store = Breaks(going.store)
    store.failing = {verb: [error] * 2 for verb in ("due", "tried", "sinks")}
    sink = Fake()
    with capture_logs() as lines:
        going.add(sink, store)
        await going.put(*[None] * 10)
        await going.settled(*["delivered"] * 10)
    assert len(sink.ids) == len(set(sink.ids)) == 10
    assert not any(store.failing.values())
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == [said] * 6


async def test_what_was_taken_and_not_heard_of_is_taken_back(going: Going) -> None:
    """The claim was committed and its answer lost: nothing stays in flight for ever, and no attempt is counted."""
    store = Breaks(going.store)
    store.failing = {"due, unheard": [StoreUnavailable("did not answer")] * 2}
    sink = Fake()
    going.add(sink, store)
    await going.put(*[None] * 10)
    await going.settled(*["delivered"] * 10)
    assert not store.failing["due, unheard"]
    assert len(sink.ids) == len(set(sink.ids)) == 10
    assert going.rows("attempts") == [(1,)] * 10


async def test_a_trip_that_could_not_be_written_is_no_order_to_resume(going: Going) -> None:
    """The store still says "running" because writing "tripped" failed: that is nobody's word."""
    store = Breaks(going.store)
    await going.store.put_health(SinkRow(name="archive", state="running"))
    store.failing = {"put_health": [StoreUnavailable("disk full")] * 99, "write": [StoreUnavailable("disk full")]}
    sink = Fake()
    failing(sink)
    runner = going.add(sink, store)
    await going.put(*[None] * 20)
    await until(lambda: runner.health.state is SinkState.TRIPPED)
    await asyncio.sleep(0.1)
    assert (runner.health.state, len(sink.sent)) == (SinkState.TRIPPED, 5)


async def test_a_stop_gives_back_what_was_not_started(going: Going) -> None:
    """Nothing new starts, what is under way may end, the rest has its attempts and no lease."""
    sink = Fake(concurrency=2)
    sink.gate = asyncio.Event()
    going.add(sink)
    await going.put(*[None] * 20)
    await until(lambda: going.states().count("in_flight") > 2)
    stopping = asyncio.create_task(going.stop())
    await asyncio.sleep(0.05)
    assert len(sink.sent) == 2
    sink.gate.set()
    await stopping
    assert (going.states(), sink.closed) == (["delivered"] * 2 + ["pending"] * 18, 1)
    assert going.rows("attempts, worker") == [(1, None)] * 2 + [(0, None)] * 18


async def test_a_stop_cuts_off_what_hangs_without_using_its_attempt(going: Going) -> None:
    """After the grace time a send is cancelled, and its delivery waits as if it had not been tried."""
    sink = Fake(concurrency=3)
    sink.gate = asyncio.Event()
    going.add(sink)
    await going.put(*[None] * 5)
    await until(lambda: sink.under_way == 3)
    await going.stop(grace=0.05)
    await going.stop(grace=0.05)
    assert going.rows("state, attempts, worker") == [("pending", 0, None)] * 5
    assert going.world.sql("SELECT count(*) FROM attempts") == [(0,)]


async def test_a_stop_while_the_store_fails_ends_all_the_same(going: Going) -> None:
    """What could not be written down is sent again after the next start, which takes back what the last one held."""
    store = Breaks(going.store)
    sink = Fake()
    sink.gate = asyncio.Event()
    going.add(sink, store)
    await going.put(None, None)
    await until(lambda: sink.under_way)
    store.failing["tried"] = [StoreUnavailable("disk full")] * 1000
    sink.gate.set()
    await going.stop(grace=0.2)
    assert going.states() == ["in_flight"] * 2
    assert await going.store.reclaim() == 2
    again = Fake()
    Going.add(going, again)
    await going.settled("delivered", "delivered")
    assert again.ids[0] == sink.ids[0]


async def test_a_stop_while_the_sink_opens(going: Going) -> None:
    """A broker that does not answer does not hold up the stop beyond the grace time."""
    sink = Fake()
    hangs = asyncio.Event()

    async def open_() -> None:
        sink.opened += 1
        await hangs.wait()

    sink.open = open_  # type: ignore[method-assign]
    runner = going.add(sink)
    await until(lambda: sink.opened)
    await runner.stop(0.05)
    assert (going.tasks[0].cancelled(), sink.closed) == (True, 1)


async def test_a_runner_that_never_ran_stops(going: Going) -> None:
    """A stop before the start closes the sink and is done."""
    sink = Fake()
    runner = Runner(
        sink, going.store, going.world.outbox, render=Renderer(None, None, ""), dice=lambda: 0.5, now=going.world.clock
    )
    await runner.stop(0)
    assert sink.closed == 1


# What the outside sees


def test_events_carry_addresses_and_prefix() -> None:
    """`public_url`, `admin_url` and `event_prefix` are those of today, also for old rows."""
    row = DueDelivery(1, 0, 2, "acme", "analysis.completed", "t", "trn_x", None, b"{}")
    event = Renderer("https://calls.example.com", "https://hooks.internal", "com.example")(row)
    assert (event.source, event.type) == ("https://calls.example.com/sources/acme", "com.example.analysis.completed")
    assert (event.dataschema, event.call_id) == ("https://hooks.internal/api/schemas/transcript/v1", None)
    ours = DueDelivery(1, 0, 2, "", "ops.sink_tripped", "t", "archive", 5, b"{}")
    event = Renderer(None, "https://hooks.internal", "")(ours)
    assert (event.source, event.type, event.source_name) == ("/hookscribe", "ops.sink_tripped", "")
    assert (event.dataschema, event.call_id) == ("https://hooks.internal/api/schemas/ops/v1", encode(CALL, 5))


def test_without_addresses_there_is_no_schema() -> None:
    """What is not configured is left out."""
    row = DueDelivery(1, 0, 2, "acme", "acme.ringing", "t", "rcp_x", None, b"{}")
    event = Renderer(None, None, "")(row)
    assert (event.source, event.dataschema) == ("/sources/acme", None)
