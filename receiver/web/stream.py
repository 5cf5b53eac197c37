"""The stream: what happens, as server-sent events, resumed where a reader left off; no words of a call are in it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from receiver.contract.errors import Overloaded, StoreError, UsageError
from receiver.store import shapes
from receiver.store.store import Row, Store
from receiver.web.endpoint import Endpoint, Query

EVERY = 0.25
"""Seconds between looks for what is new."""
HEARTBEAT = 15.0
"""Seconds after which a reader hears something, if only that nothing happened."""
SLOW = 30.0
"""Seconds that a reader may let us wait before it is ended."""
READERS = 32
"""Readers at once."""
_TOGETHER = 500
_LONGEST = 500
_DIGITS = 18
_GLOBS = {"type": "string", "maxLength": _LONGEST, "description": "globs, with commas between them"}
_QUERY: Query = {
    "types": _GLOBS,
    "sources": _GLOBS,
    "cursor": {
        "type": "string",
        "pattern": r"^[0-9]{1,18}$",
        "description": "`id` of the last one read; default: from now on",
    },
}


class Streams:
    """Readers of the stream, as long as this process serves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = asyncio.Event()
        self._readers = 0

    def endpoints(self) -> list[Endpoint]:
        """Return what there is."""
        about = "What happens, as server-sent events; goes on behind `Last-Event-ID` or `cursor`."
        media = ("text/event-stream",)
        return [Endpoint(path="/api/v1/stream", run=self.read, about=about, answer=None, media=media, query=_QUERY)]

    def stop(self) -> None:
        """End all readers with a last message."""
        self._stopping.set()

    async def read(self, request: Request) -> Response:
        """Answer with events until the reader goes, is too slow, or this process stops. Raises UsageError or Overloaded."""
        asked = request.query_params
        globs = [_globs(name, asked.get(name)) for name in ("types", "sources")]
        place = request.headers.get("last-event-id") or asked.get("cursor")
        if self._readers >= READERS:
            raise Overloaded(f"{READERS} readers of the stream are the most")
        after = _number(place) if place else (await self._store.engine.rows("last_number"))[0][0]
        return _Streamed(self, after, globs)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

    async def messages(self, after: int, globs: Sequence[Sequence[str]]) -> AsyncIterator[bytes]:
        """Yield messages behind an event, the last one says why it ends."""
        yield b"retry: 3000\n\n"
        told, quiet = after, 0.0
        while not self._stopping.is_set():
            try:
                rows = await self._store.engine.rows("stream_events", {"seq": after, "limit": _TOGETHER})
            except StoreError:
                break
            wanted = [row for row in rows if all(map(_fits, globs, (row[3], row[2])))]
            after = rows[-1][0] if rows else after
            if wanted:
                yield b"".join(map(_message, wanted))
                told, quiet = wanted[-1][0], 0.0
            if len(rows) < _TOGETHER:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), EVERY)
                quiet += EVERY
            if quiet >= HEARTBEAT:
                yield b": nothing new\n\n" if told == after else b"id: %d\n\n" % after
                told, quiet = after, 0.0
        yield _end("this process stops, or its store does not answer; go on elsewhere, or here in a moment")


class _Streamed(Response):
    """The answer: bounded, because nothing is read from the store before what was read is on its way."""

    def __init__(self, streams: Streams, after: int, globs: Sequence[Sequence[str]]) -> None:
        super().__init__(media_type="text/event-stream")
        self._streams = streams
        self._after = after
        self._globs = globs

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        with self._streams.reading():
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            gone = asyncio.create_task(_gone(receive))
            writing = asyncio.create_task(self._write(send))
            try:
                await asyncio.wait([gone, writing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (gone, writing):
                    task.cancel()
                await asyncio.gather(gone, writing, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        last = b""
        try:
            async for message in self._streams.messages(self._after, self._globs):
                async with asyncio.timeout(SLOW):
                    await send({"type": "http.response.body", "body": message, "more_body": True})
        except TimeoutError:
            last = _end(f"too slow: nothing was read for {SLOW:g} seconds; go on behind the last id")
        async with asyncio.timeout(SLOW):
            await send({"type": "http.response.body", "body": last, "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _globs(name: str, text: str | None) -> list[str]:
    if text is not None and len(text) > _LONGEST:
        raise UsageError(f"{name}: {_LONGEST} characters are the most")
    return [one.strip() for one in (text or "*").split(",")]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise UsageError("Last-Event-ID, cursor: expected the id of the last event read; 0 is before the first")
    return int(text)


def _fits(globs: Sequence[str], text: str) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


def _message(row: Row) -> bytes:
    data = msgspec.json.encode(shapes.event(row[1:]))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row[0], row[3].encode(), data)


def _end(why: str) -> bytes:
    return b"event: end\ndata: %s\n\n" % msgspec.json.encode({"why": why})
