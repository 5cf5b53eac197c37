"""JSON lines: every event appended to a file, on disk before it counts as delivered, whole lines only."""

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.settings import SinkSettings, about
from receiver.contract.sink import Delivered, SendOutcome, Sink, SinkPorts, TryLater

_OURS = b'{"specversion":'
"""How each of our lines begins."""
_BLOCK = 64 * 1024

T = TypeVar("T")


class JsonlSettings(SinkSettings, frozen=True, kw_only=True):
    """Settings of a file of JSON lines."""

    path: Annotated[str, about("the file, made with mode 0600 where it is missing; its directory must exist")]
    rotate_bytes: Annotated[
        int | None, about("begin a new file before this size is passed; a line is never split", ge=4096)
    ] = None
    rotate_daily: Annotated[bool, about("begin a new file each day (UTC)")] = False
    keep: Annotated[int | None, about("how many rotated files stay; default: all of them", ge=1)] = None

    def check(self) -> None:
        """Raise ConfigError where the settings contradict each other."""
        SinkSettings.check(self)
        if not self.path or self.path.endswith("/") or "\0" in self.path:
            raise ConfigError("path: must name a file")
        if self.keep is not None and self.rotate_bytes is None and not self.rotate_daily:
            raise ConfigError("keep: counts rotated files, so it needs rotate_bytes or rotate_daily")
        if (self.concurrency or 1) > 1:
            raise ConfigError("concurrency: one file has one writer; leave it out")


class LinesFile:
    """An open file that only ever grows by whole lines. All methods block; one thread uses it.

    One writer has it at a time (`flock`). What stands behind the last line break when it is opened was torn off by a
    crash and never confirmed, so that event comes again: it is cut off, because readers of archives (jq, DuckDB, pandas)
    stop at the first broken line. If it is a whole JSON object, or not ours, it gets its line break instead.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        made = not path.exists()
        self._fd = _opened(path)
        try:
            _claim(self._fd, path)
            self._mend()
            if made:
                sync_directory(path.parent)
        except BaseException:
            self.close()
            raise

    def _mend(self) -> None:
        tail = self._tail()
        if not tail:
            return
        bare = tail.rstrip(b"\0")
        if not _is_object(tail) and (bare.startswith(_OURS) or _OURS.startswith(bare)):
            os.ftruncate(self._fd, self.size() - len(tail))
        else:
            os.write(self._fd, b"\n")
        os.fsync(self._fd)

    def _tail(self) -> bytes:
        """Return what stands behind the last line break."""
        tail, start = b"", self.size()
        while start and b"\n" not in tail:
            length = min(_BLOCK, start)
            start -= length
            tail = os.pread(self._fd, length, start) + tail
        return tail.rpartition(b"\n")[2]

    def size(self) -> int:
        """Return the size in bytes."""
        return os.fstat(self._fd).st_size

    def day(self) -> str:
        """Return the day (UTC) of the last write, as `20261120`."""
        return day_of(os.fstat(self._fd).st_mtime)

    def is_at(self, path: Path) -> bool:
        """Say whether this is still the file at `path`: not moved, deleted or replaced."""
        try:
            there = path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def append(self, lines: bytes) -> None:
        """Write whole lines and wait until they are on disk; where that fails, take them back and raise OSError."""
        start = self.size()
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._fd, rest) :]  # one write, but for what a full disk leaves over
            self._sync()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
                os.fsync(self._fd)
            raise

    def _sync(self) -> None:
        os.fdatasync(self._fd)
        if os.fstat(self._fd).st_nlink == 0:
            raise OSError(errno.ESTALE, "the file was deleted while it was written")

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._fd)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "the directory does not exist", str(path.parent)) from None


def _claim(fd: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EWOULDBLOCK, "another sink or process writes to this file", str(path)) from None
    except OSError:
        return  # a file system without locks


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def day_of(moment: float) -> str:
    """Return the day (UTC) of a Unix time, as `20261120`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d")


class Jsonl(Sink[JsonlSettings]):
    """Appends batches of events to a file, in one thread of its own, and rotates it between lines."""

    Settings = JsonlSettings
    order = "call"
    concurrency = 1
    batch = 256

    def __init__(self, name: str, settings: JsonlSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        self._path = Path(settings.path)
        self._file: LinesFile | None = None
        self._thread = ThreadPoolExecutor(1, f"jsonl-{name}")

    def lacking(self) -> str | None:
        """Return that the folder is not there, or that this user may not write."""
        folder = self._path.parent
        if not folder.is_dir():
            return f"path: there is no folder {folder}"
        if not os.access(self._path if self._path.exists() else folder, os.W_OK):
            return f"path: this user may not write {self._path}"
        return None

    async def open(self) -> None:
        """Open the file, so that what is wrong with it shows at the start. Raises OSError."""
        await self._off_loop(self._current)

    async def send(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        """Append the batch; Delivered once it is on disk."""
        return await self._off_loop(lambda: self._write(deliveries))

    async def close(self) -> None:
        """Close the file, after a write that may still be under way; the thread ends with the sink."""
        await self._off_loop(self._forget)

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _write(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        lines = [line_of(delivery) for delivery in deliveries]
        outcomes: list[SendOutcome] = []
        try:
            for chunk in self._chunks(lines):
                file = self._current()
                file.append(b"".join(chunk))
                outcomes += [Delivered(detail=file.path.name)] * len(chunk)
        except OSError as error:
            self._forget()
            later = TryLater(reason=f"{error.filename or self._path}: {error.strerror or error}")
            outcomes += [later] * (len(lines) - len(outcomes))
        return outcomes

    def _chunks(self, lines: list[bytes]) -> Iterator[list[bytes]]:
        """Yield lines that go into one file, and begin the next file between them."""
        bound = self.settings.rotate_bytes
        file = self._current()
        size = file.size()
        if size and self.settings.rotate_daily and file.day() != day_of(self.ports.now()):
            size = self._rotate()
        chunk: list[bytes] = []
        for line in lines:
            if bound and size and size + len(line) > bound:
                if chunk:
                    yield chunk
                chunk, size = [], self._rotate()
            chunk.append(line)
            size += len(line)
        yield chunk

    def _current(self) -> LinesFile:
        """Return the file at the path, opened again where somebody moved or deleted it."""
        if self._file is not None and not self._file.is_at(self._path):
            self._forget()
        if self._file is None:
            self._file = LinesFile(self._path)
        return self._file

    def _forget(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _rotate(self) -> int:
        """Give the file its final name, which sorts by time; return the size of the new one."""
        self._forget()
        target = self._path.with_name(f"{self._path.stem}.{self._stamp()}{self._path.suffix}")
        self._path.rename(target)
        self._prune()
        size = self._current().size()
        sync_directory(self._path.parent)
        return size

    def _stamp(self) -> str:
        """Return time and number for a name after all others, also when clocks go back or a second sees several."""
        when, number = datetime.fromtimestamp(self.ports.now(), UTC).strftime("%Y%m%dT%H%M%SZ"), 1
        if others := rotated(self._path):
            last, last_number = others[-1].name.removeprefix(f"{self._path.stem}.").split(".")[:2]
            if last >= when:
                when, number = last, int(last_number) + 1
        return f"{when}.{number:06d}"

    def _prune(self) -> None:
        if self.settings.keep is not None:
            for old in rotated(self._path)[: -self.settings.keep]:
                old.unlink(missing_ok=True)


def rotated(path: Path) -> list[Path]:
    """Return the rotated files of a path, oldest first."""
    name = re.compile(rf"{re.escape(path.stem)}\.\d{{8}}T\d{{6}}Z\.\d{{6}}{re.escape(path.suffix)}")
    return sorted(entry for entry in path.parent.iterdir() if name.fullmatch(entry.name))


def line_of(delivery: Delivery) -> bytes:
    """Return the event as one line: a line break of JSON can only stand between its parts, where a blank does as well."""
    line = delivery.event.cloudevent()
    if b"\n" in line or b"\r" in line:
        line = line.replace(b"\n", b" ").replace(b"\r", b" ")
    return line + b"\n"
