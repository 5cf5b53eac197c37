"""One connection to RabbitMQ, with the channel on which it confirms what is published."""

import asyncio
import contextlib
import ssl
from typing import Any

import aiormq
from aiormq.channel import Channel
from aiormq.connection import Connection, TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import ChannelNotFoundEntity
from yarl import URL

from handlers.sinks.rabbitmq.message import properties
from receiver.contract.model import Event

_HEARTBEAT = 10
"""Seconds between signs of life; aiormq gives a silent broker up after three."""
_CLOSE = 1.0
"""Seconds that a polite end may take."""


class _Held(TransportFactory):
    """Keeps hold of the transport: aiormq has no way to end but the polite one."""

    def __init__(self, *, tls: bool) -> None:
        self._inner: TransportFactory = TLSTransportFactory() if tls else TCPTransportFactory()
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        reader, self._writer = await self._inner.create(url, **kwargs)
        return reader, self._writer

    def cut(self) -> None:
        """End the connection, whatever the other side does."""
        if self._writer is not None:
            self._writer.transport.abort()


class Link:
    """A connection with one confirming channel; not to be used again once it is lost."""

    def __init__(self, url: str, tls_ca: str | None, name: str) -> None:
        address = URL(url).update_query(heartbeat=str(_HEARTBEAT))
        tls = address.scheme == "amqps"
        self._held = _Held(tls=tls)
        self._connection: Connection = aiormq.Connection(
            address,
            context=ssl.create_default_context(cafile=tls_ca) if tls else None,
            transport_factory=self._held,
            client_properties={"connection_name": name},
        )
        self._channel: Channel | None = None

    async def open(self) -> None:
        """Connect and open the channel. Raises AMQPError or OSError."""
        await self._connection.connect()
        channel = await self._connection.channel()
        assert isinstance(channel, Channel)
        self._channel = channel

    @property
    def alive(self) -> bool:
        """Say whether it can be published on, as far as is known."""
        return self._channel is not None and not self._channel.is_closed and self._connection.is_opened

    async def unblocked(self, seconds: float) -> bool:
        """Say whether the broker lets us publish, within so many seconds: with 0, whether it does now."""
        try:
            async with asyncio.timeout(seconds):
                await self._connection.ready()
        except TimeoutError:
            return False
        return True

    async def see_to(self, queue: str, kind: str) -> None:
        """Create a queue where it is missing; one of this name is left as it is. Raises AMQPError."""
        channel = await self._connection.channel()
        try:
            await channel.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            channel = await self._connection.channel()
            await channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
        await channel.close()

    async def publish(self, event: Event, body: bytes, exchange: str, routing_key: str) -> None:
        """Publish, and return when the broker has confirmed.

        Raises aiormq's PublishError where no queue takes it, DeliveryError where one refuses it, or another AMQPError.
        """
        assert self._channel is not None
        await self._channel.basic_publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            properties=properties(event, routed=bool(exchange)),
            mandatory=True,
            wait=False,
        )

    async def end(self, *, politely: bool) -> None:
        """Close within a second or two, then cut."""
        if not politely:
            self._held.cut()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE):
                await self._connection.close()
        self._held.cut()
