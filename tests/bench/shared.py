"""What a callback costs on SQLite and on PostgreSQL: processor time of web processes, worker and server.

    python tests/bench/shared.py [SECONDS]

On SQLite one web process; on a private server (initdb) one and then two, each loaded by its own wrk; then one worker on what
the one had kept. Processor time is the operating system's accounting, so that whoever else uses the machine hardly changes it.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from postgres_cluster import Cluster, _children, cluster
from postgres_server import database
from receive import BIN, CONFIG, load, process

from receiver.store.opening import postgres_engine
from receiver.testing.server import free_port

_TICK = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What one run cost: microseconds of processor time of our processes and of the server for each callback."""

    what: str
    rate: float
    ours: float
    server: float


def spent(number: int, *, ended: bool = True) -> float:
    """Return the processor time of a process, in seconds, with that of its children that ended."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) / _TICK


def of_server(server: Cluster | None) -> float:
    """Return the processor time of a server: those of its processes that live, and those that ended."""
    if server is None:
        return 0.0
    first = int((server.folder / "postmaster.pid").read_text().split()[0])
    return spent(first) + sum(spent(one) for one in _children(first))


def of_ours() -> float:
    """Return the processor time of our processes."""
    return sum(
        spent(one) for one in _children(os.getpid()) if b"hookscribe" in Path(f"/proc/{one}/cmdline").read_bytes()
    )


def serve(folder: Path, store: str, role: str) -> tuple[list[str], str]:
    """Return the command line of one process, and where it receives."""
    public, admin = free_port(), free_port()
    config = folder / f"{public}.toml"
    text = CONFIG.format(store="", public=public, admin=admin, folder=folder)
    config.write_text(
        text.replace('store = "sqlite:"', f'store = "{store}"\nadmin_token = "bench-admin-token-0123456789"')
    )
    command = [str(BIN / "hookscribe"), "--config", str(config), "serve", "--role", role]
    return command, f"http://127.0.0.1:{public}/hooks/callcov"


def receiving(folder: Path, store: str, server: Cluster | None, count: int, seconds: float) -> Cost:
    """Load so many web processes."""
    with contextlib.ExitStack() as stack:
        webs = [stack.enter_context(process(*serve(folder, store, "web"))) for _ in range(count)]
        pool = stack.enter_context(ThreadPoolExecutor(count))
        list(pool.map(lambda one: load(one, 1.0), webs))
        ours, theirs = of_ours(), of_server(server)
        rate = sum(run.rate for run in pool.map(lambda one: load(one, seconds), webs))
        ours, theirs = of_ours() - ours, of_server(server) - theirs
    return Cost(f"{count} web", rate, ours / rate / seconds * 1e6, theirs / rate / seconds * 1e6)


def delivering(folder: Path, store: str, server: Cluster | None, seconds: float) -> Cost:
    """Let one worker normalize and deliver what was kept, for so long."""
    events = folder / "events.jsonl"
    command, _ = serve(folder, store, "worker")
    with subprocess.Popen(command) as worker:
        while _lines(events) < 1000:
            time.sleep(0.1)
        done, ours, theirs = _lines(events), of_ours(), of_server(server)
        time.sleep(seconds)
        done, ours, theirs = _lines(events) - done, of_ours() - ours, of_server(server) - theirs
        worker.terminate()
    return Cost("1 worker", done / seconds, ours / done * 1e6, theirs / done * 1e6)


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


@contextlib.contextmanager
def empty(server: Cluster | None) -> Iterator[tuple[Path, str]]:
    """Give a folder, and the address of an empty store."""
    with tempfile.TemporaryDirectory() as name:
        if server is None:
            yield Path(name), f"sqlite:{name}/store.db"
        else:
            with database(server.server) as url:
                asyncio.run(migrate(url))
                yield Path(name), url


async def migrate(url: str) -> None:
    """Make the schema."""
    engine = postgres_engine(url)
    await engine.migrate()
    await engine.close()


def main() -> None:
    """Measure all, and print each."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    costs = []
    with cluster() as server:
        for name, its in (("SQLite", None), ("PostgreSQL", server)):
            with empty(its) as (folder, store):
                costs += [
                    (name, receiving(folder, store, its, 1, seconds)),
                    (name, delivering(folder, store, its, seconds)),
                ]
        with empty(server) as (folder, store):
            costs.append(("PostgreSQL", receiving(folder, store, server, 2, seconds)))
    for name, cost in costs:
        print(
            f"{name}, {cost.what}: {cost.rate:,.0f} callbacks/s; processor time each: "
            f"ours {cost.ours:.0f} us, server {cost.server:.0f} us, together {cost.ours + cost.server:.0f} us"
        )
    one, two = (cost.ours + cost.server for cost in (costs[2][1], costs[4][1]))
    print(f"two cost {two / one:.2f} times what one costs")


if __name__ == "__main__":
    main()
