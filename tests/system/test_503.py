"""A store that cannot keep what comes: 503 with Retry-After, nothing half-kept, and all is well when it can again."""

import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from system.hostile_harness import CONFIG, SIGNED, Answer, Serve, ask, genuine, http, serving, until

pytestmark = pytest.mark.system

IMPATIENT = (
    sys.executable,
    "-c",
    "from receiver import cli; from receiver.store.sqlite import engine; engine.PRAGMAS['busy_timeout'] = '500'; cli.main()",
)
"""`hookscribe` that waits half a second for a lock, not ten."""


class Callbacks:
    """Sends callbacks one by one and knows which were accepted, and which were not."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.accepted: list[str] = []
        self.turned_away: list[str] = []

    async def send(self, serial: str, size: int = 0) -> Answer:
        """Send one; it is accepted as a new one, or turned away for now."""
        answer = await ask(self._serve.port, http(SIGNED, genuine(SIGNED, serial, size), close=True), wait=30)
        if answer.status == 200:
            assert json.loads(answer.body)["status"] == "accepted"
            self.accepted.append(serial)
        else:
            assert (answer.status, answer.body) == (503, b'{"error":"cannot be kept now"}')
            assert "retry-after: 5" in answer.headers
            self.turned_away.append(serial)
        return answer

    async def send_until_turned_away(self, name: str, most: int, few: int = 5) -> None:
        """Send until a few were turned away."""
        for number in range(most):
            if len(self.turned_away) >= few:
                return
            await self.send(f"{name}-{number}")
        raise AssertionError("the store kept everything")

    async def all_is_well(self, events: Path) -> None:
        """Send again what was turned away: nothing of it was kept; then everything arrives once at the sink."""
        again, self.turned_away = self.turned_away, []
        for serial in again:
            await self.send(serial)
        await self.send("after")
        assert not self.turned_away
        assert self._serve.rows("SELECT count(*) FROM receipts") == [(len(self.accepted),)]
        await until(lambda: len(events.read_bytes().splitlines()) >= len(self.accepted), 30)
        expected = {json.loads(genuine(SIGNED, serial).body)["id"] for serial in self.accepted}
        delivered = [json.loads(line)["data"]["job_id"] for line in events.read_bytes().splitlines()]
        assert sorted(delivered) == sorted(expected)
        states = self._serve.rows("SELECT state, count(*) FROM receipts GROUP BY 1")
        assert states == [("normalized", len(self.accepted))]
        assert "Traceback" not in self._serve.log
        assert '"exception"' not in self._serve.log


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Callable[[], Callable[[], None]]]:
    """Mount a small file system; calling what is yielded fills it to the last byte, what that returns makes room."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting a file system needs root")
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    filler = path / "filler"

    def fill() -> Callable[[], None]:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for block in (65536, 512, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * block)
        return filler.unlink

    try:
        yield fill
    finally:
        subprocess.run(["umount", path], check=True)


async def test_disk_full(tmp_path: Path) -> None:
    """A full disk: small and large callbacks are turned away; with room again the same process takes and delivers all."""
    events = tmp_path / "events.jsonl"
    with small_disk(tmp_path / "disk", "24m") as fill:
        config = CONFIG.replace('path = "events.jsonl"', f'path = "{events}"')
        with serving(tmp_path / "disk", config, limits="free_disk = 0") as serve:
            callbacks = Callbacks(serve)
            await callbacks.send("before")
            make_room = fill()
            large = await ask(serve.port, http(SIGNED, genuine(SIGNED, "large", 3_000_000), close=True))
            assert large.status == 503
            await callbacks.send_until_turned_away("full", 3000, few=60)
            make_room()
            await callbacks.all_is_well(events)


async def test_locked(tmp_path: Path) -> None:
    """Another process holds the store's lock for longer than we wait: turned away, and accepted once it lets go."""
    with serving(tmp_path, command=IMPATIENT) as serve:
        callbacks = Callbacks(serve)
        await callbacks.send("before")
        await until(lambda: serve.rows("SELECT state FROM receipts") == [("normalized",)])
        with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await callbacks.send_until_turned_away("locked", 10)
            other.execute("ROLLBACK")
        assert callbacks.accepted == ["before"]
        await callbacks.all_is_well(tmp_path / "events.jsonl")


async def test_writes_fail(tmp_path: Path) -> None:
    """Files may not be written any more, the log neither: turned away, and accepted once they may."""
    with serving(tmp_path) as serve:
        callbacks = Callbacks(serve)
        await callbacks.send("before")
        await until(lambda: serve.rows("SELECT state FROM receipts") == [("normalized",)])
        unlimited = resource.prlimit(serve.process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        await callbacks.send_until_turned_away("failing", 40, few=30)
        resource.prlimit(serve.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert callbacks.accepted == ["before"]
        await callbacks.all_is_well(tmp_path / "events.jsonl")
