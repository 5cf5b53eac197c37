"""Payloads: one whole event for who holds a signed link to it, and for who has the admin token."""

import asyncio
from collections.abc import Callable, Collection, Mapping

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from receiver.contract.errors import Gone, NotFound, StoreError, Unreadable, UsageError
from receiver.contract.model import Event
from receiver.contract.settings import RedactSettings
from receiver.links import Links
from receiver.pipeline.shape import PAYLOADS
from receiver.redact.data import redact_data
from receiver.redact.found import Deadline, TooSlow
from receiver.redact.redactor import Redactor, Rules
from receiver.store.audit import READ, Entry
from receiver.store.gone import missing
from receiver.store.ids import EVENT, decode
from receiver.store.records import DueDelivery
from receiver.store.store import Store
from receiver.web.answers import CloudEvent
from receiver.web.audited import Reads
from receiver.web.endpoint import Endpoint

log = structlog.get_logger()

_AT_ONCE = 8
"""Events that are read and sent at once; each may be as large as a body."""
_SECONDS = 120.0
"""Seconds that whoever fetches an event has for it."""
_HEADERS = {
    "content-type": "application/cloudevents+json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_REFUSED = {404: b'{"error":"not found"}', 410: b'{"error":"gone"}', 503: b'{"error":"not now"}'}


class Payloads:
    """Gives whole events, as their sinks would be sent them."""

    def __init__(self, store: Store, render: Callable[[DueDelivery], Event], reads: Reads | None = None) -> None:
        """`render` makes the public event of a row; `reads` are told of what links opened, who has a token is seen anyway."""
        self._store = store
        self._reads = reads
        self._render = render
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def whole(self, public_id: str, redact: RedactSettings | None = None) -> bytes:
        """Return an event as CloudEvent, masked as a sink wants it. Raises NotFound, Gone, or Unreadable: unmaskable."""
        number = decode(EVENT, public_id)
        rows = await self._store.engine.rows("event_rows", {"ids": [number]})
        if not rows or rows[0][-1] is None:
            raise await missing(self._store.engine, EVENT, number, public_id)
        event = self._render(DueDelivery(*rows[0]))
        return (event if redact is None else await _masked(event, redact)).cloudevent()

    def endpoints(self, sinks: Mapping[str, RedactSettings | None]) -> list[Endpoint]:
        """Return what there is for who has a token; `sinks` with what is masked for them."""

        async def payload(request: Request) -> Response:
            sink = request.query_params.get("sink")
            if sink is not None and sink not in sinks:
                raise UsageError("sink: no sink has this name")
            redact = sinks[sink] if sink is not None else None
            return Response(await self.whole(request.path_params["id"], redact), headers=_HEADERS)

        about = (
            "One event whole, byte for byte as the `size` and `sha256` of a thin one say; "
            "with `sink` masked as that sink's are."
        )
        media = (_HEADERS["content-type"],)
        return [
            Endpoint(
                path="/api/v1/events/{id}/payload",
                run=payload,
                about=about,
                answer=CloudEvent,
                media=media,
                query={"sink": {"type": "string"}},
                shows=True,
            )
        ]

    async def signed(
        self, links: Links, sinks: Mapping[str, RedactSettings | None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer who holds a link: 404 where it is not ours, 410 where it has expired or the event has, 503 when busy.

        `sinks` are those whose links open anything, with what is masked for them.
        """
        try:
            public_id, sink = _opened(links, sinks, scope["path_params"]["signed"])
        except (NotFound, Gone) as error:
            await _refused(error)(scope, receive, send)
            return
        if self._places.locked():
            await _refused(None)(scope, receive, send)
            return
        async with self._places:
            await self._given(public_id, sink, sinks[sink], scope, receive, send)

    async def _given(  # noqa: PLR0917 -- an ASGI app's three, and what the link says
        self, public_id: str, sink: str, redact: RedactSettings | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            answer = Response(await self.whole(public_id, redact), headers=_HEADERS)
            if self._reads is not None:
                await self._reads.add([Entry(who=f"link of sink {sink}", via="link", what=READ, thing=public_id)])
        except (NotFound, Gone, Unreadable, TooSlow, StoreError) as error:
            answer = _refused(error)
        try:
            async with asyncio.timeout(_SECONDS):
                await answer(scope, receive, send)
        except TimeoutError:
            log.info("payload.not_taken", id=public_id)


async def _masked(event: Event, redact: RedactSettings) -> Event:
    """Return what the sink would have been sent: masking is the same each time, so size and digest fit the link's."""
    redactor = Redactor(Rules(redact), Deadline(_SECONDS / 2))
    return msgspec.structs.replace(event, data=await asyncio.to_thread(redact_data, event.data, redactor))


def _opened(links: Links, sinks: Collection[str], signed: str) -> tuple[str, str]:
    public_id, _, sink = links.open(PAYLOADS, signed).partition(":")
    if sink not in sinks:
        raise NotFound
    return public_id, sink


def _refused(error: Exception | None) -> Response:
    status = 410 if isinstance(error, Gone) else 404 if isinstance(error, NotFound) else 503
    headers = {"retry-after": "5"} if status == 503 else None
    return Response(_REFUSED[status], status, headers=headers, media_type="application/json")
