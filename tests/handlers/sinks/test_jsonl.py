"""The file of JSON lines: whole lines only, whatever happens to the file, the disk or the process."""

import contextlib
import json
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from handlers.sinks.jsonl import Jsonl, JsonlSettings, line_of, rotated
from receiver.contract.errors import ConfigError
from receiver.contract.sink import Delivered, SendOutcome, SinkPorts
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.sink import Arrived, Behaviour, Peer, SinkContract, guarded
from receiver.testing.tables import settings_of


class FilePeer:
    """A file in a directory that can get in the way."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "in" / "events.jsonl"
        self.path.parent.mkdir()

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this file."""
        return {"path": str(self.path)}

    async def behave(self, how: Behaviour) -> None:
        """Put a directory in the file's place (LATER), or take its directory away (GONE), or put all right."""
        aside = self.path.with_suffix(".aside")
        gone = self.path.parent.with_name("gone")
        if how is Behaviour.LATER:
            self.path.rename(aside)
            self.path.mkdir()
        elif how is Behaviour.GONE:
            self.path.parent.rename(gone)
        else:
            if gone.exists():
                gone.rename(self.path.parent)
            if self.path.is_dir():
                self.path.rmdir()
                aside.rename(self.path)

    async def arrived(self) -> Sequence[Arrived]:
        """Return the lines of the file."""
        return [Arrived(raw=line, event=line) for line in self.path.read_bytes().splitlines()]


class TestJsonl(SinkContract):
    """The kit."""

    sink = Jsonl
    cannot: ClassVar[Mapping[Behaviour, str]] = {
        Behaviour.REFUSES: "a file takes anything",
        Behaviour.HANGS: "a file of this machine answers",
    }

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Give a fresh directory."""
        with tempfile.TemporaryDirectory() as folder:
            yield FilePeer(Path(folder))


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


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A new file has mode 0600, whatever the umask; an existing one keeps its own."""
    before = os.umask(0)
    try:
        async with opened(tmp_path / "new.jsonl"):
            assert stat.S_IMODE((tmp_path / "new.jsonl").stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_a_batch_is_one_write_and_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 events cost one write, and are synced before they count as delivered."""
    calls: list[str] = []
    write, sync = os.write, os.fdatasync
    async with opened(tmp_path / "events.jsonl") as sink:
        monkeypatch.setattr(os, "write", lambda fd, data: calls.append("write") or write(fd, data))  # type: ignore[func-returns-value]
        monkeypatch.setattr(os, "fdatasync", lambda fd: calls.append("sync") or sync(fd))  # type: ignore[func-returns-value]
        outcomes = await sink.send(sample_deliveries(sink.batch))
        monkeypatch.undo()
    assert delivered(outcomes)
    assert calls == ["write", "sync"]


OURS = sample_event(9).cloudevent()


@pytest.mark.parametrize(
    ("torn", "left"),
    [
        (OURS[:-1], b""),
        (OURS[: len(OURS) // 2], b""),
        (OURS[:3], b""),
        (OURS[:40] + b"\0" * 5000, b""),
        (b"\0" * 200_000, b""),
        (OURS, OURS + b"\n"),
        (b'{"somebody": "else"}', b'{"somebody": "else"}\n'),
        (b"notes of somebody, never ours to cut", b"notes of somebody, never ours to cut\n"),
        (b"", b""),
    ],
)
async def test_a_torn_line_is_never_joined_to_a_good_one(tmp_path: Path, torn: bytes, left: bytes) -> None:
    """A piece of our line is cut off at open; a whole object or foreign text gets its line break."""
    path = tmp_path / "events.jsonl"
    good = line_of(sample_delivery()) * 3
    for before in (good, b""):
        path.write_bytes(before + torn)
        async with opened(path) as sink:
            assert path.read_bytes() == before + left
            assert delivered(await sink.send([sample_delivery(serial=2)]))
        assert path.read_bytes() == before + left + line_of(sample_delivery(serial=2))


async def test_line_breaks_between_json_parts_become_blanks(tmp_path: Path) -> None:
    """Data that was written over several lines is one line all the same."""
    async with opened(tmp_path / "events.jsonl") as sink:
        await sink.send([sample_delivery(sample_event(data=b'{\r\n  "text": "a\\nb"\n}'))])
    (line,) = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert json.loads(line)["data"] == {"text": "a\nb"}


def test_a_missing_directory_is_known_before_it_is_needed(tmp_path: Path) -> None:
    """`hookscribe doctor` asks; a file that is not there yet will be made."""

    def lacking(path: Path) -> str | None:
        ports: Any = SinkPorts(http=None, links=None, now=time.time)  # type: ignore[arg-type]
        return Jsonl("archive", settings_of(JsonlSettings, {"kind": "jsonl", "path": str(path)}), ports).lacking()

    assert lacking(tmp_path / "events.jsonl") is None
    assert lacking(tmp_path / "gone" / "events.jsonl") == f"path: there is no folder {tmp_path / 'gone'}"


async def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    """The error says what is missing; the sink does not make directories."""
    with pytest.raises(OSError, match=f"the directory does not exist: '{tmp_path}/no'"):
        async with opened(tmp_path / "no" / "events.jsonl"):
            pass


@pytest.mark.parametrize("kind", ["directory", "fifo"])
async def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A directory or a pipe cannot be an archive."""
    path = tmp_path / "events.jsonl"
    (path.mkdir if kind == "directory" else lambda: os.mkfifo(path))()
    with pytest.raises(OSError, match=r"directory|not a regular file"):
        async with opened(path):
            pass


async def test_a_file_has_one_writer(tmp_path: Path) -> None:
    """A second sink on the same file fails to open until the first lets go."""
    path = tmp_path / "events.jsonl"
    async with opened(path):
        with pytest.raises(BlockingIOError, match="another sink or process writes to this file"):
            async with opened(path):
                pass
    async with opened(path) as sink:
        assert delivered(await sink.send([sample_delivery()]))


@pytest.mark.parametrize("how", ["moved", "deleted", "emptied", "replaced"])
async def test_logrotate_may_take_the_file(tmp_path: Path, how: str) -> None:
    """After a move, delete, copy-and-truncate or replacement the next batch goes to the file at the path."""
    path, old = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    async with opened(path) as sink:
        assert delivered(await sink.send(sample_deliveries(2)))
        if how == "moved":
            path.rename(old)
        elif how == "deleted":
            path.unlink()
        elif how == "emptied":
            os.truncate(path, 0)
        else:
            old.write_bytes(b"")
            old.replace(path)
        assert delivered(await sink.send(sample_deliveries(2, first=3)))
    assert serials(path) == [3, 4]
    assert how != "moved" or serials(old) == [1, 2]


async def test_rotation_under_load_loses_and_splits_nothing(tmp_path: Path) -> None:
    """Small files, big batches, one line larger than a file: every event once, in order, within the bound."""
    path = tmp_path / "events.jsonl"
    deliveries = sample_deliveries(1000)
    deliveries[500] = sample_delivery(sample_event(501, grow_to=60_000))
    async with opened(path, rotate_bytes=20_000) as sink:
        for start in range(0, 1000, sink.batch):
            assert delivered(await sink.send(deliveries[start : start + sink.batch]))
    files = [*rotated(path), path]
    assert serials(*files) == list(range(1, 1001))
    assert sum(file.stat().st_size > 20_000 for file in files) == 1
    assert len(files) > 100
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_old_files_are_removed(tmp_path: Path) -> None:
    """`keep` leaves the newest rotated files and nobody else's, also with several in one second and a clock gone back."""
    path = tmp_path / "events.jsonl"
    (tmp_path / "events.mine.jsonl").write_bytes(b"")
    for now in (2_000_000_000.0, 1_900_000_000.0):
        async with opened(path, now=now, rotate_bytes=20_000, keep=2) as sink:
            assert delivered(await sink.send(sample_deliveries(100)))
    files = [*rotated(path), path]
    assert len(files) == 3
    found = serials(*files)
    assert found == list(range(101 - len(found), 101))
    assert (tmp_path / "events.mine.jsonl").exists()


async def test_a_new_day_begins_a_new_file(tmp_path: Path) -> None:
    """With `rotate_daily` a batch of another day (UTC) goes to another file, also after a restart."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(line_of(sample_delivery()))
    os.utime(path, (1_800_000_000, 1_800_000_000))
    async with opened(path, now=1_800_000_060.0, rotate_daily=True):
        assert rotated(path) == []
    async with opened(path, now=time.time(), rotate_daily=True) as sink:
        for serial in (2, 3):
            assert delivered(await sink.send([sample_delivery(serial=serial)]))
    (old,) = rotated(path)
    assert (serials(old), serials(path)) == ([1], [2, 3])


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"path": ""}, "path"),
        ({"path": "logs/"}, "path: must name a file"),
        ({"keep": 3}, "keep: counts rotated files, so it needs rotate_bytes or rotate_daily"),
        ({"concurrency": 4}, "concurrency: one file has one writer"),
        ({"rotate_bytes": 10}, "rotate_bytes"),
    ],
)
def test_settings_that_cannot_work(table: dict[str, Any], why: str) -> None:
    """Contradictions are ConfigErrors that name the key."""
    with pytest.raises(ConfigError, match=why):
        settings_of(JsonlSettings, {"kind": "jsonl", "path": "events.jsonl", **table})
