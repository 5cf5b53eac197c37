"""Sink kafka: events into a Kafka topic, keyed by call, from an idempotent producer, acknowledged by all replicas.

A batch is handed to the producer in one go and waited for together. Where it does not end well the producer goes, with
what it still held, and the next batch gets a new one: so nothing is sent behind our back after it counted as failed.
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
    batch: ClassVar[int] = 512

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
        """Hand all to the producer, then wait for all acknowledgements."""
        until = asyncio.get_running_loop().time() + self.settings.timeout * 0.9
        try:
            async with asyncio.timeout_at(until):
                producer = await self._ready()
        except (TimeoutError, OSError, ValueError, _kafka_error()) as error:
            return [TryLater(reason=f"cannot produce to Kafka: {_said(error)}")] * len(deliveries)
        outcomes: list[SendOutcome | None] = [None] * len(deliveries)
        parts: list[Part] = []
        try:
            await self._produce(producer, [*enumerate(deliveries)], outcomes, parts, until)
            await self._alone(producer, deliveries, outcomes, parts, until)
            return [TryLater(reason="Kafka took no more in time") if one is None else one for one in outcomes]
        except asyncio.CancelledError:
            self._suspect = True
            raise
        finally:
            self._forget(producer, parts)

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

    async def _produce(
        self,
        producer: "AIOKafkaProducer",
        deliveries: Sequence[tuple[int, Delivery]],
        outcomes: list[SendOutcome | None],
        parts: list[Part],
        until: float,
    ) -> None:
        """Begin as many as there is time for, and wait until they ended or time is up; say what became of each."""
        begun: list[Part] = []
        try:
            async with asyncio.timeout_at(until):
                partitions = sorted(await producer.partitions_for(self.settings.topic))
                begun = parted(producer, partitions, self._records(deliveries, outcomes))
                parts += begun
                for part in begun:
                    await part.begin(producer, self.settings.topic)
                for part in begun:  # those of one request end together: few are waited for
                    if part.future is not None and not part.future.done():
                        await asyncio.wait([part.future])
        except TimeoutError:
            self._suspect = True
        except _kafka_error() as error:
            self._suspect = True
            _told(outcomes, [part for part in begun if part.future is None], TryLater(reason=_said(error)))
        for part in begun:
            self._judge(part, outcomes)

    def _records(
        self, deliveries: Sequence[tuple[int, Delivery]], outcomes: list[SendOutcome | None]
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

    def _judge(self, part: Part, outcomes: list[SendOutcome | None]) -> None:
        if part.future is None:
            return
        if not part.future.done():
            self._suspect = True
            _told(outcomes, [part], TryLater(reason="Kafka did not acknowledge in time"))
        elif (error := part.future.exception()) is None:
            for place, outcome in zip(part.places, part.delivered(), strict=True):
                outcomes[place] = outcome
        else:
            self._suspect = True
            _told(outcomes, [part], _OVERSIZE if _is_oversize(error) else TryLater(reason=_said(error)))

    async def _alone(
        self,
        producer: "AIOKafkaProducer",
        deliveries: Sequence[Delivery],
        outcomes: list[SendOutcome | None],
        parts: list[Part],
        until: float,
    ) -> None:
        """Send those that the brokers found too large again, each by itself: together they may have been, not each."""
        for place, delivery in enumerate(deliveries):
            if outcomes[place] is not _OVERSIZE:
                continue
            if len(deliveries) > 1:
                outcomes[place] = None
                await self._produce(producer, [(place, delivery)], outcomes, parts, until)
            if outcomes[place] is _OVERSIZE:
                outcomes[place] = _too_large(len(delivery.event.cloudevent()), "the topic's max.message.bytes")

    def _forget(self, producer: "AIOKafkaProducer", parts: Sequence[Part]) -> None:
        if self._suspect:
            cut(producer)
        for part in parts:
            if part.future is not None:
                part.future.cancel()


def _told(outcomes: list[SendOutcome | None], parts: Sequence[Part], outcome: SendOutcome) -> None:
    for part in parts:
        for place in part.places:
            outcomes[place] = outcome


_OVERSIZE = TryLater(reason="together too large")


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
