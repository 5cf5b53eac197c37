"""The file of JSON lines when the disk is full or broken, and when the process is killed."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from handlers.sinks.jsonl import Jsonl, JsonlSettings, rotated
from receiver.contract.sink import Delivered, SendOutcome, SinkPorts, TryLater
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.sink import guarded
from receiver.testing.tables import settings_of


@contextlib.asynccontextmanager
async def opened(path: Path, *, now: float | None = None, **table: Any) -> AsyncIterator[Jsonl]:
    """Give an open sink, and close it."""
    settings = settings_of(JsonlSettings, {"kind": "jsonl", "path": str(path), **table})
    async with guarded() as http:
        sink = Jsonl("archive", settings, SinkPorts(http=http, links=None, now=lambda: now or time.time()))
        try:
            await sink.open()
            yield sink
        finally:
            await sink.close()


def serials(*paths: Path) -> list[int]:
    """Return the serials of the sample events in files, in order; every line must be whole."""
    text = b"".join(path.read_bytes() for path in paths)
    assert text.endswith(b"\n") or not text
    return [int(json.loads(line)["id"].removeprefix("evt_")) for line in text.split(b"\n")[:-1]]


def delivered(outcomes: Sequence[SendOutcome]) -> bool:
    """Say whether everything was delivered."""
    return all(isinstance(outcome, Delivered) for outcome in outcomes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_full_disk_is_tried_later(small_disk: Path) -> None:
    """When the disk is full the batch is taken back whole, lines stay whole, and it arrives once there is room."""
    path, ballast = small_disk / "events.jsonl", small_disk / "ballast"
    ballast.write_bytes(b"\0" * 100_000)
    async with opened(path) as sink:
        written = 0
        while delivered(await sink.send(sample_deliveries(10, first=written + 1))):
            written += 10
        assert serials(path) == list(range(1, written + 1))
        (outcome, *_) = await sink.send([sample_delivery(sample_event(grow_to=200_000))])
        assert outcome == TryLater(reason=f"{path}: No space left on device")
        ballast.unlink()
        assert delivered(await sink.send(sample_deliveries(10, first=written + 1)))
    assert serials(path) == list(range(1, written + 11))


async def test_a_failed_sync_takes_the_batch_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk says after the write that it failed, nothing of the batch stays, and the file is opened anew."""

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "events.jsonl"
    async with opened(path) as sink:
        assert delivered(await sink.send([sample_delivery()]))
        monkeypatch.setattr(os, "fdatasync", broken)
        (outcome,) = await sink.send([sample_delivery(serial=2)])
        assert outcome == TryLater(reason=f"{path}: Input/output error")
        monkeypatch.undo()
        assert delivered(await sink.send([sample_delivery(serial=2)]))
    assert serials(path) == [1, 2]


async def test_a_file_deleted_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went into a file without a name did not arrive."""
    path = tmp_path / "events.jsonl"
    async with opened(path) as sink:
        monkeypatch.setattr(os, "fdatasync", lambda _: path.unlink())
        (outcome,) = await sink.send([sample_delivery()])
        assert outcome == TryLater(reason=f"{path}: the file was deleted while it was written")
        monkeypatch.undo()
        assert delivered(await sink.send([sample_delivery()]))
    assert serials(path) == [1]


async def test_a_cancelled_send_does_not_mix_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its write ends first; the same event may then stand twice, each time whole."""
    write = os.write
    path = tmp_path / "events.jsonl"
    async with opened(path) as sink:
        monkeypatch.setattr(os, "write", lambda fd, data: time.sleep(0.3) or write(fd, data))  # type: ignore[func-returns-value]
        task = asyncio.ensure_future(sink.send([sample_delivery()]))
        await asyncio.sleep(0.1)
        task.cancel()
        assert delivered(await sink.send([sample_delivery(attempt=2)]))
        monkeypatch.undo()
    assert serials(path) == [1, 1]


WRITER = """
import asyncio, sys
from handlers.sinks.jsonl import Jsonl, JsonlSettings
from receiver.contract.sink import SinkPorts
from receiver.testing.events import sample_delivery, sample_event
from receiver.testing.tables import settings_of

async def main(path, first):
    settings = settings_of(JsonlSettings, {"kind": "jsonl", "path": path, "rotate_bytes": 30_000_000})
    sink = Jsonl("archive", settings, SinkPorts(http=None, links=None, now=lambda: 1_800_000_000.0))
    await sink.open()
    print("open", flush=True)
    while True:
        await sink.send([sample_delivery(sample_event(serial, grow_to=1_000_000)) for serial in range(first, first + 5)])
        print(first, flush=True)
        first += 5

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.system
async def test_a_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    """Killed in the middle of writing, again and again: what was confirmed is there, and every line is whole."""
    path = tmp_path / "events.jsonl"
    confirmed: set[int] = set()
    for round_ in range(5):
        first = 1_000 * round_ + 1
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"
        await asyncio.sleep(0.1 + 0.037 * round_)
        writer.kill()
        for line in writer.stdout:
            confirmed.update(range(int(line), int(line) + 5))
        writer.stdout.close()
        writer.wait()
    async with opened(path) as sink:
        assert delivered(await sink.send([sample_delivery(serial=999_999)]))
    found = serials(*rotated(path), path)
    assert confirmed
    assert confirmed <= set(found)
    assert found == sorted(set(found))
