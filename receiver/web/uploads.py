"""Uploads: a form with a recording, which goes to disk piece by piece, within the bounds of bodies that are being read."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from receiver.config import LimitSettings
from receiver.contract.errors import Overloaded, UsageError
from receiver.pipeline.uploaded import place
from receiver.store import disk
from receiver.web.reading import MAX_BODY

FILE = "file"
_LOOK = 16 << 20
"""Bytes after which the disk is looked at again."""


class Upload:
    """A form as it was sent: its texts, and its recording, which is removed at the end unless it is kept."""

    def __init__(self, path: Path) -> None:
        self.texts: dict[str, str] = {}
        self.name: str | None = None
        """What the sender calls the recording; None where there is none."""
        self.path = path
        self.kept = False


class Uploads:
    """Reads forms; what they take together has the bounds of `[limits]`."""

    def __init__(self, folder: Path | None, limits: LimitSettings) -> None:
        self._folder = folder
        self._limits = limits
        self._left = limits.spool

    @contextlib.asynccontextmanager
    async def read(self, request: Request, job: int) -> AsyncIterator[Upload]:
        """Give a form, its recording where that of a job is kept. Raises UsageError, Overloaded, or HTTPException 400, 408 or 413."""
        if self._folder is None:
            raise UsageError(
                "recordings: with PostgreSQL, name a folder that every process sees, to send recordings to"
            )
        upload = Upload(place(self._folder, job))
        try:
            await self._taken(request, upload)
            yield upload
        finally:
            if not upload.kept:
                upload.path.unlink(missing_ok=True)

    async def _taken(self, request: Request, upload: Upload) -> None:
        """Take a whole form. What is written counts against the bound until it is there."""
        form, taken = _Form(upload, request), 0
        try:
            upload.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _made(upload.path) as file:
                async for chunk in self._chunks(request):
                    pieces = form.take(chunk)
                    size = sum(map(len, pieces))
                    self._spend(size, upload.path, look=not taken or taken // _LOOK != (taken + size) // _LOOK)
                    taken += size
                    await asyncio.to_thread(_write, file, pieces)
                await asyncio.to_thread(os.fsync, file.fileno())  # the job is on disk next: its recording must be whole
        except OSError as error:
            raise Overloaded(f"the recording could not be written to disk: {error.strerror}") from error
        finally:
            self._left += taken
        form.end()

    def _spend(self, size: int, path: Path, *, look: bool) -> None:
        if size > self._left:
            raise HTTPException(
                413,
                f"{self._limits.spool} bytes are the most ([limits] spool), of all recordings that are sent at once",
            )
        if look and disk.free(path) < self._limits.free_disk + _LOOK:
            raise Overloaded("the disk is nearly full ([limits] free_disk)")
        self._left -= size

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        stream = aiter(request.stream())
        while True:
            try:
                async with asyncio.timeout(self._limits.body_timeout):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise HTTPException(408, "nothing more of the recording came", {"connection": "close"}) from None
            except ClientDisconnect:
                raise HTTPException(400, "the body ended early") from None
            yield chunk


class _Form:
    """Cuts a form into its parts while it comes."""

    def __init__(self, upload: Upload, request: Request) -> None:
        _, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary")
        if not boundary:
            raise UsageError("the form's content type names no boundary")
        self._upload = upload
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._began,
                "on_header_begin": self._named,
                "on_header_field": lambda data, start, end: self._keep(self._field, data[start:end]),
                "on_header_value": lambda data, start, end: self._keep(self._value, data[start:end]),
                "on_header_end": self._header,
                "on_headers_finished": self._opened,
                "on_part_data": self._data,
                "on_part_end": self._ended,
                "on_end": self._done,
            },
        )
        self._pieces: list[bytes] = []
        self._texts = 0
        self._whole = False
        self._began()
        self._named()

    def take(self, chunk: bytes) -> list[bytes]:
        """Return what of the recording is in the next bytes. Raises UsageError or HTTPException."""
        self._pieces = []
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise UsageError(f"this is no form as its content type says: {error}") from None
        return self._pieces

    def end(self) -> None:
        """Say that nothing more comes. Raises UsageError where something is missing."""
        if not self._whole:
            raise UsageError("the form ended early")

    def _began(self) -> None:
        self._headers: dict[str, bytes] = {}
        self._text = bytearray()
        self._name, self._is_file = "", False

    def _named(self) -> None:
        self._field, self._value = bytearray(), bytearray()

    def _header(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = bytes(self._value)

    def _opened(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == FILE
        if self._name in self._upload.texts or (self._is_file and self._upload.name is not None):
            raise UsageError(f"{self._name[:40]} stands twice in the form")
        if self._is_file:
            given = options.get(b"filename", b"").decode("utf-8", "replace")
            name = given.replace("\\", "/").rpartition("/")[2]
            self._upload.name = "".join(char for char in name if char.isprintable())[:255] or "recording"

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(bytes(data[start:end]))
        else:
            self._keep(self._text, data[start:end])

    def _keep(self, where: bytearray, data: bytes) -> None:
        self._texts += len(data)
        if self._texts > MAX_BODY:
            raise HTTPException(413, f"{MAX_BODY} bytes are the most beside the recording")
        where += data

    def _ended(self) -> None:
        if b"\0" in self._text:
            raise UsageError(f"{self._name[:40]} holds a NUL")
        if not self._is_file:
            self._upload.texts[self._name] = self._text.decode("utf-8", "replace")

    def _done(self) -> None:
        self._whole = True


def _made(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)


def _write(file: IO[bytes], pieces: list[bytes]) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]
