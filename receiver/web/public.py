"""The public listener: providers come here, and learn nothing but whether their callback was taken."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.contract.errors import Overloaded, StoreError
from receiver.contract.model import Headers, InboundRequest
from receiver.contract.proof import Reason, Refused
from receiver.contract.provider import Provider, Reply
from receiver.pipeline.ingest import Ingest
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import Kept
from receiver.web.body import Bodies, Disconnected, TooLarge, TooSlow

log = structlog.get_logger()

JSON = (b"content-type", b"application/json")
_TYPE = b"content-type"
_CLOSE = (b"connection", b"close")
_BREAKING = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ANSWERS = {
    reply.status: reply
    for reply in (
        Reply(status=401, body=b'{"error":"not proven"}'),
        Reply(status=404, body=b'{"error":"not found"}'),
        Reply(status=405, body=b'{"error":"POST only"}', headers=((b"allow", b"POST"),)),
        Reply(status=408, body=b'{"error":"too slow"}', headers=(_CLOSE,)),
        Reply(status=413, body=b'{"error":"too large"}', headers=(_CLOSE,)),
        Reply(status=503, body=b'{"error":"cannot be kept now"}', headers=((b"retry-after", b"5"),)),
    )
}


class Hooks:
    """`POST /hooks/{source}` and `/hooks/{source}/{token}`: the one hot route."""

    def __init__(self, ingest: Ingest, bodies: Bodies, unknown: Callable[[], None]) -> None:
        """`unknown` counts requests for sources that are not ours."""
        self._ingest = ingest
        self._bodies = bodies
        self._unknown = unknown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer any request, as an ASGI app: bodies of every size and speed, in the bounds that all share."""
        found = self._door(scope["path"])
        if found is None:
            await _send(send, answered(404))
        elif scope["method"] == "POST":
            await self._post(*found, scope, receive, send)
        else:
            await _send(send, self._set_up(*found, scope) or answered(405))

    def take(self, path: str, headers: Headers, body: bytes, answer: Callable[[Reply], None]) -> None:
        """Answer a POST that is whole already, without a task of its own; `answer` is called now or once it is on disk."""
        found = self._door(path)
        if found is None:
            answer(answered(404))
            return
        provider, token = found
        if len(body) > provider.settings.max_body:
            answer(answered(413))
            return
        request = _request(provider, token, headers, body)
        reply = _handshake(provider, request)
        if reply is not None:
            answer(reply)
        else:
            self._ingest.take(request, lambda result: answer(answered(result)))

    def _door(self, path: str) -> tuple[Provider[Any], str | None] | None:
        """Return the source of a path and the token in it, or None where there is no such source."""
        parts = path.split("/")
        provider = self._ingest.sources.get(parts[2]) if 3 <= len(parts) <= 4 else None
        if provider is None:
            self._unknown()
            return None
        return provider, (parts[3] or None) if len(parts) == 4 else None

    def _set_up(self, provider: Provider[Any], token: str | None, scope: Scope) -> Reply | None:
        method, query = scope["method"], scope["query_string"]
        if method not in provider.handshake_methods:
            return None
        return _handshake(provider, _request(provider, token, tuple(scope["headers"]), b"", method=method, query=query))

    async def _post(
        self, provider: Provider[Any], token: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            body = await self._bodies.read(await receive(), receive, provider.settings.max_body)
            request = _request(provider, token, tuple(scope["headers"]), body, query=scope["query_string"])
            reply = _handshake(provider, request) or answered(await self._ingest.receive(request))
        except Disconnected:
            return
        except TooLarge:
            reply = answered(413)
        except TooSlow:
            reply = answered(408)
        except Exception as error:  # noqa: BLE001 -- it was not kept: let the sender come again
            reply = answered(error)
        await _send(send, reply)


def answered(result: Kept | Refused | Exception | int) -> Reply:
    """Return what a sender is told: constant but for the receipt's id."""
    if isinstance(result, Kept):
        word = b"duplicate" if result.duplicate else b"accepted"
        return Reply(body=b'{"status":"%s","id":"%s"}' % (word, encode(RECEIPT, result.id).encode()))
    if isinstance(result, Refused):
        return answered(404 if result.reason is Reason.TOKEN_UNKNOWN else 401)
    if isinstance(result, Exception):
        expected = isinstance(result, StoreError | Overloaded)
        log.error("receipt.not_kept", why=str(result) if expected else type(result).__name__)
        return answered(503)
    return _ANSWERS[result]


def _handshake(provider: Provider[Any], request: InboundRequest) -> Reply | None:
    """Return the provider's answer where the request sets a callback up.

    Code that fails, or would end a header, answers nothing: its request is one like any other.
    """
    try:
        reply = provider.handshake(request)
        broken = reply is not None and any(_BREAKING.search(part) for header in reply.headers for part in header)
    except Exception as error:  # noqa: BLE001 -- a stranger's bytes in a plugin's code
        log.error("handshake.raised", source=request.source, error=type(error).__name__)
        return None
    if broken:
        log.error("handshake.not_sent", source=request.source, why="a header of the answer holds a control character")
        return None
    if reply is not None:
        log.info("handshake.answered", source=request.source)
    return reply


def _request(
    provider: Provider[Any],
    token: str | None,
    headers: Headers,
    body: bytes,
    *,
    method: str = "POST",
    query: bytes = b"",
) -> InboundRequest:
    now = int(time.time() * 1000)
    return InboundRequest(
        source=provider.source, token=token, headers=headers, body=body, received_at=now, method=method, query=query
    )


def headers_of(reply: Reply) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of an answer: JSON, where it names no content type itself."""
    if any(name == _TYPE for name, _ in reply.headers):
        return reply.headers
    return (JSON, *reply.headers)


async def _send(send: Send, reply: Reply) -> None:
    headers = [(b"content-length", b"%d" % len(reply.body)), *headers_of(reply)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def public_app(hooks: Hooks, more: Sequence[Route] = ()) -> ASGIApp:
    """Return the public listener's app: the hot route first, a Starlette app for the rest, `more` among it."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def other_method(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if request.url.path == "/healthz":
            return PlainTextResponse(error.detail, error.status_code, error.headers)
        return Response(_ANSWERS[404].body, 404, media_type="application/json")  # a link is nobody's to post to

    rest = Starlette(routes=[Route("/healthz", healthz), *more], exception_handlers={405: other_method})
    rest.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/hooks/"):
            await hooks(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return app
