"""The other side of a sink in tests: what it can do, what arrived there, and a client that may reach it."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from receiver.contract.sink import HttpAnswer, HttpClient

PATIENCE = 20.0
"""Seconds that anything in the kit may take before it counts as hanging."""


class Behaviour(StrEnum):
    """What the other side does from now on."""

    TAKES = "takes everything"
    LATER = "says: not now"
    REFUSES = "refuses for good"
    HANGS = "never answers"
    GONE = "cannot be reached"


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What the other side got for one event, in the order of arrival."""

    raw: bytes
    """What came over the wire, or stands in the file."""
    event: bytes | None = None
    """The CloudEvent in structured JSON; None where the sink sends a rendering for people."""


class Peer(Protocol):
    """The other side of a sink: a local server, a broker, a file."""

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's table of settings for this peer, without `kind`; secrets as plain strings."""
        ...

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on; never called with what the kit's `cannot` names."""
        ...

    async def arrived(self) -> Sequence[Arrived]:
        """Return what has arrived since the start."""
        ...


class Nearby:
    """The guarded client, with private addresses allowed: peers run on this machine."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, allow_private: bool
    ) -> HttpAnswer:
        """Post, whatever `allow_private` says."""
        del allow_private
        return await self._http.post(url, body=body, headers=headers, timeout=timeout, allow_private=True)


@contextlib.asynccontextmanager
async def guarded() -> AsyncIterator[HttpClient]:
    """Give the engine's own client, private addresses allowed."""
    from receiver.http import GuardedClient  # noqa: PLC0415 -- aiohttp only for those who send

    async with GuardedClient() as http:
        yield Nearby(http)
