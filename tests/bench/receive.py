"""How fast Hookscribe receives, against a bare Starlette route that checks the same HMAC and stores nothing.

    python tests/bench/receive.py [--seconds 60] [--rounds 3] [--rows 1000000] [--quick]

Three servers run side by side: the bare route, Hookscribe on an empty store, Hookscribe on one with receipts spread over
30 days. wrk loads one after the other, in turn, so that a slow moment of the machine hits all. Counted are durable, proven,
de-duplicated accepts: distinct CallCov callbacks of 1.5 kB, 64 connections, web role. Prints a Markdown table.
Needs wrk (Debian: apt-get install wrk), and 4 GB of disk for the full run.
"""

import argparse
import contextlib
import os
import platform
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx

from receiver.store.ids import Ids
from receiver.store.records import redelivery_key
from receiver.testing.server import free_port

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DAY = 86_400
CONFIG = """\
store = "sqlite:{store}"
log_level = "warning"
[listen]
public = "127.0.0.1:{public}"
admin = "127.0.0.1:{admin}"
[sources.callcov]
provider = "callcov"
secrets = ["bench-secret-0123456789abcdef"]
signature = {{ header = "X-Signature", prefix = "sha256=" }}
[sinks.archive]
kind = "jsonl"
path = "{folder}/events.jsonl"
"""


class Run(NamedTuple):
    """One load of one server."""

    rate: float
    p50_ms: float
    p99_ms: float


def load(url: str, seconds: float) -> Run:
    """Load `url` with wrk. Raises SystemExit where anything but accepts came back."""
    script = str(HERE / "load.lua")
    command = ["wrk", "-t1", "-c64", f"-d{seconds:g}s", "-s", script, url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (.*)", out)
    if found is None:
        raise SystemExit(f"wrk said nothing that could be read:\n{out}")
    said = dict(part.split("=") for part in found[1].split())
    if said["refused"] != "0" or said["errors"] != "0":
        raise SystemExit(f"not everything was accepted: {found[1]}")
    return Run(int(said["accepted"]) / float(said["seconds"]), float(said["p50_ms"]), float(said["p99_ms"]))


@contextlib.contextmanager
def process(command: list[str], url: str) -> Iterator[str]:
    """Run a server as long as the block runs, from the moment that it answers."""
    server = subprocess.Popen(command, cwd=HERE)
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(url)
                break
            time.sleep(0.1)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@contextlib.contextmanager
def plain() -> Iterator[str]:
    """Run the bare route."""
    port = free_port()
    options = [
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    ]
    with process([str(BIN / "uvicorn"), "plain:app", *options], f"http://127.0.0.1:{port}/hooks/callcov") as url:
        yield url


@contextlib.contextmanager
def hookscribe(folder: Path) -> Iterator[str]:
    """Run the web role on the store in a folder."""
    public, admin = free_port(), free_port()
    config = folder / "hookscribe.toml"
    config.write_text(CONFIG.format(store=folder / "bench.db", public=public, admin=admin, folder=folder))
    command = [str(BIN / "hookscribe"), "--config", str(config), "serve", "--role", "web"]
    with process(command, f"http://127.0.0.1:{public}/hooks/callcov") as url:
        yield url


def fill(folder: Path, count: int) -> None:
    """Put receipts of 1.5 kB into a new store, spread over the last 30 days, as receiving them would have."""
    path = folder / "bench.db"
    config = folder / "hookscribe.toml"
    config.write_text(CONFIG.format(store=path, public=free_port(), admin=free_port(), folder=folder))
    subprocess.run([str(BIN / "hookscribe"), "--config", str(config), "migrate"], check=True, stdout=subprocess.DEVNULL)
    start = time.time() - 30 * DAY
    moment = [start]
    ids = Ids(lambda: moment[0], 1)
    headers = b"host:127.0.0.1\ncontent-type:application/json\ncontent-length:1475\nx-signature:sha256=" + b"0" * 64
    columns = "id, source, provider, day, key, key_rest, verdict, state, received_at, size, headers, body"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    for number in range(count):
        moment[0] = start + 30 * DAY * number / count
        milliseconds = int(moment[0] * 1000)
        keys = redelivery_key("callcov", b"bench %d" % number)
        row = (ids.next(), "callcov", "callcov", milliseconds // 86_400_000, *keys, "signature", "normalized")
        body = os.urandom(737).hex().encode() + b"x"
        connection.execute(
            f"INSERT INTO receipts ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (*row, milliseconds, 1475, headers, body),
        )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def measure(empty: Path, filled: Path, rounds: int, seconds: float) -> dict[str, list[Run]]:
    """Load the servers in turn, after a warm-up of each."""
    with plain() as bare, hookscribe(empty) as first, hookscribe(filled) as second:
        urls = {"bare route": bare, "empty": first, "filled": second}
        for url in urls.values():
            load(url, 2)
        found: dict[str, list[Run]] = {name: [] for name in urls}
        for _ in range(rounds):
            for name, url in urls.items():
                found[name].append(load(url, seconds))
        return found


def row(what: str, runs: list[Run], over: dict[str, list[Run]]) -> str:
    """Write medians, and the median ratio to each of `over` with its lowest and highest round, as a line."""
    rate = statistics.median(run.rate for run in runs)
    p99 = statistics.median(run.p99_ms for run in runs)
    ratios = " | ".join(_ratio(runs, other) for other in over.values())
    return f"| {what} | {rate:,.0f} | {p99:.1f} ms | {ratios} |"


def _ratio(runs: list[Run], over: list[Run]) -> str:
    ratios = sorted(one.rate / other.rate for one, other in zip(runs, over, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    """Run it all and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="5 s, 2 rounds, 50,000 rows: does it run?")
    options = parser.parse_args()
    seconds, rounds, rows = (5.0, 2, 50_000) if options.quick else (options.seconds, options.rounds, options.rows)
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, ", end="")
    print(f"{rounds} rounds of {seconds:g} s each, in turn; medians\n")
    with tempfile.TemporaryDirectory(prefix="hookscribe-bench-") as name:
        empty, filled = Path(name, "empty"), Path(name, "filled")
        empty.mkdir()
        filled.mkdir()
        fill(filled, rows)
        found = measure(empty, filled, rounds, seconds)
    over = {"bare route": found["bare route"], "empty": found["empty"]}
    print("| server | answers/s | 99th percentile | ÷ bare route | ÷ empty store |\n|---|---|---|---|---|")
    print(row("bare Starlette route, stores nothing", found["bare route"], over))
    print(row("Hookscribe, empty store", found["empty"], over))
    print(row(f"Hookscribe, {rows:,} receipts over 30 days", found["filled"], over))


if __name__ == "__main__":
    main()
