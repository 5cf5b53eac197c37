"""How long pages take: 100,000 receipts, transcripts, calls and events, 200,000 deliveries of which many are dead or wait.

Every page is asked for in turns, over HTTP, as a browser does that has not seen it. The 95th percentile of each is to be
under 150 ms. The processor's time is that of the receiver and of who asks, which are one process here, and of the
database's server where there is one.

    PYTHONPATH=tests python tests/bench/pages.py [COUNT] [--keep STORE]

--keep: build once, ask again. STORE is sqlite:FILE, or postgresql://... of an empty database.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import structlog
from running_fakes import ADMIN, REGISTRY, configured
from search import servers, worked_by

from receiver.runtime import opened
from receiver.store.ids import RECEIPT, TRANSCRIPT, at, encode
from receiver.store.opening import is_shared, open_store
from receiver.store.store import Store
from receiver.web.serve import serving

EACH = 60
WANTED_MS = 150.0
DAY_MS = 86_400_000
STEP = 2000
SEGMENTS = 60


def document(number: int) -> bytes:
    """Return a transcript as JSON."""
    segments = [
        {"start": one * 4.0, "end": one * 4.0 + 3, "speaker": "AB"[one % 2], "text": f"what was said, part {one}"}
        for one in range(SEGMENTS)
    ]
    fields: dict[str, Any] = dict.fromkeys(
        ("job", "call", "language", "duration", "created_at", "completed_at", "text", "analysis", "error")
    )
    provenance = {"receipt_id": encode(RECEIPT, 1), "verdict": "token", "normalizer": "acme/1"}
    return msgspec.json.encode(
        {
            **fields,
            "id": encode(TRANSCRIPT, number),
            "version": 1,
            "source": "acme",
            "provider": "acme",
            "operation": "transcription",
            "job_id": str(number),
            "status": "completed",
            "received_at": "2026-11-20T08:00:00Z",
            "speakers": [{"id": "A", "role": "agent"}, {"id": "B", "role": "customer"}],
            "segments": segments,
            "metadata": {},
            "provenance": provenance,
        }
    )


async def build(store: Store, count: int) -> None:
    """Fill a store with a day of work."""
    now = store.now_ms()
    numbers = [at(now - DAY_MS + DAY_MS * place // count) + place % 4096 for place in range(count)]
    for first in range(0, count, STEP):
        await _write(store, numbers[first : first + STEP], first, now)


async def _write(store: Store, numbers: list[int], first: int, now: int) -> None:
    states = ["delivered"] * 8 + ["dead", "pending"]
    moments = {number: (number >> 22) + 1_704_067_200_000 for number in numbers}
    async with store.engine.transaction() as tx:
        await tx.insert(
            "keep_receipts",
            [
                (n, "acme", "acme", first, n, n, "token", "normalized", moments[n], 2000, None, b"a:b", b"x" * 2000)
                for n in numbers
            ],
        )
        await tx.insert("add_calls", [(n, None, moments[n], moments[n], b"{}") for n in numbers])
        await tx.insert(
            "add_transcripts",
            [
                (n, "acme", "acme", "transcription", str(n), "transcript", n, "completed", 1, b"", None, moments[n])
                for n in numbers
            ],
        )
        await tx.insert("add_versions", [(n, 1, n, moments[n], "acme/1", document(n)) for n in numbers])
        await tx.insert(
            "add_events",
            [
                (n, "acme", "transcript.completed", "2026-11-20T08:00:00Z", encode(TRANSCRIPT, n), n, n, 1, None)
                for n in numbers
            ],
        )
        await tx.insert(
            "add_deliveries",
            [
                (2 * n + k, ("gone", "old")[k], n, n, states[(i + k) % 10], now + DAY_MS, now)
                for i, n in enumerate(numbers)
                for k in (0, 1)
            ],
        )
        await tx.insert("add_attempts", [(n, 2 * n, 1, moments[n], 5, "delivered", None) for n in numbers])


async def main(count: int, url: str | None) -> int:
    """Build, ask, print; return 1 where a page is too slow."""
    structlog.configure(
        processors=[structlog.processors.LogfmtRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"sqlite:{folder}/store.db"
        sinks = {name: {"kind": "keeps"} for name in ("gone", "old")}
        config = configured(Path(folder), admin_token=ADMIN, store=url, sinks=sinks, seal_key=ADMIN)
        store = await open_store(url, time.time)
        await store.engine.migrate()
        await store.engine.close()
        async with opened(config, REGISTRY) as runtime:
            if not await runtime.store.engine.rows("list_receipts", {"limit": 1}, ["TRUE"]):
                await build(runtime.store, count)
                if is_shared(url):
                    with psycopg.connect(url, autocommit=True) as link:
                        link.execute("ANALYZE")  # as the database does by itself
        async with serving(config, REGISTRY, "web") as (_, addresses):
            return await ask(addresses.admin or "", url)


async def some(client: httpx.AsyncClient) -> dict[str, str]:
    """Return ids of some things that there are."""
    found = {}
    for name in ("receipts", "transcripts", "calls", "deliveries"):
        answer = await client.get(f"/api/v1/{name}", params={"limit": 1})
        found[name] = answer.json()["items"][0]["id"]
    return found


async def ask(admin: str, url: str) -> int:
    """Ask for every page in turns, and say how long they took."""
    async with httpx.AsyncClient(base_url=admin, headers={"authorization": f"Bearer {ADMIN}"}, timeout=60) as client:
        took = await asked(client, url, await some(client))
    slow = 0
    print(f"{'median':>8}{'95 %':>9}{'first':>9}{'95 %, processor':>17}")
    for path, pairs in took.items():
        times, worked = ([*column] for column in zip(*pairs, strict=True))
        last, busy = (statistics.quantiles(column, n=20)[-1] for column in (times, worked))
        slow += last > WANTED_MS
        print(f"{statistics.median(times):8.1f}{last:9.1f}{times[0]:9.1f}{busy:17.1f}  {path}")
    return 1 if slow else 0


async def asked(client: httpx.AsyncClient, url: str, ids: dict[str, str]) -> dict[str, list[tuple[float, float]]]:
    """Return milliseconds by page, of the clock and of the processor."""
    paths = [
        "/", "/receipts", "/receipts?source=acme", "/receipts?verdict=signature", f"/receipts/{ids['receipts']}", "/quarantine",
        "/calls", f"/calls/{ids['calls']}", "/transcripts", "/transcripts?status=failed", f"/transcripts/{ids['transcripts']}",
        "/deliveries", "/deliveries?state=dead", "/deliveries?sink=gone&state=pending", f"/deliveries/{ids['deliveries']}",
        "/deliveries/change?verb=discard&state=dead&sink=gone", "/jobs", "/jobs?state=overdue", "/sinks/gone", "/search?q=part",
    ]  # fmt: skip
    took: dict[str, list[tuple[float, float]]] = {path: [] for path in paths}
    for _ in range(EACH):
        for path in paths:
            server = servers(url)
            began, worked = time.perf_counter(), worked_by(server)
            answer = await client.get(path)
            took[path].append(((time.perf_counter() - began) * 1000, (worked_by(server) - worked) * 1000))
            assert answer.status_code == 200, (path, answer.text[:300])
    return took


if __name__ == "__main__":
    counts = [int(one) for one in sys.argv[1:] if one.isdigit()]
    kept = sys.argv[sys.argv.index("--keep") + 1] if "--keep" in sys.argv else None
    sys.exit(asyncio.run(main(counts[0] if counts else 100_000, kept)))
