"""A NATS stream of the demo's own, where a server with JetStream runs on this machine."""

import asyncio
import contextlib
import importlib.util
import json
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nats.js.client import JetStreamContext

SERVER = "nats://127.0.0.1:4222"
_PATIENCE = 2
_ONCE: dict[str, Any] = {
    "allow_reconnect": False,
    "max_reconnect_attempts": 1,
    "reconnect_time_wait": 0.1,
    "connect_timeout": _PATIENCE,
}
"""One look whether a server is there; nats-py would look for two minutes."""
_KEPT = 3600.0
"""Seconds after which the stream is empty, should the demo be killed before it could remove it."""


class Queue:
    """The stream, or why there is none."""

    def __init__(self, why_not: str, stream: "JetStreamContext | None" = None, name: str = "") -> None:
        self.why_not = why_not
        self.name = name
        self._stream = stream

    def settings(self, server: str) -> dict[str, Any]:
        """Return the table of a sink that publishes here."""
        return {"kind": "nats", "servers": [server], "stream": self.name, "subject": f"{self.name}.{{type}}"}

    async def ids(self) -> set[str]:
        """Return the ids of the events that the stream holds."""
        if self._stream is None:
            return set()
        state = (await self._stream.stream_info(self.name)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        messages = [await self._stream.get_msg(self.name, seq=number) for number in numbers]
        return {json.loads(message.data or b"{}")["id"] for message in messages}


@contextlib.asynccontextmanager
async def queue(server: str = SERVER) -> AsyncIterator[Queue]:
    """Give a stream that is removed at the end, or say why there is none."""
    if importlib.util.find_spec("nats") is None:
        yield Queue("nats-py is not installed (pip install 'nats-py[nkeys]')")
        return
    from nats.aio.client import Client  # noqa: PLC0415 -- an extra
    from nats.errors import Error  # noqa: PLC0415
    from nats.js.api import StorageType, StreamConfig  # noqa: PLC0415

    client, name = Client(), f"HOOKSCRIBE_DEMO_{secrets.token_hex(4)}"
    try:
        async with asyncio.timeout(2 * _PATIENCE):
            await client.connect(server, error_cb=_quiet, **_ONCE)
        stream = client.jetstream(timeout=_PATIENCE)
        await stream.add_stream(
            StreamConfig(name=name, subjects=[f"{name}.>"], storage=StorageType.MEMORY, max_age=_KEPT)
        )
    except (Error, OSError, TimeoutError):
        await client.close()
        yield Queue(f"no NATS server with JetStream answers at {server.removeprefix('nats://')}")
        return
    try:
        yield Queue("", stream, name)
    finally:
        with contextlib.suppress(Error, OSError, TimeoutError):
            await stream.delete_stream(name)
        await client.close()


async def _quiet(_: Exception) -> None:
    """Print nothing: what goes wrong is said once, by who asked."""
