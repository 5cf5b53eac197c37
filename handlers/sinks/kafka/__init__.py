"""Sink kafka: events into a Kafka topic, keyed by call, from an idempotent producer, acknowledged by all replicas.

A batch is handed to the producer in one go and waited for together. Where it does not end well the producer goes, with
what it still held, and the next batch gets a new one: so nothing is sent behind our back after it counted as failed, and
no number is missing in what the brokers count of an idempotent producer's records.
"""

import asyncio
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from handlers.sinks.kafka.message import Record, record, size_of
from handlers.sinks.kafka.parts import Part, parted
from handlers.sinks.kafka.producing import cut, ended, started
from handlers.sinks.kafka.settings import KafkaSettings
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.sink import NotReady, Rejected, SendOutcome, Sink, SinkPorts, TryLater

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

_BESIDE = 1024
"""Bytes of a request that are no event: its frame, key and headers."""


class Kafka(Sink[KafkaSettings]):
    """Produces events, and counts them delivered when all replicas in sync have them."""

    Settings = KafkaSettings
    order: ClassVar[Literal["call", "none"]] = "call"
    batch: ClassVar[int] = 1024

    def __init__(self, name: str, settings: KafkaSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        if importlib.util.find_spec("aiokafka") is None:
            raise ConfigError("sinks of kind kafka need a library: pip install aiokafka")
        self._producer: AIOKafkaProducer | None = None
        self._suspect = False
        self._starting = asyncio.Lock()

    def largest(self) -> int:
        """Return what is left of a request for the event."""
        return self.settings.max_request_size - _BESIDE

    async def open(self) -> None:
        """Connect, and see that the topic is there."""
        try:
            await self._ready()
        except (OSError, ValueError, _kafka_error()) as error:
            raise NotReady(f"cannot produce to Kafka: {_said(error)}") from None

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Hand all to the producer, then wait for all acknowledgements.

        What the brokers found too large is sent again, each by itself: together they may have been, not each.
        """
        until = asyncio.get_running_loop().time() + self.settings.timeout * 0.9
        outcomes: list[SendOutcome] = [_LATE] * len(deliveries)
        await self._once([*enumerate(deliveries)], outcomes, until)
        for place, delivery in enumerate(deliveries):
            if outcomes[place] is _OVERSIZE and len(deliveries) > 1:
                outcomes[place] = _LATE
                await self._once([(place, delivery)], outcomes, until)
            if outcomes[place] is _OVERSIZE:
                outcomes[place] = _too_large(len(delivery.event.cloudevent()), "the topic's max.message.bytes")
        return outcomes

    async def close(self) -> None:
        """Let go of the producer, within seconds whatever the brokers do."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await ended(producer)

    async def _ready(self) -> "AIOKafkaProducer":
        async with self._starting:
            if self._producer is None or self._suspect:
                await self.close()
                self._suspect = False
                self._producer = await started(self.settings, self.name)
            return self._producer

    async def _once(
        self, deliveries: Sequence[tuple[int, Delivery]], outcomes: list[SendOutcome], until: float
    ) -> None:
        """Say what became of each after one try, until a moment of the loop's clock; the places of others stay."""
        parts: list[Part] = []
        try:
            async with asyncio.timeout_at(until):
                producer = await self._ready()
        except (TimeoutError, OSError, ValueError, _kafka_error()) as error:
            _told(outcomes, [place for place, _ in deliveries], f"cannot produce to Kafka: {_said(error)}")
            return
        try:
            async with asyncio.timeout_at(until):
                partitions = sorted(await producer.partitions_for(self.settings.topic))
                parts = parted(producer, partitions, self._records(deliveries, outcomes))
                for part in parts:
                    await part.begin(producer, self.settings.topic)
                for part in parts:  # those of one request end together: few are waited for
                    await part.ended()
        except TimeoutError:
            self._suspect = True
        except _kafka_error() as error:
            self._suspect = True
            _told(outcomes, [place for part in parts if part.future is None for place in part.places], _said(error))
        except asyncio.CancelledError:
            self._suspect = True
            raise
        finally:
            self._judge(parts, outcomes)
            self._forget(producer, parts)

    def _records(
        self, deliveries: Sequence[tuple[int, Delivery]], outcomes: list[SendOutcome]
    ) -> list[tuple[int, Record]]:
        """Return the record of each, but for those that are too large."""
        records = []
        for place, delivery in deliveries:
            one = record(delivery.event, self.settings.mode)
            if size_of(one) > self.settings.max_request_size:
                outcomes[place] = _too_large(len(one.value), "max_request_size")
            else:
                records.append((place, one))
        return records

    def _judge(self, parts: Sequence[Part], outcomes: list[SendOutcome]) -> None:
        for part in parts:
            if part.future is None:
                continue
            if not part.future.done():
                self._suspect = True
                _told(outcomes, part.places, "Kafka did not acknowledge in time")
            elif (error := part.future.exception()) is None:
                for place, outcome in zip(part.places, part.delivered(), strict=True):
                    outcomes[place] = outcome
            else:
                self._suspect = True
                _told(outcomes, part.places, _OVERSIZE if _is_oversize(error) else _said(error))

    def _forget(self, producer: "AIOKafkaProducer", parts: Sequence[Part]) -> None:
        if self._suspect:
            cut(producer)
        for part in parts:
            if part.future is not None:
                part.future.cancel()


_LATE = TryLater(reason="Kafka took no more in time")
_OVERSIZE = TryLater(reason="together too large")


def _told(outcomes: list[SendOutcome], places: Sequence[int], why: str | TryLater) -> None:
    outcome = TryLater(reason=why) if isinstance(why, str) else why
    for place in places:
        outcomes[place] = outcome


def _too_large(size: int, limit: str) -> Rejected:
    return Rejected(reason=f"{size} bytes are more than {limit}")


def _kafka_error() -> type[Exception]:
    from aiokafka.errors import KafkaError  # noqa: PLC0415 -- an extra

    return KafkaError  # type: ignore[no-any-return, unused-ignore]


def _is_oversize(error: BaseException) -> bool:
    from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError  # noqa: PLC0415 -- an extra

    return isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)


def _said(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
