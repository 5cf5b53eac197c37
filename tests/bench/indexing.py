"""Whether receiving is slower while indexing runs: the rate of accepts with a backlog being indexed, over that without.

One web process is loaded by wrk, in rounds that alternate: alone, and with a process beside it that indexes a backlog as the
worker does, and nothing else. The median of the rounds' ratios is to be 0.9 at least.

    python tests/bench/indexing.py [--seconds 8] [--rounds 5] [--store postgresql://... of an empty database]
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
from receive import BIN, CONFIG, load, process
from search import Language, build

from receiver.pipeline.indexing import Indexing
from receiver.store.opening import is_shared, open_store, sqlite_path
from receiver.testing.server import free_port

BACKLOG = 40_000
WANTED = 0.9
ADMIN = "bench-admin-token-0123456789"


async def index(url: str) -> None:
    """Index what waits, as the worker does, until this process is ended; then say how long it held the writer."""
    store = await open_store(url, time.time)
    await store.register("bench")
    held, begin = [0.0, 0.0], store.engine.transaction

    @contextlib.asynccontextmanager
    async def timed(*, alone: bool = False) -> AsyncIterator[Any]:
        async with begin(alone=alone) as tx:
            began = time.monotonic()
            yield tx
        took = time.monotonic() - began
        held[:] = [held[0] + took, max(held[1], took)]

    store.engine.transaction = timed  # type: ignore[method-assign]
    began, working = time.monotonic(), asyncio.ensure_future(Indexing(store).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working
    lasted = time.monotonic() - began
    print(
        f"  indexing worked {time.process_time() / lasted:.0%} of the time, and held the writer {held[0] / lasted:.0%} of it, "
        f"{held[1] * 1000:.0f} ms at most",
        flush=True,
    )
    await store.engine.close()


async def prepared(url: str) -> None:
    """Make a store with a backlog."""
    store = await open_store(url, time.time, checkpoint=True)
    await store.engine.migrate()
    await store.register("bench")
    await build(store, BACKLOG, Language(random.Random(7)))
    await store.engine.close()


def waiting(url: str) -> int:
    """Return how many transcripts wait to be indexed."""
    opened: Any = psycopg.connect(url) if is_shared(url) else sqlite3.connect(sqlite_path(url), timeout=30)
    with contextlib.closing(opened):
        return int(opened.execute("SELECT count(*) FROM unindexed").fetchone()[0])


@contextlib.contextmanager
def indexing(url: str) -> Iterator[None]:
    """Index beside, as long as the block runs."""
    before = waiting(url)
    child = subprocess.Popen([sys.executable, __file__, "--index", url])
    try:
        while waiting(url) == before and child.poll() is None:
            time.sleep(0.05)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


@contextlib.contextmanager
def web(folder: Path, url: str) -> Iterator[str]:
    """Run one web process."""
    public, admin = free_port(), free_port()
    config = folder / "hookscribe.toml"
    text = CONFIG.format(store="", public=public, admin=admin, folder=folder)
    config.write_text(text.replace('store = "sqlite:"', f'store = "{url}"\nadmin_token = "{ADMIN}"'))
    command = [str(BIN / "hookscribe"), "--config", str(config), "serve", "--role", "web"]
    with process(command, f"http://127.0.0.1:{public}/hooks/callcov") as hooks:
        yield hooks


def measure(url: str, folder: Path, rounds: int, seconds: float) -> list[float]:
    """Return the ratio of each round. Raises SystemExit where the backlog was too small."""
    ratios = []
    with web(folder, url) as hooks:
        load(hooks, 2)
        for number in range(rounds):
            before = waiting(url)
            alone = load(hooks, seconds) if number % 2 else None
            with indexing(url):
                beside = load(hooks, seconds)
            alone = alone or load(hooks, seconds)
            left = waiting(url)
            if not left:
                raise SystemExit("the backlog was indexed before the round was over")
            ratios.append(beside.rate / alone.rate)
            print(
                f"round {number + 1}: alone {alone.rate:,.0f}/s, p99 {alone.p99_ms:.0f} ms; while {before - left:,} transcripts "
                f"were indexed {beside.rate:,.0f}/s, p99 {beside.p99_ms:.0f} ms: {ratios[-1]:.2f}",
                flush=True,
            )
    return ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", help="default: a new SQLite file")
    parser.add_argument("--index", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.index:
        asyncio.run(index(options.index))
        return
    with tempfile.TemporaryDirectory(prefix="hookscribe-bench-") as name:
        url = options.store or f"sqlite:{name}/bench.db"
        asyncio.run(prepared(url))
        ratios = sorted(measure(url, Path(name), options.rounds, options.seconds))
    median = statistics.median(ratios)
    told = "yes" if median >= WANTED else "NO"
    print(
        f"{'PostgreSQL' if is_shared(url) else 'SQLite'}: {median:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), wanted {WANTED}: {told}"
    )


if __name__ == "__main__":
    main()
