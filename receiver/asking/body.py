"""What is sent to a provider: bytes, stretches of a recording that is never held whole, forms."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from receiver.contract.asking import Ask, Form, Part

_PIECE = 256 * 1024

Progress = Callable[[int], None]
"""Called with the number of bytes of the recording that have just been handed over."""


class Stretch(io.RawIOBase):
    """A part of a file as a file of its own. Close it when done."""

    def __init__(self, path: Path, part: Part, progress: Progress | None = None) -> None:
        """Raises OSError."""
        super().__init__()
        self._file = path.open("rb", buffering=0)
        rest = max(0, os.fstat(self._file.fileno()).st_size - part.start)
        self._start = part.start
        self._progress = progress
        self.size = rest if part.length is None else min(part.length, rest)
        self._at = 0

    def readable(self) -> bool:
        """Say that files can do it."""
        return True

    def seekable(self) -> bool:
        """Say that files can do it."""
        return True

    def tell(self) -> int:
        """Return the place inside the part, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place inside the part, as files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what comes next; 0 at the part's end."""
        view = memoryview(buffer)[: max(0, self.size - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view) or 0
        self._at += count
        if self._progress and count:
            self._progress(count)
        return count

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()


def outgoing(ask: Ask, path: Path | None, progress: Progress | None) -> tuple[dict[str, Any], Stretch | None]:
    """Return httpx's arguments for a request's body, and what to close afterwards. Raises OSError."""
    if isinstance(ask.body, bytes):
        return ({"content": ask.body} if ask.body else {}), None
    part = ask.body if isinstance(ask.body, Part) else ask.body.file.part if ask.body.file else None
    stretch = Stretch(_there(path), part, progress) if part is not None else None
    if isinstance(ask.body, Part):
        assert stretch is not None
        return {"content": _pieces(stretch), "headers": {"Content-Length": str(stretch.size)}}, stretch
    return _form(ask.body, stretch), stretch


def _form(form: Form, stretch: Stretch | None) -> dict[str, Any]:
    """Fields go as parts of a multipart body also where there is no file among them."""
    parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in form.fields]
    if form.file is not None:
        parts.append((form.file.field, (form.file.name, stretch, form.file.content_type)))
    return {"files": parts}


async def _pieces(stretch: Stretch) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(stretch.read, _PIECE):
        yield piece


def _there(path: Path | None) -> Path:
    if path is None:
        raise FileNotFoundError("there is no local recording to send")
    return path


def merged(arguments: dict[str, Any], headers: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Add headers to httpx's arguments; those of the body, such as its length, stand."""
    together = httpx.Headers([*headers])
    together.update(arguments.get("headers") or {})
    return {**arguments, "headers": together}
