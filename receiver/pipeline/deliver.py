"""Deliver: each sink has a runner of its own, that takes what is due, sends it, and writes down how it went."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import structlog

from receiver.contract.errors import StoreError
from receiver.contract.model import DeliveryState, SinkState
from receiver.contract.sink import Delivered, Rejected, SendOutcome, Sink, TryLater
from receiver.pipeline.attempt import Render, cut, ended, given_back, is_cancelled, send, tried, why
from receiver.pipeline.endings import Endings
from receiver.pipeline.histogram import SECONDS, Histogram
from receiver.pipeline.news import News
from receiver.pipeline.outbox import Outbox
from receiver.pipeline.schedule import Health, Pace, rest_after, wait_after
from receiver.store.ids import DELIVERY, encode
from receiver.store.records import DueDelivery, SinkRow, Tried
from receiver.store.store import Store

log = structlog.get_logger()

_POLL = 1.0
"""Seconds after which a runner looks by itself, whatever it was told."""
_OPEN_AGAIN = (1.0, 2.0, 5.0, 10.0, 30.0)
_CLOSING = 1.0
"""Seconds that a sink has to close."""
_CLAIM = 1024
"""Deliveries that are taken from the store at once at most."""
_CLAIM_BYTES = 16 * 1024 * 1024
"""Events that a sink has in memory at once, but for one larger than that."""
_AHEAD = 4
"""How many times the concurrency is taken from the store at once; twice as many as before where that was used up soon."""
_SOON = 0.25
_UNWRITTEN = 4 * _CLAIM
"""Endings that may wait for the store before nothing more is taken."""


class Runner:
    """Sends to one sink."""

    def __init__(
        self,
        sink: Sink[Any],
        store: Store,
        outbox: Outbox,
        *,
        render: Render,
        dice: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """`render` makes the public event of a row; `dice` draws jitter between 0 and 1; `now` is Unix seconds."""
        settings = sink.settings
        self.name = sink.name
        self.health = Health()
        self.outcomes: Counter[str] = Counter()
        self.seconds = Histogram(SECONDS)
        """How long sends took, a batch once."""
        self.store_errors = 0
        self._sink = sink
        self._store = store
        self._news = News(sink.name, store, outbox)
        self._render = render
        self._dice = dice
        self._now = now
        self._in_order = (settings.order or sink.order) == "call"
        self._most = settings.concurrency or sink.concurrency
        self._paced = bool(settings.rate or sink.rate)
        self._pace = Pace(settings.rate or sink.rate, time.monotonic)
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._ready: deque[DueDelivery] = deque()
        self._endings = Endings(store, buried=self._buried, wake=self._written, busy=self._is_busy)
        self._bytes = 0
        self._ahead = 0
        self._more = False
        self._claimed_at = 0.0
        self._taken_by = 0
        self._doubtful = False
        self._stopping = False
        self._opened = False
        self._open_tries = 0
        self._open_at = 0.0
        self._looked: float | None = None
        self._remembered = 0
        self._turning: asyncio.Task[Any] | None = None

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Send until `stop`; then nothing new is started, and what is under way is left to `stop`."""
        self._turning = asyncio.current_task()
        failed = 0
        while not self._stopping:
            self._wake.clear()
            try:
                wait = await self._turn()
                failed = 0
            except StoreError as error:
                failed += 1
                self.store_errors += 1
                log.error("deliver.store_failed", sink=self.name, why=str(error))
                wait = rest_after(failed, _POLL)
            except Exception:
                log.exception("deliver.failed", sink=self.name)
                wait = _POLL
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for of 3.11 can swallow a cancellation
                    await self._wake.wait()

    async def stop(self, grace: float) -> None:
        """End: wait `grace` seconds for what was started, give back the rest untried, close the sink.

        May be called again.
        """
        self._stopping = True
        self.wake()
        tasks = [self._turning, *self._sending] if self._turning else [*self._sending]
        await asyncio.gather(*(ended(task, grace) for task in tasks))
        self._give_back()
        try:
            await self._endings.flush()
        except StoreError as error:
            log.error("deliver.store_failed", sink=self.name, why=str(error))
        await self._close()

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSING):
                await self._sink.close()

    async def _turn(self) -> float:
        """Do what can be done now; return the seconds until there is something to do by itself.

        What was taken before starts first, and more is taken last, so that the store works while sends are under way.
        """
        self._start_ready()
        self._endings.again()
        if not await self._leading():
            return _POLL
        await self._look()
        if self.health.state is SinkState.PAUSED or not (self._opened or await self._open()):
            return _POLL
        if self._free() > 0:
            if (wait := self._pace.wait()) > 0:
                return min(_POLL, wait)
            if not self._ready:
                await self._claim(self._free(), deep=not self._endings.busy)
            self._start_ready()
        if self._more and self._sending and self._is_low() and self._is_steady():
            await self._claim(self._most, deep=False)
        if self._free() <= 0:
            return self._until_probe()
        return min(_POLL, self._pace.wait()) if self._ready else await self._until_due()

    def _free(self) -> int:
        return self.health.allowed(self._now(), self._most) - len(self._sending)

    def _start_ready(self) -> None:
        free = self._free() if self._opened and self._taken_by == self._store.start else 0
        while self._ready and free > 0 and self._pace.wait() <= 0 and not self._stopping and self._store.holds():
            self._start()
            free -= 1

    def _is_low(self) -> bool:
        """Say whether so little of what was taken is left that more should be, before the last of it starts."""
        return len(self._ready) <= self._sink.batch * self._ahead // 2

    def _is_busy(self) -> bool:
        """Say whether there is so much to send that nobody waits for what ended."""
        return len(self._ready) > self._sink.batch and not self._stopping

    def _written(self) -> None:
        self._more = self._more or self._in_order  # what ended held back what follows in its call
        self._wake_if_low()

    def _wake_if_low(self) -> None:
        if self._is_low() or not self._is_steady():
            self.wake()

    async def _leading(self) -> bool:
        """Say whether this sink is ours to send to: of all processes, one does, and knows its state and its pace.

        What was taken under a start number that is lost belongs to somebody else.
        """
        self._let_go_lost()
        leads = await self._store.leads(f"sink {self.name}")
        if not leads:
            self._looked = None  # whoever leads it meanwhile knows better how it fares, and needs its file
            if self._opened and not self._sending:
                self._opened = False
                await self._close()
        return leads

    def _let_go_lost(self) -> None:
        if self._ready and self._taken_by != self._store.start:
            self._let_go(self._ready)
            self._ready.clear()

    async def _claim(self, free: int, *, deep: bool) -> None:
        """Take what is due; not `deep`: nothing far behind calls that wait, which costs time while others are sent."""
        room = _CLAIM_BYTES - self._bytes
        if room <= 0 or len(self._endings) >= _UNWRITTEN or self._stopping or not await self._is_sure():
            return
        self._ahead = self._further(free)
        limit = 1 if self.health.state is SinkState.TRIPPED else min(_CLAIM, self._sink.batch * self._ahead)
        self._let_go_lost()
        self._taken_by = self._store.start
        self._doubtful = True
        due = await self._store.due(self.name, limit, in_order=self._in_order, deep=deep, max_bytes=room)
        self._doubtful = False
        self._bytes += sum([len(row.data) for row in due])
        self._ready.extend(due)
        self._more = 2 * len(due) >= limit and self._is_steady()
        if limit > 1 and self.health.state is not SinkState.RUNNING:
            self._give_back()  # it tripped meanwhile

    async def _is_sure(self) -> bool:
        """Say whether all that counts as in flight here is known; what was taken unheard goes back where it was.

        A claim whose answer was lost may have been made, and nobody else would ever take it from a process that lives.
        """
        if self._doubtful and not (self._sending or self._ready or self._endings.busy):
            if count := await self._store.take_back(self.name):
                log.warning("deliver.taken_back", sink=self.name, count=count)
            self._doubtful = False
        return not self._doubtful

    def _further(self, free: int) -> int:
        """Return how many sends to take at once: more than can start, where nothing slows the sink down."""
        if not self._is_steady():
            return free
        now, before = time.monotonic(), self._claimed_at
        self._claimed_at = now
        usual = max(free, _AHEAD * self._most)
        return max(usual, min(self._ahead * 2, _CLAIM)) if now - before < _SOON else usual

    def _is_steady(self) -> bool:
        running = self.health.state is SinkState.RUNNING and not self._paced
        return running and self.health.allowed(self._now(), self._most) == self._most

    async def _until_due(self) -> float:
        if self._sending or self._endings.busy:
            return _POLL
        due = await self._store.next_due(self.name)
        return _POLL if due is None else min(_POLL, max(0.01, due / 1000 - self._now()))

    def _until_probe(self) -> float:
        if self.health.state is SinkState.TRIPPED and not self._sending:
            return min(_POLL, max(0.01, self.health.probe_at - self._now()))
        return _POLL

    async def _look(self) -> None:
        """See what an operator said of this sink, now and then."""
        first, now = self._looked is None, time.monotonic()
        if self._looked is not None and now - self._looked < _POLL:
            return
        row = (await self._store.sinks()).get(self.name)
        self._looked = now
        if row is None:
            return
        state = SinkState(row.state)
        if first:  # as it was before the start; a sink that had tripped is probed at once
            self.health = Health(state, row.failures)
            self._remembered = row.updated_at
        elif self.health.is_ordered(state, later=row.updated_at > self._remembered):
            self.health.ordered(state)
            self._open_at, self._open_tries = 0.0, 0  # what is resumed is tried at once
            log.info("sink.state", sink=self.name, state=str(state))
            if state is SinkState.PAUSED:
                self._give_back()

    async def _open(self) -> bool:
        if time.monotonic() < self._open_at:
            return False
        try:
            async with asyncio.timeout(self._sink.settings.timeout):
                await self._sink.open()
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled(error):
                raise
            self._open_at = time.monotonic() + _OPEN_AGAIN[min(self._open_tries, len(_OPEN_AGAIN) - 1)]
            self._open_tries += 1
            await self._failed(why(error))
            await self._close()
            return False
        self._opened, self._open_tries = True, 0
        return True

    def _start(self) -> None:
        batch = [self._ready.popleft() for _ in range(min(self._sink.batch, len(self._ready)))]
        self._pace.sent()
        probing = self.health.state is SinkState.TRIPPED
        task = asyncio.create_task(self._send(batch, probing=probing), name=f"send {self.name}")
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._start_ready()
        self._wake_if_low()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("deliver.failed", sink=self.name, error=type(error).__name__)

    async def _send(self, batch: Sequence[DueDelivery], *, probing: bool) -> None:
        started = self._now()
        try:
            outcomes = await send(self._sink, batch, self._render)
        except asyncio.CancelledError:  # a stop is no failure of the sink, and uses up no attempt
            self._ready.extendleft(reversed(batch))
            return
        self._let_go(batch)
        took = self._now() - started
        endings = []
        for row, outcome in zip(batch, outcomes, strict=True):
            one = tried(row, outcome, int(started * 1000), int(took * 1000))
            if isinstance(outcome, TryLater):
                one = self._put_off(one, outcome, probing=probing)
            endings.append((row, one))
            self.outcomes[one.outcome] += 1
        self._endings.add(endings)
        self.seconds.add(took)
        await self._judge(outcomes, probing=probing)

    def _let_go(self, rows: Iterable[DueDelivery]) -> None:
        self._bytes -= sum([len(row.data) for row in rows])

    def _put_off(self, one: Tried, outcome: TryLater, *, probing: bool) -> Tried:
        if probing:
            due = int(self.health.probe_at * 1000)
            return msgspec.structs.replace(one, outcome="probe", next_at=due, give_back=1)
        return msgspec.structs.replace(one, **self._later(one.number, outcome))

    def _later(self, attempt: int, outcome: TryLater) -> dict[str, Any]:
        wait = wait_after(attempt, self._sink.settings.retry, outcome.after, self._dice())
        if wait is None:
            return {"outcome": "failed", "state": DeliveryState.DEAD}
        due = self._store.now_ms() + int(wait * 1000)
        return {"outcome": "failed", "state": DeliveryState.PENDING, "next_at": due}

    async def _judge(self, outcomes: Sequence[SendOutcome], *, probing: bool) -> None:
        """Let the batch count for or against the sink: one success is a sink that works."""
        for outcome in outcomes:
            if isinstance(outcome, TryLater) and outcome.after:
                self._pace.hold(min(outcome.after, 3600.0))
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            if self.health.succeeded():
                log.info("sink.resumed", sink=self.name)
                await self._remember()
            return
        if self.health.state is SinkState.TRIPPED and not probing:
            return  # sent before it tripped: tells nothing new
        last = outcomes[-1]
        await self._failed(last.reason if isinstance(last, TryLater | Rejected) else "")

    async def _failed(self, reason: str) -> None:
        tripped = self.health.failed(self._now(), reason)
        log.warning("delivery.failed", sink=self.name, failures=self.health.failures, reason=cut(reason))
        if self.health.state is not SinkState.TRIPPED:
            return
        await self._remember()
        if tripped:
            self._give_back()
            await self._news.tripped(cut(reason))

    async def _remember(self) -> None:
        health = self.health
        with contextlib.suppress(StoreError):
            await self._store.put_health(
                SinkRow(
                    name=self.name,
                    state=health.state,
                    failures=health.failures,
                    reason=cut(health.reason),
                    probe_at=int(health.probe_at * 1000),
                )
            )
            self._remembered = self._store.now_ms()

    def _give_back(self) -> None:
        """Put what was taken and not started back where it was."""
        now = self._store.now_ms()
        self._endings.add([(row, given_back(row, now)) for row in self._ready])
        self._let_go(self._ready)
        self._ready.clear()

    async def _buried(self, row: DueDelivery, one: Tried) -> None:
        delivery = encode(DELIVERY, one.delivery_id)
        log.error("delivery.dead", id=delivery, sink=self.name, attempt=one.number, ms=one.duration, detail=one.detail)
        await self._news.dead(row, one)
