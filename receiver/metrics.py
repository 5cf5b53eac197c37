"""Metrics: what this process counted and what waits in the store, as Prometheus reads it.

The steps count plain numbers (a metric of the library takes ten times as long); names, labels and text are made when
somebody asks. Labels are words of ours and names of the settings, never what a sender wrote.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Protocol

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from receiver.contract.errors import StoreError
from receiver.contract.model import DeliveryState, SinkState
from receiver.contract.proof import Reason
from receiver.pipeline.histogram import SECONDS, Histogram
from receiver.pipeline.ingest import Ingest
from receiver.pipeline.quarantine import UNKNOWN_SOURCE, QuarantineWriter
from receiver.pipeline.worker import STEPS, Worker
from receiver.runtime import Running
from receiver.store.gauges import Gauges, Waits, read_gauges
from receiver.store.jobs import JobState

log = structlog.get_logger()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STORE_SECONDS = 2.0
_FRESH = 1.0
"""Seconds for which a reading of the store is used again: who asks more often does not make it work more."""
_LAG_EVERY = 0.25
_OUTCOMES = ("delivered", "failed", "rejected", "probe")
_BACKLOG = (DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.DEAD)
_REASONS = frozenset((*Reason, UNKNOWN_SOURCE))


class Declared(msgspec.Struct, frozen=True):
    """A metric: its kind, what it says, and its labels."""

    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    help: str
    labels: tuple[str, ...] = ()


_COUNTER, _GAUGE, _HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
DECLARED = {
    "hookscribe_info": Declared(_GAUGE, "The release that runs; always 1", ("version",)),
    "hookscribe_started_seconds": Declared(_GAUGE, "When this process began to work, Unix time"),
    "hookscribe_receipts_total": Declared(
        _COUNTER, "Proven callbacks: accepted, or a duplicate of one that is there", ("source", "result")
    ),
    "hookscribe_not_kept_total": Declared(_COUNTER, "Proven callbacks that the store could not keep: 503", ("source",)),
    "hookscribe_refusals_total": Declared(_COUNTER, "Requests that proved nothing", ("source", "reason")),
    "hookscribe_quarantine_kept_total": Declared(_COUNTER, "Refused requests written to the quarantine"),
    "hookscribe_quarantine_passed_over_total": Declared(_COUNTER, "Refused requests that were only counted"),
    "hookscribe_commit_receipts": Declared(_HISTOGRAM, "Receipts that went to disk together"),
    "hookscribe_commit_seconds": Declared(_HISTOGRAM, "How long a group took to the disk"),
    "hookscribe_bodies_reading": Declared(_GAUGE, "Bodies that are being read"),
    "hookscribe_bodies_memory_bytes": Declared(_GAUGE, "Memory that bodies take"),
    "hookscribe_bodies_disk_bytes": Declared(_GAUGE, "Disk that large bodies being read take"),
    "hookscribe_normalized_total": Declared(
        _COUNTER, "Receipts that were normalized, or found unreadable", ("source", "result")
    ),
    "hookscribe_normalize_seconds": Declared(_HISTOGRAM, "How long a batch took to be normalized and written"),
    "hookscribe_attempts_total": Declared(_COUNTER, "Tries of deliveries, by how they ended", ("sink", "outcome")),
    "hookscribe_send_seconds": Declared(_HISTOGRAM, "How long a sink took for a batch", ("sink",)),
    "hookscribe_store_errors_total": Declared(_COUNTER, "Failures of the store, by step", ("step",)),
    "hookscribe_event_loop_lag_seconds": Declared(
        _HISTOGRAM, "How late the event loop was, looked at four times a second"
    ),
    "hookscribe_worker_up": Declared(_GAUGE, "1 while the worker of this process takes work"),
    "hookscribe_store_up": Declared(_GAUGE, "1 where the store answered this reading; what follows needs it"),
    "hookscribe_receipts": Declared(_GAUGE, "Receipts that are not normalized, counted up to 10,000", ("state",)),
    "hookscribe_receipts_oldest_seconds": Declared(_GAUGE, "Age of the oldest of them, 0 for none", ("state",)),
    "hookscribe_deliveries": Declared(_GAUGE, "Deliveries that wait, are being sent, or are dead", ("sink", "state")),
    "hookscribe_deliveries_oldest_seconds": Declared(
        _GAUGE, "Age of the oldest of them, 0 for none", ("sink", "state")
    ),
    "hookscribe_delivery_lag_seconds": Declared(_GAUGE, "How long the oldest delivery is overdue", ("sink",)),
    "hookscribe_jobs": Declared(_GAUGE, "Jobs by state, counted up to 10,000 of each operation", ("source", "state")),
    "hookscribe_jobs_late": Declared(
        _GAUGE, "Jobs whose result came after their deadline, counted likewise", ("source",)
    ),
    "hookscribe_jobs_latest_seconds": Declared(_GAUGE, "How long after its deadline the latest came", ("source",)),
    "hookscribe_sink_state": Declared(_GAUGE, "1 for the state that the sink is in", ("sink", "state")),
}
"""Every metric of ours by the name of its samples; a histogram's end in _bucket, _sum and _count."""
PROCESS = tuple(
    f"process_{name}"
    for name in (
        *("virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds"),
        *("cpu_seconds_total", "open_fds", "max_fds"),
    )
)
"""What the library says of the process, on Linux."""

Sample = tuple[str, Sequence[str], float | Histogram]
"""A metric's name, its labels, its value."""


class Bodies(Protocol):
    """Bodies that are being read."""

    reading: int

    def used(self) -> tuple[int, int]:
        """Return the bytes of memory and of disk that they take."""
        ...


class Metrics:
    """Reads what a running receiver counted."""

    def __init__(self, run: Running, bodies: Bodies | None, now: Callable[[], float]) -> None:
        """`bodies` where this process receives; `now` is Unix seconds."""
        self._run = run
        self._bodies = bodies
        self._now = now
        self._started = now()
        self._lag = Histogram(SECONDS)
        self._store_errors = 0
        self._reading = asyncio.Lock()
        self._gauges: Gauges | None = None
        self._read_at = float("-inf")
        self._process = ProcessCollector(registry=None)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Measure how late the event loop is, as long as the block runs."""
        task = asyncio.create_task(self._watch_loop())
        try:
            yield
        finally:
            task.cancel()

    async def _watch_loop(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(_LAG_EVERY)
            self._lag.add(max(0.0, time.perf_counter() - begun - _LAG_EVERY))

    async def text(self) -> bytes:
        """Return everything in Prometheus' text format; without what waits where the store does not answer."""
        gauges = await self._fresh()
        return generate_latest(_Collected([*families(self._samples(gauges)), *self._process.collect()]))

    async def _fresh(self) -> Gauges | None:
        async with self._reading:
            if time.monotonic() - self._read_at > _FRESH:
                self._gauges = await self._read()
                self._read_at = time.monotonic()
            return self._gauges

    async def _read(self) -> Gauges | None:
        runtime = self._run.runtime
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                return await read_gauges(runtime.store.engine, list(runtime.config.sinks), int(self._now() * 1000))
        except (StoreError, TimeoutError) as error:
            self._store_errors += 1
            log.error("metrics.store_failed", why=str(error) or "it took too long")
            return None

    def _samples(self, gauges: Gauges | None) -> Iterator[Sample]:
        run, config = self._run, self._run.runtime.config
        sources, sinks = _Known(config.sources), _Known(config.sinks)
        yield "hookscribe_info", (version("hookscribe"),), 1
        yield "hookscribe_started_seconds", (), self._started
        yield "hookscribe_event_loop_lag_seconds", (), self._lag
        yield "hookscribe_store_errors_total", ("metrics",), self._store_errors
        if run.ingest is not None:
            yield from _receiving(run.ingest, run.refusals, sources)
        if self._bodies is not None:
            yield from _reading(self._bodies)
        if run.worker is not None:
            yield from _working(run.worker, sources)
        yield "hookscribe_store_up", (), gauges is not None
        if gauges is not None:
            yield from _waiting(gauges, sinks, self._now() * 1000)
            yield from _jobs(gauges, sources)


class _Known:
    """Names of the settings; any other is left empty, so that labels stay few."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __call__(self, name: str) -> str:
        return name if name in self.names else ""


class _Collected:
    """Families as the library asks for them."""

    def __init__(self, made: Iterable[Metric]) -> None:
        self._made = made

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._made


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Make the library's families of samples; those of a name and labels come together, numbers summed."""
    found: dict[str, dict[tuple[str, ...], float | Histogram]] = {}
    for name, labels, value in samples:
        values, place = found.setdefault(name, {}), tuple(labels)
        before = values.get(place, 0.0)
        values[place] = value if isinstance(value, Histogram) or isinstance(before, Histogram) else value + before
    for name, declared in DECLARED.items():
        if name in found:
            yield _family(name, declared, found[name])


def _family(name: str, declared: Declared, values: dict[tuple[str, ...], float | Histogram]) -> Metric:
    family = declared.kind(name, declared.help, labels=declared.labels)
    for labels, value in values.items():
        if isinstance(family, HistogramMetricFamily):
            assert isinstance(value, Histogram)
            family.add_metric(labels, value.buckets(), value.total)
        else:
            assert not isinstance(value, Histogram)
            family.add_metric(labels, value)
    return family


def _receiving(ingest: Ingest, refusals: QuarantineWriter, known: _Known) -> Iterator[Sample]:
    commits = ingest.commits
    for source in known.names:
        yield "hookscribe_receipts_total", (source, "accepted"), commits.kept[source, False]
        yield "hookscribe_receipts_total", (source, "duplicate"), commits.kept[source, True]
        yield "hookscribe_not_kept_total", (source,), commits.not_kept[source]
    for (source, reason), count in refusals.counts().items():
        word = reason if reason in _REASONS else "other"
        yield "hookscribe_refusals_total", (known(source), word), count
    yield "hookscribe_quarantine_kept_total", (), refusals.kept
    yield "hookscribe_quarantine_passed_over_total", (), refusals.passed_over
    yield "hookscribe_commit_receipts", (), commits.sizes
    yield "hookscribe_commit_seconds", (), commits.seconds
    yield "hookscribe_store_errors_total", ("receive",), commits.failures


def _reading(bodies: Bodies) -> Iterator[Sample]:
    memory, disk = bodies.used()
    yield "hookscribe_bodies_reading", (), bodies.reading
    yield "hookscribe_bodies_memory_bytes", (), memory
    yield "hookscribe_bodies_disk_bytes", (), disk


def _working(worker: Worker, known: _Known) -> Iterator[Sample]:
    yield "hookscribe_worker_up", (), worker.trouble() is None
    read = Counter(dict.fromkeys(((name, good) for name in known.names for good in (True, False)), 0))
    read.update(worker.normalize.counted)
    for (source, good), count in read.items():
        yield "hookscribe_normalized_total", (known(source), "normalized" if good else "unreadable"), count
    yield "hookscribe_normalize_seconds", (), worker.normalize.seconds
    for step in STEPS:
        yield "hookscribe_store_errors_total", (step,), worker.store_errors[step]
    for runner in worker.runners:
        yield "hookscribe_store_errors_total", ("deliver",), runner.store_errors
        yield "hookscribe_send_seconds", (runner.name,), runner.seconds
        for outcome in _OUTCOMES:
            yield "hookscribe_attempts_total", (runner.name, outcome), runner.outcomes[outcome]


def _jobs(gauges: Gauges, known: _Known) -> Iterator[Sample]:
    for source in known.names:
        late, latest = gauges.late.get(source, (0, 0.0))
        yield "hookscribe_jobs_late", (source,), late
        yield "hookscribe_jobs_latest_seconds", (source,), latest
        for state in JobState:
            yield "hookscribe_jobs", (source, state), gauges.jobs.get((source, state), 0)


def _waiting(gauges: Gauges, sinks: _Known, now: float) -> Iterator[Sample]:
    """`now` in Unix milliseconds."""
    for receipt_state, waits in gauges.receipts.items():
        yield "hookscribe_receipts", (receipt_state,), waits.count
        yield "hookscribe_receipts_oldest_seconds", (receipt_state,), _age(waits, now)
    yield from _backlogs(gauges, sinks, now)
    for sink in sinks.names:
        yield "hookscribe_delivery_lag_seconds", (sink,), max(0.0, now - gauges.due.get(sink, now)) / 1000
        for state in SinkState:
            yield "hookscribe_sink_state", (sink, state), gauges.sinks.get(sink, SinkState.RUNNING) == state


def _backlogs(gauges: Gauges, sinks: _Known, now: float) -> Iterator[Sample]:
    """The backlogs of sinks that are not in the settings count as one."""
    orphans = {name for name, _ in gauges.deliveries} - {*sinks.names}
    oldest: dict[tuple[str, str], float] = {}
    for sink in (*sinks.names, *orphans):
        for state in _BACKLOG:
            waits = gauges.deliveries.get((sink, state), Waits(0, None))
            place = (sinks(sink), str(state))
            yield "hookscribe_deliveries", place, waits.count
            oldest[place] = max(oldest.get(place, 0.0), _age(waits, now))
    for place, age in oldest.items():
        yield "hookscribe_deliveries_oldest_seconds", place, age


def _age(waits: Waits, now: float) -> float:
    return max(0.0, now - waits.since) / 1000 if waits.since is not None else 0.0
