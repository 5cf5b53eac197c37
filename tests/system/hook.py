"""The other end of a webhook: it verifies with the reference package, and writes down what came, in order."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import standardwebhooks

from receiver.contract.settings import Secret


class Mood(Enum):
    """What the receiver does with what comes."""

    TAKES = 200
    FAILS = 500
    HANGS = 0


class Hook:
    """A receiver of webhooks; `events` are those it took, as they came, copies included."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.unproven = 0
        self.asked = 0
        self.mood = Mood.TAKES
        self.fails_every = 0
        """Answers 500 to each n-th request; 0: never."""
        self.port = 0
        self._verify: standardwebhooks.Webhook | None = None
        self._calm = asyncio.Event()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}/in"

    def expects(self, secret: Secret) -> None:
        """Say what its senders sign with."""
        self._verify = standardwebhooks.Webhook(secret.value)

    def relax(self) -> None:
        """Take from now on, what hangs too."""
        self.mood = Mood.TAKES
        self._calm.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.partition(": ") for line in head[1:-2])
                headers = {name.lower(): value for name, _, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                status = await self._take(headers, body)
                writer.write(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)

    async def _take(self, headers: dict[str, str], body: bytes) -> int:
        self.asked += 1
        if self.mood is Mood.HANGS:
            await self._calm.wait()
        if self.mood is Mood.FAILS or (self.fails_every and self.asked % self.fails_every == 0):
            return 500
        assert self._verify is not None
        try:
            self._verify.verify(body, headers)
        except standardwebhooks.WebhookVerificationError:
            self.unproven += 1
            return 401
        event = json.loads(body)
        assert event["id"] == headers["webhook-id"]
        self.events.append(event)
        return 200


@contextlib.asynccontextmanager
async def hooking() -> AsyncIterator[Hook]:
    """Run a receiver; connections still open are cut at the end."""
    hook = Hook()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(hook.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    hook.port = listener.sockets[0].getsockname()[1]
    try:
        yield hook
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
