"""The other sides of the demo's sinks on this machine: a webhook receiver that verifies, and a stand-in for Slack."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from receiver.testing.slack import PATH, SlackStandin

HOOK = "/events"
_TOLERANCE = 300
"""Seconds that a signature may be old."""


class WebhookReceiver:
    """Takes Standard Webhooks, as somebody who has only read the specification would, and keeps the ids of events."""

    def __init__(self, secret: str) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self.ids: set[str] = set()
        self.refused = 0

    async def answer(self, request: Request) -> Response:
        """Answer one delivery: 204 where its signature is right, else 401."""
        body = await request.body()
        if not self.verified(request.headers, body, time.time()):
            self.refused += 1
            return PlainTextResponse("signature", 401)
        self.ids.add(json.loads(body)["id"])
        return Response(status_code=204)

    def verified(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Say whether id, time and body are signed with our key, a short while ago."""
        message, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not stamp.isascii() or not stamp.isdigit() or abs(int(stamp) - now) > _TOLERANCE:
            return False
        signed = hmac.new(self._key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(signed).decode()
        given = headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)


class Peers:
    """Both of them, on one address."""

    def __init__(self, secret: str, rate: float, links: str) -> None:
        self.webhook = WebhookReceiver(secret)
        self.arrival = asyncio.Event()
        """Set whenever something came."""
        self.slack = SlackStandin(rate=rate, links=links)
        self.base = ""

    @property
    def webhook_url(self) -> str:
        """Return where the webhook sink posts."""
        return self.base + HOOK

    @property
    def slack_url(self) -> str:
        """Return where the slack sink posts."""
        return self.base + PATH

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Peers"]:
        """Listen on a port of this machine as long as the block runs."""
        config = uvicorn.Config(self._app(), lifespan="off", access_log=False, log_config=None, ws="none")
        with socket.create_server(("127.0.0.1", 0)) as bound:
            self.base = f"http://127.0.0.1:{bound.getsockname()[1]}"
            server = _Server(config)
            task = asyncio.create_task(server.serve([bound]))
            try:
                yield self
            finally:
                server.should_exit = True
                await task

    def _app(self) -> Any:
        hooks = Starlette(routes=[Route(HOOK, self.webhook.answer, methods=["POST"])])

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await (self.slack if scope["path"] == PATH else hooks)(scope, receive, send)
            self.arrival.set()

        return app


class _Server(uvicorn.Server):
    """A server that leaves signals to the demo."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
