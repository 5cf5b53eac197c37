"""Publishing with the acknowledgement awaited later.

nats-py has `publish_async` for this, but it loses every refusal of the stream: the error is raised where nobody waits and
the future stays pending (https://github.com/nats-io/nats.py/issues/985). So we keep an inbox of our own.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from receiver.contract.sink import Delivered, Rejected, SendOutcome, TryLater

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_TOO_LARGE = 10054
LOST = TryLater(reason="the connection was lost before the stream acknowledged")


class Acks:
    """The acknowledgements of one connection that are waited for."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._inbox = ""
        self._serial = 0
        self._waiting: dict[str, asyncio.Future[SendOutcome]] = {}

    async def open(self) -> None:
        """Listen at an inbox of our own."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._arrived)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> asyncio.Future[SendOutcome]:
        """Publish, and return what will hold the outcome."""
        self._serial += 1
        reply = f"{self._inbox}.{self._serial}"
        outcome: asyncio.Future[SendOutcome] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda _: self._waiting.pop(reply, None))
        self._waiting[reply] = outcome
        try:
            await self._client.publish(subject, body, reply=reply, headers=dict(headers))
        except BaseException:
            outcome.cancel()
            raise
        return outcome

    async def lost(self) -> None:
        """Tell all that wait: the connection is gone."""
        for outcome in list(self._waiting.values()):
            if not outcome.done():
                outcome.set_result(LOST)

    async def _arrived(self, message: "Msg") -> None:
        outcome = self._waiting.get(message.subject)
        if outcome is not None and not outcome.done():
            outcome.set_result(outcome_of(message.data, message.headers or {}))


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = "no reason given"


class _Ack(msgspec.Struct):
    stream: str | None = None
    seq: int | None = None
    duplicate: bool = False
    error: _Error | None = None


def outcome_of(data: bytes, headers: Mapping[str, str]) -> SendOutcome:
    """Say what a stream's answer means; nobody answering counts as one (NATS ADR-22: status 503, no data)."""
    if headers.get("Status") == "503":
        return TryLater(reason="no stream takes this subject")
    try:
        ack = msgspec.json.decode(data, type=_Ack)
    except msgspec.DecodeError:
        return TryLater(reason="the answer is no acknowledgement of a stream")
    if ack.error is not None:
        reason = f"the stream refused: {ack.error.description[:200]}"
        return Rejected(reason=reason) if ack.error.err_code == _TOO_LARGE else TryLater(reason=reason)
    if ack.stream is None or ack.seq is None:
        return TryLater(reason="the answer is no acknowledgement of a stream")
    return Delivered(detail=f"stream {ack.stream} seq {ack.seq}" + (", a duplicate" if ack.duplicate else ""))
