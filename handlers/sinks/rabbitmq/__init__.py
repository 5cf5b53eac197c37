"""Sink rabbitmq: events into a queue or an exchange, persistent, and confirmed by the broker one by one.

A batch is published in one go and its confirmations are waited for together. A message that no queue takes comes back
(`mandatory`) and is tried later, and so is one that a full queue refuses. Where one of a batch fails, later ones may be
queued before its next try. That does not turn a call's events around, because with `order = "call"` a batch holds at
most one event of a call.

A broker that is short of memory or disk stops reading (`connection.blocked`): what was sent stays with it and may be
queued after we gave up waiting, and then once more by the next try, under the same message id.
"""

import asyncio
import importlib.util
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from handlers.sinks.rabbitmq.message import routing_key
from handlers.sinks.rabbitmq.settings import RabbitMQSettings
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.sink import Delivered, NotReady, Rejected, SendOutcome, Sink, SinkPorts, TryLater

if TYPE_CHECKING:
    from handlers.sinks.rabbitmq.link import Link

_CONNECT = 3.0
"""Seconds that a node may take to be connected."""
_LIMIT = re.compile(r"configured max size (\d+)")
"""How RabbitMQ says its max_message_size, when it closes the channel for it."""
_CONFIRMED = Delivered(detail="confirmed")
_LOST = TryLater(reason="the connection was lost before the broker confirmed")
_LEFT = 1.0
"""Seconds after which it is seen whether the connection is still there, and which what is lost has to end."""
_BLOCKED = "the broker takes nothing now: it is short of memory or disk"


class RabbitMQ(Sink[RabbitMQSettings]):
    """Publishes events, and counts them delivered when the broker has confirmed."""

    Settings = RabbitMQSettings
    order: ClassVar[Literal["call", "none"]] = "call"
    concurrency: ClassVar[int] = 2
    batch: ClassVar[int] = 256

    def __init__(self, name: str, settings: RabbitMQSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        _library()
        self._link: Link | None = None
        self._seen = False
        self._connecting = asyncio.Lock()
        self._suspect = False
        self._new = False
        self._most = settings.max_event

    def largest(self) -> int | None:
        """Return what the settings say, or less where the broker said so."""
        return self._most

    async def open(self) -> None:
        """Connect, and see to the queue."""
        await self._ready()

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Publish all, then wait for all confirmations."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.timeout * 0.9
        try:
            link = await self._ready()
        except NotReady as error:
            return [TryLater(reason=str(error))] * len(deliveries)
        if not await link.unblocked(until - loop.time()):
            return [TryLater(reason=_BLOCKED)] * len(deliveries)
        tasks = [loop.create_task(self._publish(link, delivery)) for delivery in deliveries]
        try:
            pending = await _waited(link, tasks, until)
        except asyncio.CancelledError:
            self._suspect = True
            raise
        finally:
            for task in tasks:
                task.cancel()
        late = await self._late(link) if pending else None
        self._new = False
        return [late if late and task in pending else task.result() for task in tasks]

    async def _late(self, link: "Link") -> TryLater:
        """Say why there is no confirmation, and whether the connection is worth keeping.

        It is where it is only blocked, and where making it took of this send's time: a broker that has just started is
        slow, and whoever connects anew for each try may never have enough time left for the confirmation.
        """
        if not link.alive:
            return _LOST
        blocked = not await link.unblocked(0)
        self._suspect = self._suspect or not (blocked or self._new)
        return TryLater(reason=_BLOCKED if blocked else "the broker did not confirm in time")

    async def close(self) -> None:
        """Let go of the connection, within seconds whatever the broker does."""
        link, self._link = self._link, None
        if link is not None:
            await link.end(politely=link.alive and not self._suspect)

    # Connecting: one attempt at a send; between sends nothing tries, so nothing piles up

    async def _ready(self) -> "Link":
        async with self._connecting:
            if self._link is None or self._suspect or not self._link.alive:
                await self.close()
                self._link = await self._connect()
                self._suspect, self._seen, self._new = False, False, True
            if not self._seen:
                await self._see_to_queue(self._link)
            return self._link

    async def _connect(self) -> "Link":
        from aiormq.exceptions import AMQPError  # noqa: PLC0415 -- an extra

        from handlers.sinks.rabbitmq.link import Link  # noqa: PLC0415

        said = ""
        for url in self.settings.url:
            try:
                link = Link(url.value, self.settings.tls_ca, f"hookscribe/{self.name}")
            except OSError as error:
                raise NotReady(f"tls_ca cannot be read: {_said(error)}") from None
            try:
                async with asyncio.timeout(min(self.settings.timeout, _CONNECT)):
                    await link.open()
            except BaseException as error:
                await link.end(politely=False)
                if not isinstance(error, AMQPError | OSError | TimeoutError):
                    raise
                said = _said(error)
            else:
                return link
        raise NotReady(f"cannot connect to RabbitMQ: {said}")

    async def _see_to_queue(self, link: "Link") -> None:
        from aiormq.exceptions import AMQPError  # noqa: PLC0415 -- an extra

        settings = self.settings
        if settings.exchange is None and settings.create_queue:
            try:
                async with asyncio.timeout(min(settings.timeout, _CONNECT)):
                    await link.see_to(settings.queue, settings.queue_type)
            except (AMQPError, OSError, TimeoutError) as error:
                self._suspect = True
                raise NotReady(f"cannot see to queue {settings.queue}: {_said(error)}") from None
        self._seen = True

    # Publishing

    async def _publish(self, link: "Link", delivery: Delivery) -> SendOutcome:
        event, settings = delivery.event, self.settings
        body = event.cloudevent()
        if len(body) > self._most:
            return self._too_large(body)
        exchange = settings.exchange or ""
        key = routing_key(settings.routing_key, event) if exchange else settings.queue
        try:
            await link.publish(event, body, exchange, key)
        except Exception as error:  # noqa: BLE001 -- raised again where it is none of aiormq's
            return self._unconfirmed(error, key, body)
        return _CONFIRMED

    def _unconfirmed(self, error: Exception, key: str, body: bytes) -> SendOutcome:
        from aiormq.exceptions import (  # noqa: PLC0415 -- an extra
            AMQPError,
            ChannelInvalidStateError,
            DeliveryError,
            PublishError,
        )

        if isinstance(error, PublishError):
            self._seen = False
            return TryLater(reason=f"no queue takes routing key {key[:100]}")
        if isinstance(error, DeliveryError):
            return TryLater(reason="the queue refused: it may be full")
        if isinstance(error, AMQPError | ChannelInvalidStateError | OSError):
            return self._failed(error, body)
        raise error

    def _failed(self, error: Exception, body: bytes) -> SendOutcome:
        self._suspect = True
        if found := _LIMIT.search(str(error)):
            self._most = min(self._most, int(found[1]))
        return self._too_large(body) if len(body) > self._most else TryLater(reason=_said(error))

    def _too_large(self, body: bytes) -> Rejected:
        return Rejected(reason=f"{len(body)} bytes are more than the broker takes, {self._most}")


async def _waited(
    link: "Link", tasks: Sequence[asyncio.Task[SendOutcome]], until: float
) -> set[asyncio.Task[SendOutcome]]:
    """Return what has not ended by a moment of the loop's clock, or soon after the connection was lost.

    aiormq ends what was published by then, but not what another task was about to publish.
    """
    pending, alive = set(tasks), True
    while pending and alive and (left := until - asyncio.get_running_loop().time()) > 0:
        alive = link.alive
        _, pending = await asyncio.wait(pending, timeout=min(left, _LEFT))
    return pending


def _said(error: BaseException) -> str:
    """Return an error of aiormq in a few words."""
    return (str(error) or type(error).__name__)[:300]


def _library() -> None:
    """Raise ConfigError where aiormq is not installed; keep its errors off stderr."""
    if importlib.util.find_spec("aiormq") is None:
        raise ConfigError("sinks of kind rabbitmq need a library: pip install aiormq")
    logger = logging.getLogger("aiormq")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
