"""The layer that writes the audit trail: orders before they are answered, reads in batches so that reading stays fast."""

import asyncio
import re
from collections.abc import Iterable, Mapping

import msgspec
import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.contract.errors import StoreError
from receiver.store.audit import READ, Entry, Trail
from receiver.web.endpoint import Endpoint, endpoint_of
from receiver.web.reading import told_of
from receiver.web.shield import via_of, who_of

log = structlog.get_logger()

_SEEN = "hookscribe.seen"
_ID = re.compile(r"\b(?:trn|call|rcp|evt|qrn|dlv|job)_[0-9a-hjkmnp-tv-z]{13}\b")
_LOGOUT = "/logout"
_LOOKS = ("GET", "HEAD")
_SECONDS = 1.0
"""How long a read waits for others at most."""
_MOST = 2000
"""Reads that wait; with more, readers wait for the store."""
_TOLD = frozenset({
    "ids", "state", "sink", "source", "provider", "event", "type", "since", "until", "from_", "to", "dead", "dry_run",
    "deliver", "show_text", "wait", "job_id", "setting",
})  # fmt: skip
"""Members of orders that are written down: what they are about, and nothing that somebody said."""


class Reads:
    """Reads that are written together, at most a second after they were made."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self._waiting: list[Entry] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, entries: Iterable[Entry]) -> None:
        """Add reads. Raises StoreError where too many wait already and the store does not take them."""
        self._waiting += entries
        if len(self._waiting) >= _MOST:
            await self.flush()
        elif self._waiting and self._writing is None:
            self._writing = asyncio.create_task(self._later())

    async def flush(self) -> None:
        """Write what waits. Raises StoreError; then it waits on."""
        entries, self._waiting = self._waiting, []
        try:
            await self.trail.write(entries)
        except BaseException:
            self._waiting = entries + self._waiting
            raise

    async def close(self) -> None:
        """Write what waits, at the end."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        try:
            await self.flush()
        except StoreError as error:
            log.error("audit.lost", count=len(self._waiting), why=str(error))

    async def _later(self) -> None:
        while self._waiting:
            await asyncio.sleep(_SECONDS)
            try:
                await self.flush()
            except StoreError as error:
                log.warning("audit.waits", count=len(self._waiting), why=str(error))
        self._writing = None


class Audited:
    """Writes down what is asked for and granted; it stands behind `TokenNeeded`."""

    def __init__(self, app: ASGIApp, reads: Reads) -> None:
        self._app = app
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)

        counts = False

        async def written(message: Message) -> None:
            nonlocal counts
            if message["type"] == "http.response.start":
                counts = _counts(request, message["status"])
            more = bool(scope.get(_SEEN))  # what a stream goes on to show is written down before that is sent
            if counts and (more or message["type"] == "http.response.start"):
                await self._write(request)
                scope.pop(_SEEN, None)
            await send(message)

        await self._app(scope, receive, written)

    async def _write(self, request: Request) -> None:
        entries = entries_of(request)
        if request.method in _LOOKS:
            await self._reads.add(entries)
        else:
            await self._reads.trail.write(entries)


def _counts(request: Request, status: int) -> bool:
    """Say whether something was shown or done: also by an order that failed once it had done something.

    Who is told that nothing changed (304) was shown it before.
    """
    if request.method in _LOOKS:
        return status < 400 and status != 304
    return status < 400 or bool(request.scope.get(_SEEN))


def seen(request: Request, things: Iterable[str]) -> None:
    """Say which things an answer shows the words of, or an order was about, where its path does not name them."""
    request.scope.setdefault(_SEEN, {}).update(dict.fromkeys(things))


def entries_of(request: Request) -> list[Entry]:
    """Return what a request that was granted leaves in the trail."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    endpoint = endpoint_of(request)
    things = [*request.scope.get(_SEEN, ())] or _ID.findall(path)
    who, via = who_of(request).name, via_of(request)
    if request.method in _LOOKS:
        shows = endpoint.shows if endpoint else bool(things)
        return [Entry(who=who, via=via, what=READ, thing=thing) for thing in things] if shows else []
    if path == _LOGOUT:
        return []
    told = told_of(request)
    what, named = _order(path, endpoint, told.get("verb") if isinstance(told, Mapping) else None)
    detail = _detail(told)
    return [Entry(who=who, via=via, what=what, thing=thing, detail=detail) for thing in things or [named]]


def _order(path: str, endpoint: Endpoint | None, verb: str | None) -> tuple[str, str | None]:
    """Return what an order is called, and what it is about where that has a name: `sinks.pause`, `archive`.

    `verb` is what a form says that is to be done.
    """
    words = path.removeprefix("/api/v1/").strip("/").split("/")
    if verb is None:
        verb = words[-1] if len(words) > 1 and not _ID.fullmatch(words[-1]) else "submit"
    if endpoint is None and len(words) < 2:
        verb = "change"
    return f"{words[0]}.{verb}", words[1] if len(words) > 2 else None


def _detail(order: msgspec.Struct | Mapping[str, str] | None) -> str | None:
    if isinstance(order, msgspec.Struct):
        given = {
            field.encode_name: getattr(order, field.name)
            for field in msgspec.structs.fields(order)
            if field.name in _TOLD and getattr(order, field.name) not in (None, (), field.default)
        }
    else:
        given = {name: value for name, value in (order or {}).items() if name in _TOLD}
    return msgspec.json.encode(given).decode() if given else None
