"""A producer of aiokafka: made from settings, and ended at once.

Its own `stop` waits until everything was sent, for ever where brokers are silent; an idempotent one never gives a record up.
"""

import asyncio
import contextlib
import logging
import ssl
from typing import TYPE_CHECKING, Any

from handlers.sinks.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

_CLOSE = 1.0
"""Seconds that a close may take."""
_logger = logging.getLogger("aiokafka")
if not _logger.handlers:
    _logger.addHandler(logging.NullHandler())  # what went wrong is in our outcomes


async def started(settings: KafkaSettings, name: str) -> "AIOKafkaProducer":
    """Return a producer that knows the topic. Raises KafkaError, OSError, ValueError."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415 -- an extra

    producer = AIOKafkaProducer(**_options(settings), client_id=f"hookscribe-{name}")
    try:
        await producer.start()
        await producer.partitions_for(settings.topic)
    except BaseException:
        await ended(producer)
        raise
    return producer


def _options(settings: KafkaSettings) -> dict[str, Any]:
    security = f"{'SASL_' if settings.user else ''}{'SSL' if settings.tls else 'PLAINTEXT'}"
    return {
        "bootstrap_servers": list(settings.servers),
        "acks": "all",
        "enable_idempotence": True,
        "max_request_size": settings.max_request_size,
        "max_batch_size": settings.max_request_size,
        # a broker that went silent is given up while there is time to ask its successor
        "request_timeout_ms": max(1_000, int(settings.timeout * 300)),
        "security_protocol": security,
        "ssl_context": ssl.create_default_context(cafile=settings.tls_ca) if settings.tls else None,
        "sasl_mechanism": settings.mechanism if settings.user else "PLAIN",
        "sasl_plain_username": settings.user,
        "sasl_plain_password": settings.password and settings.password.value,
    }


def cut(producer: "AIOKafkaProducer") -> None:
    """Let a producer send no more, neither what it holds nor what stands in buffers of its connections."""
    task = producer._sender.sender_task  # noqa: SLF001 -- see above
    if task is not None:
        task.cancel()
    for connection in producer.client._conns.values():  # noqa: SLF001
        writer = getattr(connection, "_writer", None)
        if writer is not None:
            writer.transport.abort()


async def ended(producer: "AIOKafkaProducer") -> None:
    """Let go of a producer within a second or so, whatever the brokers do."""
    cut(producer)
    producer._closed = True  # noqa: SLF001
    task = producer._sender.sender_task  # noqa: SLF001
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE):
            await producer.client.close()
            if task is not None:
                await asyncio.wait([task])
