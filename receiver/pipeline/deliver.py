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
from receiver.pipeline.histogram import SECONDS, Histogram
from receiver.pipeline.outbox import Outbox
from receiver.pipeline.schedule import Health, Pace, wait_after
from receiver.store.ids import DELIVERY, EVENT, encode
from receiver.store.records import DueDelivery, SinkRow, Tried
from receiver.store.store import Store

log = structlog.get_logger()

_POLL = 1.0
"""Seconds after which a runner looks by itself, whatever it was told."""
_OPEN_AGAIN = (1.0, 2.0, 5.0, 10.0, 30.0)
_CLOSING = 1.0
"""Seconds that a sink has to close."""
_CLAIM = 512
_CLAIM_BYTES = 16 * 1024 * 1024
"""Events that a sink has in memory at once, but for one larger than that."""
_AHEAD = 4
"""How many times the concurrency is taken from the store at once."""


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
        self._outbox = outbox
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
        self._results: list[tuple[DueDelivery, Tried]] = []
        self._bytes = 0
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
        while not self._stopping:
            self._wake.clear()
            try:
                wait = await self._turn()
            except StoreError as error:
                self.store_errors += 1
                log.error("deliver.store_failed", sink=self.name, why=str(error))
                wait = _POLL
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
            await self._write_results()
        except StoreError as error:
            log.error("deliver.store_failed", sink=self.name, why=str(error))
        await self._close()

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSING):
                await self._sink.close()

    async def _turn(self) -> float:
        """Do what can be done now; return the seconds until there is something to do by itself."""
        await self._write_results()
        await self._look()
        if self.health.state is SinkState.PAUSED or not (self._opened or await self._open()):
            return _POLL
        free = self.health.allowed(self._now(), self._most) - len(self._sending)
        if free <= 0:
            return self._until_probe()
        if (wait := self._pace.wait()) > 0:
            return min(_POLL, wait)
        if not self._ready:
            await self._claim(free)
        while self._ready and free > 0 and self._pace.wait() <= 0 and not self._stopping:
            self._start()
            free -= 1
        return min(_POLL, self._pace.wait()) if self._ready else await self._until_due()

    async def _claim(self, free: int) -> None:
        room = _CLAIM_BYTES - self._bytes
        if room <= 0:
            return
        limit = 1 if self.health.state is SinkState.TRIPPED else min(_CLAIM, self._sink.batch * self._ahead(free))
        due = await self._store.due(self.name, limit, in_order=self._in_order, max_bytes=room)
        self._bytes += sum([len(row.data) for row in due])
        self._ready.extend(due)

    def _ahead(self, free: int) -> int:
        """Return how many sends to take at once: more than can start, where nothing slows the sink down."""
        steady = self.health.allowed(self._now(), self._most) == self._most
        return free if self._paced or not steady else max(free, _AHEAD * self._most)

    async def _until_due(self) -> float:
        if self._sending:
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
        elif state is not self.health.state and self._is_order(row):
            self.health.ordered(state)
            log.info("sink.state", sink=self.name, state=str(state))
            if state is SinkState.PAUSED:
                self._give_back()

    def _is_order(self, row: SinkRow) -> bool:
        """Say whether this is an operator's word: a pause, its end, or "running" after we wrote that it tripped."""
        if SinkState.PAUSED in (row.state, self.health.state):
            return True
        return row.state == SinkState.RUNNING and row.updated_at > self._remembered

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
        self.wake()
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
        took = int((self._now() - started) * 1000)
        for row, outcome in zip(batch, outcomes, strict=True):
            tried = self._tried(row, outcome, int(started * 1000), probing=probing)
            self._results.append((row, msgspec.structs.replace(tried, duration=took)))
            self.outcomes[tried.outcome] += 1
        self.seconds.add(took / 1000)
        await self._judge(outcomes, probing=probing)

    def _let_go(self, rows: Iterable[DueDelivery]) -> None:
        self._bytes -= sum([len(row.data) for row in rows])

    def _tried(self, row: DueDelivery, outcome: SendOutcome, started: int, *, probing: bool) -> Tried:
        now = tried(row, outcome, started)
        if not isinstance(outcome, TryLater):
            return now
        if probing:
            due = int(self.health.probe_at * 1000)
            return msgspec.structs.replace(now, outcome="probe", next_at=due, give_back=1)
        return msgspec.structs.replace(now, **self._later(now.number, outcome))

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
            await self._tell("ops.sink_tripped", self.name, {"sink": self.name, "reason": cut(reason)})

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

    async def _tell_dead(self, row: DueDelivery, one: Tried) -> None:
        if row.type.startswith("ops."):
            return  # two sinks that refuse everything would tell each other for ever
        delivery = encode(DELIVERY, row.id)
        data = {"id": delivery, "sink": self.name, "event": encode(EVENT, row.event_id), "type": row.type}
        await self._tell(
            "ops.delivery_dead", delivery, {**data, "attempts": one.number, "reason": one.detail}, row.source
        )

    async def _tell(self, event_type: str, subject: str, data: dict[str, Any], source: str = "") -> None:
        """Let the other sinks know; an event about a sink never goes to that sink."""
        plan = self._outbox.plan(self._store.now_ms())
        plan.event(event_type, source, subject, data=data, never_to=self.name)
        with contextlib.suppress(StoreError):
            await self._store.write(plan.writes)

    async def _write_results(self) -> None:
        if not self._results:
            return
        results, self._results = self._results, []
        try:
            await self._store.tried([one for _, one in results])
        except BaseException:
            self._results = results + self._results
            raise
        for row, one in results:
            await self._log(row, one)

    def _give_back(self) -> None:
        """Put what was taken and not started back where it was."""
        self._results += [(row, given_back(row, self._store.now_ms())) for row in self._ready]
        self._let_go(self._ready)
        self._ready.clear()

    async def _log(self, row: DueDelivery, one: Tried) -> None:
        if not one.outcome:
            return
        delivery = encode(DELIVERY, one.delivery_id)
        line = {"id": delivery, "sink": self.name, "attempt": one.number, "ms": one.duration, "detail": one.detail}
        if one.state == DeliveryState.DEAD:
            log.error("delivery.dead", **line)
            await self._tell_dead(row, one)
        else:
            log.debug("delivery.attempted", outcome=one.outcome, **line)
