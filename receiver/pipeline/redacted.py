"""Redacted: a sink in front of a sink, that hands on events masked as the settings say, and none that is not."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.model import Delivery, Event
from receiver.contract.settings import RedactSettings
from receiver.contract.sink import Rejected, SendOutcome, Sink, TryLater
from receiver.pipeline.offload import ChildDied, Offload
from receiver.redact.data import redact_data
from receiver.redact.found import Deadline, TooSlow
from receiver.redact.redactor import Redactor, Rules

INLINE = 8 * 1024
"""Bytes of data up to which an event is masked at once; larger ones go to another process."""
_AT_ONCE = 0.05
"""Seconds that masking may hold up everything else; what takes longer goes to another process too."""


class Redacted(Sink[Any]):
    """Masks every event before the sink behind it sees it."""

    def __init__(self, sink: Sink[Any], settings: RedactSettings) -> None:
        """`sink` must not be used otherwise; half of its `timeout` is for masking."""
        super().__init__(sink.name, sink.settings, sink.ports)
        vars(self).update(order=sink.order, concurrency=sink.concurrency, rate=sink.rate, batch=sink.batch)
        self._sink = sink
        self._wanted = settings
        self._rules = Rules(settings)
        self._seconds = sink.settings.timeout / 2
        self._offload = Offload(self._seconds, "redacting", "the redactor")

    async def open(self) -> None:
        """Open the sink."""
        await self._sink.open()

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Send what could be masked; what could not is refused, and the sink never sees it."""
        outcomes: list[SendOutcome | None] = [None] * len(deliveries)
        masked: list[Delivery] = []
        enough = time.monotonic() + self._seconds
        for at, delivery in enumerate(deliveries):
            if masked and time.monotonic() > enough:
                outcomes[at] = TryLater(reason="redacting what came before it took all the time there was")
                continue
            try:
                masked.append(msgspec.structs.replace(delivery, event=await self.event(delivery.event)))
            except Unreadable as error:
                outcomes[at] = Rejected(reason=f"not sent, because it could not be redacted: {error}")
        answers = list(await self._sink.send(masked)) if masked else []
        if len(answers) != len(masked):
            return ()
        rest = iter(answers)
        return [next(rest) if outcome is None else outcome for outcome in outcomes]

    async def event(self, event: Event) -> Event:
        """Return an event masked. Raises Unreadable where it cannot be, or takes too long."""
        return msgspec.structs.replace(event, data=await self._data(event.data))

    async def _data(self, data: bytes) -> bytes:
        if len(data) <= INLINE:
            try:
                return redact_data(data, Redactor(self._rules, Deadline(_AT_ONCE)))
            except TooSlow:
                pass
        try:
            return await self._elsewhere(data)
        except ChildDied:  # once may be chance
            pass
        try:
            return await self._elsewhere(data)
        except ChildDied:
            raise Unreadable("the process that does it died twice") from None

    async def _elsewhere(self, data: bytes) -> bytes:
        masked: bytes = await self._offload.run(redact_alone, data, self._wanted, self._seconds)
        return masked

    async def close(self) -> None:
        """Close the sink, and end the other process."""
        try:
            await self._sink.close()
        finally:
            await self._offload.close()


def redact_alone(data: bytes, settings: RedactSettings, seconds: float) -> bytes:
    """Mask an event's data with rules made for it alone. Raises Unreadable, also where it takes too long."""
    try:
        return redact_data(data, Redactor(Rules(settings), Deadline(seconds)))
    except TooSlow:
        raise Unreadable(f"redacting took longer than {seconds:g} s") from None
