"""The public listener: providers come here, and learn nothing but whether their callback was taken."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.contract.errors import Overloaded, StoreError
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Reason, Refused
from receiver.contract.provider import Provider, Reply
from receiver.pipeline.ingest import Ingest
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import Kept
from receiver.web.body import Bodies, Disconnected, TooLarge, TooSlow

log = structlog.get_logger()

_JSON = (b"content-type", b"application/json")
_ANSWERS = {
    401: b'{"error":"not proven"}',
    404: b'{"error":"not found"}',
    405: b'{"error":"POST only"}',
    408: b'{"error":"too slow"}',
    413: b'{"error":"too large"}',
    503: b'{"error":"cannot be kept now"}',
}
_EXTRA: dict[int, tuple[tuple[bytes, bytes], ...]] = {
    405: ((b"allow", b"POST"),),
    408: ((b"connection", b"close"),),
    413: ((b"connection", b"close"),),
    503: ((b"retry-after", b"5"),),
}


class Hooks:
    """`POST /hooks/{source}` and `/hooks/{source}/{token}`: the one hot route, as a plain ASGI callable."""

    def __init__(self, ingest: Ingest, bodies: Bodies, unknown: Callable[[], None]) -> None:
        """`unknown` counts requests for sources that are not ours."""
        self._ingest = ingest
        self._bodies = bodies
        self._unknown = unknown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        parts = scope["path"].split("/")
        provider = self._ingest.sources.get(parts[2]) if 3 <= len(parts) <= 4 else None
        if provider is None:
            self._unknown()
            await _answer(send, 404)
            return
        if scope["method"] != "POST":
            await _answer(send, 405)
            return
        token = parts[3] if len(parts) == 4 and parts[3] else None
        await self._post(provider, token, scope, receive, send)

    async def _post(
        self, provider: Provider[Any], token: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            body = await self._bodies.read(await receive(), receive, provider.settings.max_body)
            request = InboundRequest(
                source=provider.source,
                token=token,
                headers=tuple(scope["headers"]),
                body=body,
                received_at=int(time.time() * 1000),
            )
            reply = provider.handshake(request)
            result = None if reply else await self._ingest.receive(request)
        except Disconnected:
            return
        except (TooLarge, TooSlow) as error:
            await _answer(send, 413 if isinstance(error, TooLarge) else 408)
        except (StoreError, Overloaded) as error:
            log.error("receipt.not_kept", source=provider.source, why=str(error))
            await _answer(send, 503)
        else:
            await _send_result(send, reply, result)


async def _send_result(send: Send, reply: Reply | None, result: Kept | Refused | None) -> None:
    if isinstance(result, Kept):
        word = b"duplicate" if result.duplicate else b"accepted"
        await _send(send, 200, b'{"status":"%s","id":"%s"}' % (word, encode(RECEIPT, result.id).encode()))
    elif isinstance(result, Refused):
        await _answer(send, 404 if result.reason is Reason.TOKEN_UNKNOWN else 401)
    elif reply is not None:
        await _send(send, reply.status, reply.body, reply.headers)


async def _answer(send: Send, status: int) -> None:
    await _send(send, status, _ANSWERS[status], _EXTRA.get(status, ()))


async def _send(send: Send, status: int, body: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def public_app(hooks: Hooks) -> ASGIApp:
    """Return the public listener's app: the hot route first, a Starlette app for the rest."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    rest = Starlette(routes=[Route("/healthz", healthz)])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/hooks/"):
            await hooks(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return app
