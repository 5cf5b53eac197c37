"""Metrics: what happened is what they say, with few labels, whatever the store does."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from pipeline_fakes import until
from prometheus_client.parser import text_string_to_metric_families
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured

from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Refused
from receiver.metrics import DECLARED, PROCESS, Metrics
from receiver.pipeline.histogram import Histogram
from receiver.runtime import Running, running
from receiver.store.records import SinkRow, Writes
from receiver.web.serve import serving

Values = dict[tuple[str, tuple[str, ...]], float]


def values(text: str) -> Values:
    """Return the samples by name and values of their labels, in the order of the labels' names."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(one.name, tuple(one.labels[name] for name in sorted(one.labels))): one.value for one in samples}


def declared_names() -> set[str]:
    """Return the names of all samples there may be."""
    names = {*PROCESS}
    for name, one in DECLARED.items():
        ends = ("_bucket", "_sum", "_count") if "Histogram" in one.kind.__name__ else ("",)
        names |= {name + end for end in ends}
    return names


async def take(run: Running, bodies: Iterable[bytes], token: str = TOKEN) -> None:
    """Receive callbacks one by one."""
    assert run.ingest is not None
    for body in bodies:
        request = InboundRequest(source="acme", token=token, headers=(), body=body, received_at=1_780_000_000_000)
        await run.ingest.receive(request)


async def read(run: Running, now: float = 1_780_000_000.0) -> Values:
    """Read the metrics once."""
    return values((await Metrics(run, None, lambda: now).text()).decode())


async def test_what_happened_is_counted(tmp_path: Path) -> None:
    """Kept, known, refused, normalized, sent: each where it belongs."""
    async with running(configured(tmp_path), REGISTRY) as run:
        await take(run, [b"1", b"2", b"1"])
        await take(run, [b"3"], "wrong-token-0123456789")
        run.refusals.unknown()
        await until(lambda: len(Keeps.sent) == 2)
        await until(lambda: run.worker and run.worker.runners[0].outcomes["delivered"] == 2)
        seen = await read(run)
    assert seen["hookscribe_receipts_total", ("accepted", "acme")] == 2
    assert seen["hookscribe_receipts_total", ("duplicate", "acme")] == 1
    assert seen["hookscribe_refusals_total", ("token_unknown", "acme")] == 1
    assert seen["hookscribe_refusals_total", ("unknown_source", "")] == 1
    assert seen["hookscribe_normalized_total", ("normalized", "acme")] == 2
    assert seen["hookscribe_normalized_total", ("unreadable", "acme")] == 0
    assert seen["hookscribe_attempts_total", ("delivered", "archive")] == 2
    assert seen["hookscribe_sink_state", ("archive", "running")] == 1
    assert seen["hookscribe_sink_state", ("archive", "tripped")] == 0
    assert seen["hookscribe_commit_receipts_count", ()] == 3
    assert seen["hookscribe_normalize_seconds_count", ()] >= 1
    assert (seen["hookscribe_worker_up", ()], seen["hookscribe_store_up", ()]) == (1, 1)
    assert seen["hookscribe_deliveries", ("archive", "pending")] == 0
    assert {name for name, _ in seen} <= declared_names()


async def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """An unreadable receipt is in the counter and among those that are not normalized."""
    async with running(configured(tmp_path), REGISTRY) as run:
        await take(run, [b"\xff"])
        await until(lambda: run.worker and run.worker.normalize.counted["acme", False])
        seen = await read(run)
    assert seen["hookscribe_normalized_total", ("unreadable", "acme")] == 1
    assert seen["hookscribe_receipts", ("unreadable",)] == 1


async def test_what_waits_has_its_age(tmp_path: Path) -> None:
    """Without a worker receipts wait; a backlog shows by sink, that of a sink that is gone without its name."""
    async with running(configured(tmp_path), REGISTRY, "web") as run:
        store = run.runtime.store
        now = store.now_ms()
        await take(run, [b"1", b"2"])
        rows = [(store.ids.next(), sink, 7, None, "pending", now - 5000, now) for sink in ("archive", "old", "older")]
        rows.append((store.ids.next(), "archive", 7, None, "dead", now, now))
        await store.write(Writes(deliveries=rows))
        await store.put_health(SinkRow(name="archive", state="tripped", failures=5))
        seen = await read(run, now / 1000 + 60)
    assert seen["hookscribe_receipts", ("received",)] == 2
    assert 59 < seen["hookscribe_receipts_oldest_seconds", ("received",)] < 65
    assert seen["hookscribe_receipts_oldest_seconds", ("confirming",)] == 0
    assert seen["hookscribe_deliveries", ("archive", "pending")] == 1
    assert seen["hookscribe_deliveries", ("archive", "dead")] == 1
    assert seen["hookscribe_deliveries", ("", "pending")] == 2
    assert 64 < seen["hookscribe_delivery_lag_seconds", ("archive",)] < 70
    assert 59 < seen["hookscribe_deliveries_oldest_seconds", ("", "pending")] < 65
    assert seen["hookscribe_sink_state", ("archive", "tripped")] == 1
    assert not [name for name, _ in seen if name.startswith(("hookscribe_worker", "hookscribe_normal"))]


async def test_a_store_that_fails_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process counted is there all the same; what waits is left out, and the failure counted."""
    async with running(configured(tmp_path), REGISTRY, "web") as run:
        await take(run, [b"1"])

        async def fails(*_: object) -> None:
            raise StoreUnavailable("the disk is gone")

        monkeypatch.setattr(run.runtime.store.engine, "rows", fails)
        seen = await read(run)
    assert seen["hookscribe_receipts_total", ("accepted", "acme")] == 1
    assert seen["hookscribe_store_up", ()] == 0
    assert seen["hookscribe_store_errors_total", ("metrics",)] == 1
    assert ("hookscribe_receipts", ("received",)) not in seen


async def test_what_cannot_be_kept_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 503 is seen by its source, and as a failure of the store."""
    async with running(configured(tmp_path), REGISTRY, "web") as run:
        assert run.ingest is not None

        async def fails(_: object) -> None:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(run.ingest.commits, "_keep", fails)
        with pytest.raises(StoreUnavailable):
            await take(run, [b"1"])
        seen = await read(run)
    assert seen["hookscribe_not_kept_total", ("acme",)] == 1
    assert seen["hookscribe_store_errors_total", ("receive",)] == 1


async def test_labels_are_few_and_ours(tmp_path: Path) -> None:
    """A plugin's own reason, and a source that is gone, give no labels of their own."""
    async with running(configured(tmp_path), REGISTRY) as run:
        request = InboundRequest(source="acme", token=None, headers=(), body=b"", received_at=1)
        for number in range(3):
            run.refusals.note(request, Refused(reason=f"made-up-{number}"))  # type: ignore[arg-type]
        assert run.worker is not None
        run.worker.normalize.counted["gone", True] += 2
        seen = await read(run)
    assert seen["hookscribe_refusals_total", ("other", "acme")] == 3
    assert seen["hookscribe_normalized_total", ("normalized", "")] == 2


async def test_the_loop_is_watched(tmp_path: Path) -> None:
    """Its lag is a histogram, and the watch ends with its block."""
    async with running(configured(tmp_path), REGISTRY, "web") as run:
        metrics = Metrics(run, None, lambda: 1.0)
        async with metrics.watching():
            await until(lambda: sum(metrics._lag.counts) >= 1)
        count = sum(metrics._lag.counts)
        await asyncio.sleep(0.3)
        assert sum(metrics._lag.counts) == count


async def test_the_store_is_not_asked_for_every_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again within a second gets what was read."""
    async with running(configured(tmp_path), REGISTRY, "web") as run:
        metrics, asked = Metrics(run, None, lambda: 1.0), 0
        rows = run.runtime.store.engine.rows

        async def counts(name: str, *rest: object) -> object:
            nonlocal asked
            asked += name == "open_receipts"
            return await rows(name, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(run.runtime.store.engine, "rows", counts)
        await asyncio.gather(*(metrics.text() for _ in range(20)))
    assert asked == 1


def test_a_histogram_counts_up_to_each_bound() -> None:
    """A value on a bound is within it; buckets hold those below too."""
    one = Histogram((1, 10))
    for value in (0.5, 1, 2, 10, 11):
        one.add(value)
    assert (one.buckets(), one.total) == ([("1", 2.0), ("10", 4.0), ("+Inf", 5.0)], 24.5)


async def test_metrics_need_the_token(tmp_path: Path) -> None:
    """On the admin listener only with the token, on the public one never."""
    async with httpx.AsyncClient() as http, serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (_, where):
        known = {"authorization": f"Bearer {ADMIN}"}
        await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"1" * 100_000)
        assert (await http.get(f"{where.admin}/metrics")).status_code == 401
        assert (await http.get(f"{where.public}/metrics", headers=known)).status_code == 404
        answer = await http.get(f"{where.admin}/metrics", headers=known)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert values(answer.text)["hookscribe_receipts_total", ("accepted", "acme")] == 1
    assert values(answer.text)["hookscribe_bodies_reading", ()] == 0
    assert TOKEN not in answer.text
    assert ADMIN not in answer.text
