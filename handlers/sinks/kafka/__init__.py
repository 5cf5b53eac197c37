"""Sink kafka: events into a Kafka topic, keyed by call, from an idempotent producer, acknowledged by all replicas.

A batch is handed to the producer in one go and waited for together. Where it does not end well the producer goes, with
what it still held, and the next batch gets a new one: so nothing is sent behind our back after it counted as failed.
"""

import asyncio
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from handlers.sinks.kafka.message import record
from handlers.sinks.kafka.producing import cut, ended, started
from handlers.sinks.kafka.settings import KafkaSettings
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.sink import Delivered, NotReady, Rejected, SendOutcome, Sink, SinkPorts, TryLater

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

_BESIDE = 1024
"""Bytes of a request that are no event: its frame, key and headers."""

Started = asyncio.Future[Any] | SendOutcome
"""A record on its way, or how it already ended."""


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
        begun: list[Started] = []
        try:
            await self._produce(producer, deliveries, begun, until)
            outcomes = [self._outcome(item) for item in begun]
            outcomes += [TryLater(reason="Kafka took no more in time")] * (len(deliveries) - len(begun))
            return await self._alone(producer, deliveries, outcomes, until)
        except asyncio.CancelledError:
            self._suspect = True
            raise
        finally:
            self._forget(producer, begun)

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
        self, producer: "AIOKafkaProducer", deliveries: Sequence[Delivery], begun: list[Started], until: float
    ) -> None:
        """Begin as many as there is time for, and wait until they ended or time is up."""
        try:
            async with asyncio.timeout_at(until):
                for delivery in deliveries:
                    begun.append(await self._begin(producer, delivery))  # noqa: PERF401 -- kept where time is up
                for item in begun:  # those of one request end together: few are waited for
                    if isinstance(item, asyncio.Future) and not item.done():
                        await asyncio.wait([item])
        except TimeoutError:
            self._suspect = True

    async def _begin(self, producer: "AIOKafkaProducer", delivery: Delivery) -> Started:
        from aiokafka.errors import MessageSizeTooLargeError  # noqa: PLC0415 -- an extra

        one = record(delivery.event, self.settings.mode)
        try:
            future: asyncio.Future[Any] = await producer.send(
                self.settings.topic, one.value, key=one.key, headers=one.headers
            )
        except MessageSizeTooLargeError:
            return _too_large(len(one.value), "max_request_size")
        except _kafka_error() as error:
            self._suspect = True
            return TryLater(reason=_said(error))
        return future

    def _outcome(self, item: Started) -> SendOutcome:
        if not isinstance(item, asyncio.Future):
            return item
        if not item.done():
            self._suspect = True
            return TryLater(reason="Kafka did not acknowledge in time")
        if (error := item.exception()) is None:
            kept = item.result()
            at = f" offset {kept.offset}" if kept.offset >= 0 else ", which had it already"
            return Delivered(detail=f"partition {kept.partition}{at}")
        self._suspect = True
        return _OVERSIZE if _is_oversize(error) else TryLater(reason=_said(error))

    async def _alone(
        self,
        producer: "AIOKafkaProducer",
        deliveries: Sequence[Delivery],
        outcomes: list[SendOutcome],
        until: float,
    ) -> list[SendOutcome]:
        """Send those that the brokers found too large again, each by itself: together they may have been, not each."""
        for index, delivery in enumerate(deliveries):
            if outcomes[index] is not _OVERSIZE:
                continue
            begun: list[Started] = []
            if len(deliveries) > 1:
                await self._produce(producer, [delivery], begun, until)
                outcomes[index] = self._outcome(begun[0]) if begun else TryLater(reason="Kafka took no more in time")
            if outcomes[index] is _OVERSIZE:
                outcomes[index] = _too_large(len(delivery.event.cloudevent()), "the topic's max.message.bytes")
        return outcomes

    def _forget(self, producer: "AIOKafkaProducer", begun: Sequence[Started]) -> None:
        if self._suspect:
            cut(producer)
        for item in begun:
            if isinstance(item, asyncio.Future):
                item.cancel()


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
