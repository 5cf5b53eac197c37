"""Deliver: each sink has a runner of its own, that takes what is due, sends it, and writes down how it went."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from receiver.contract.errors import StoreError
from receiver.contract.model import DeliveryState, SinkState
from receiver.contract.sink import SendOutcome, Sink, TryLater
from receiver.pipeline.attempt import Render, cut, ended, given_back, is_cancelled, send, tried, why
from receiver.pipeline.breaker import Breaker
from receiver.pipeline.claims import Claims
from receiver.pipeline.endings import Ending, Endings
from receiver.pipeline.histogram import SECONDS, Histogram
from receiver.pipeline.news import News
from receiver.pipeline.outbox import Outbox
from receiver.pipeline.schedule import Health, Pace, rest_after, wait_after
from receiver.pipeline.taken import Taken
from receiver.store.ids import DELIVERY, encode
from receiver.store.records import DueDelivery, Tried
from receiver.store.store import Store

log = structlog.get_logger()

_POLL = 1.0
"""Seconds after which a runner looks by itself, whatever it was told."""
_OPEN_AGAIN = (1.0, 2.0, 5.0, 10.0, 30.0)
_CLOSING = 1.0
"""Seconds that a sink has to close."""
_JUST_NOW = 1.0
"""Seconds after which it is asked whether what was taken is still there, before it is sent."""


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
        self._breaker = Breaker(sink.name, store, now)
        self._most = settings.concurrency or sink.concurrency
        self._paced = bool(settings.rate or sink.rate)
        self._pace = Pace(settings.rate or sink.rate, time.monotonic)
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._taken = Taken(in_order=(settings.order or sink.order) == "call")
        self._endings = Endings(
            store, buried=self._buried, written=self._written, wake=self._wake_if_low, busy=self._is_busy
        )
        self._claims = Claims(sink, store, self._taken, self._endings, most=self._most)
        self._stopping = False
        self._opened = False
        self._open_tries = 0
        self._open_at = 0.0
        self._turning: asyncio.Task[Any] | None = None

    @property
    def health(self) -> Health:
        """Return how the sink fares."""
        return self._breaker.health

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
        await self._heed()
        if self._breaker.state is SinkState.PAUSED or not (self._opened or await self._open()):
            return _POLL
        if self._free() > 0:
            if (wait := self._pace.wait()) > 0:
                return min(_POLL, wait)
            if not self._taken:
                await self._claim(self._free(), deep=not self._endings.busy)
            self._start_ready()
        if self._claims.more and self._sending and self._claims.low and self._is_steady():
            await self._claim(self._most, deep=False)
        if self._free() <= 0:
            return self._until_probe()
        return min(_POLL, self._pace.wait()) if self._taken else await self._until_due()

    def _free(self) -> int:
        return self._breaker.allowed(self._most) - len(self._sending)

    def _start_ready(self) -> None:
        free = self._free() if self._opened and self._claims.valid else 0
        while self._taken and free > 0 and self._pace.wait() <= 0 and not self._stopping and self._store.holds():
            self._start()
            free -= 1

    def _is_busy(self) -> bool:
        """Say whether there is so much to send that nobody waits for what ended."""
        return len(self._taken) > self._sink.batch and not self._stopping

    def _written(self, endings: Sequence[Ending]) -> None:
        self._taken.written(endings)
        self._claims.more = self._claims.more or self._taken.in_order  # what ended held back what follows in its call
        self._start_ready()

    def _wake_if_low(self) -> None:
        if self._claims.low or not self._is_steady():
            self.wake()

    async def _leading(self) -> bool:
        """Say whether this sink is ours to send to: of all processes, one does, and knows its state and its pace.

        What was taken under a start number that is lost belongs to somebody else.
        """
        self._claims.drop_lost()
        leads = await self._store.leads(f"sink {self.name}")
        if not leads:
            self._breaker.elsewhere()
            if self._opened and not self._sending:  # whoever leads it meanwhile may need what it holds: its file
                self._opened = False
                await self._close()
        return leads

    async def _claim(self, free: int, *, deep: bool) -> None:
        if self._stopping:
            return
        one, sending = self._breaker.state is SinkState.TRIPPED, bool(self._sending)
        self._back(await self._claims.take(free, deep=deep, one=one, sending=sending, steady=self._is_steady))
        if not one and self._breaker.state is not SinkState.RUNNING:
            self._give_back()  # it tripped meanwhile

    def _is_steady(self) -> bool:
        running = self._breaker.state is SinkState.RUNNING and not self._paced
        return running and self._breaker.allowed(self._most) == self._most

    async def _until_due(self) -> float:
        if self._sending or self._endings.busy:
            return _POLL
        due = await self._store.next_due(self.name)
        return _POLL if due is None else min(_POLL, max(0.01, due / 1000 - self._now()))

    def _until_probe(self) -> float:
        if self._breaker.state is SinkState.TRIPPED and not self._sending:
            return min(_POLL, max(0.01, self._breaker.probe_in()))
        return _POLL

    async def _heed(self) -> None:
        """Do what an operator said of this sink."""
        ordered = await self._breaker.look()
        if ordered is not None:
            self._open_at, self._open_tries = 0.0, 0  # what is resumed is tried at once
        if ordered is SinkState.PAUSED:
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
            await self._tripped(await self._breaker.failed(why(error)))
            await self._close()
            return False
        self._opened, self._open_tries = True, 0
        return True

    def _start(self) -> None:
        batch = self._taken.batch(self._sink.batch)
        self._pace.sent()
        probing = self._breaker.state is SinkState.TRIPPED
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
            batch = await self._still_there(batch)
            if not batch:
                return
            outcomes = await send(self._sink, batch, self._render)
        except asyncio.CancelledError:  # a stop is no failure of the sink, and uses up no attempt
            self._taken.unsent(batch)
            return
        self._taken.sent(batch)
        took = self._now() - started
        endings = []
        for row, outcome in zip(batch, outcomes, strict=True):
            one = tried(row, outcome, int(started * 1000), int(took * 1000))
            if isinstance(outcome, TryLater):
                one = self._put_off(one, outcome, probing=probing)
            endings.append((row, one))
            self.outcomes[one.outcome] += 1
            if one.state == DeliveryState.PENDING:
                endings += self._given_back(self._taken.waits(row))
        self._endings.add(endings)
        self.seconds.add(took)
        await self._judge(outcomes, probing=probing)

    async def _still_there(self, batch: Sequence[DueDelivery]) -> Sequence[DueDelivery]:
        """Leave out what was erased since it was taken, where that is not just now."""
        before = time.monotonic() - _JUST_NOW
        old = [row.id for row in batch if row.taken_at < before]
        if not old:
            return batch
        try:
            gone = {*old} - await self._store.still_taken(old)
        except StoreError:
            return batch
        self._taken.gone([row for row in batch if row.id in gone])
        return [row for row in batch if row.id not in gone]

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
        for outcome in outcomes:
            if isinstance(outcome, TryLater) and outcome.after:
                self._pace.hold(min(outcome.after, 3600.0))
        await self._tripped(await self._breaker.judge(outcomes, probing=probing))

    async def _tripped(self, reason: str | None) -> None:
        if reason is not None:
            self._give_back()
            await self._news.tripped(cut(reason))

    def _give_back(self) -> None:
        """Put what was taken and not started back where it was."""
        self._back(self._taken.clear())

    def _back(self, rows: Sequence[DueDelivery]) -> None:
        if rows:
            self._endings.add(self._given_back(rows))

    def _given_back(self, rows: Sequence[DueDelivery]) -> list[Ending]:
        now = self._store.now_ms()
        return [(row, given_back(row, now)) for row in rows]

    async def _buried(self, row: DueDelivery, one: Tried) -> None:
        delivery = encode(DELIVERY, one.delivery_id)
        log.error("delivery.dead", id=delivery, sink=self.name, attempt=one.number, ms=one.duration, detail=one.detail)
        await self._news.dead(row, one)
