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


class Batch:
    """The outcomes of messages that are waited for together: None until the stream has answered."""

    def __init__(self) -> None:
        self.outcomes: list[SendOutcome | None] = []
        self._open = 0
        self._all = asyncio.Event()
        self._all.set()

    def add(self, outcome: SendOutcome | None) -> int:
        """Add a message, and how it ended if that is known; return its place."""
        self.outcomes.append(outcome)
        if outcome is None:
            self._open += 1
            self._all.clear()
        return len(self.outcomes) - 1

    def end(self, place: int, outcome: SendOutcome) -> None:
        """Say how a message ended."""
        if self.outcomes[place] is None:
            self.outcomes[place] = outcome
            self._open -= 1
            if not self._open:
                self._all.set()

    async def ended(self) -> None:
        """Wait until all have."""
        await self._all.wait()


class Acks:
    """The acknowledgements of one connection that are waited for."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._inbox = ""
        self._serial = 0
        self._waiting: dict[str, tuple[Batch, int]] = {}

    async def open(self) -> None:
        """Listen at an inbox of our own."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._arrived)

    async def publish(self, batch: Batch, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Publish, and add what becomes of it to a batch; nothing is known of it where this raises."""
        self._serial += 1
        reply = f"{self._inbox}.{self._serial}"
        self._waiting[reply] = batch, batch.add(None)
        try:
            await self._client.publish(subject, body, reply=reply, headers=dict(headers))
        except BaseException:
            self._waiting.pop(reply, None)
            raise

    def forget(self, batch: Batch) -> None:
        """Wait for nothing of a batch any more."""
        if None in batch.outcomes:
            self._waiting = {reply: one for reply, one in self._waiting.items() if one[0] is not batch}

    async def lost(self) -> None:
        """Tell all that wait: the connection is gone."""
        waiting, self._waiting = self._waiting, {}
        for batch, place in waiting.values():
            batch.end(place, LOST)

    async def _arrived(self, message: "Msg") -> None:
        if (one := self._waiting.pop(message.subject, None)) is not None:
            one[0].end(one[1], outcome_of(message.data, message.headers or {}))


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
