"""An event as a RabbitMQ message: its routing key, its properties and headers."""

import re
import string
from typing import TYPE_CHECKING, Any

from receiver.contract.errors import ConfigError
from receiver.contract.model import Event

if TYPE_CHECKING:
    from pamqp.commands import Basic

_STRANGE = re.compile(r"[^A-Za-z0-9_.-]")
_SHORT = 255
"""Bytes that a routing key, a message id or a type may have (AMQP 0-9-1, short string)."""
_DURABLE = 2


def check_routing_key(template: str) -> None:
    """Raise ConfigError where the template gives no routing key."""
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = [("?", "", None)]
    if any(name not in ("type", "source") or more or turn for name, more, turn in parts):
        raise ConfigError("routing_key may hold {type} and {source}, and no other braces")
    if len(template.encode("utf-8", "replace")) > _SHORT:
        raise ConfigError(f"routing_key must be at most {_SHORT} bytes")


def routing_key(template: str, event: Event) -> str:
    """Return the routing key of an event: a type keeps its dots, so that a topic exchange can go by its words."""
    source = _STRANGE.sub("_", event.source_name[:100]).replace(".", "_")
    key = template.format(type=_STRANGE.sub("_", event.type[:_SHORT]), source=source)
    return key.encode("utf-8", "replace")[:_SHORT].decode("utf-8", "ignore")


def properties(event: Event, *, routed: bool) -> "Basic.Properties":
    """Return the message's properties; `routed` by an exchange it has headers too, by which that may go.

    They are named as CloudEvents' AMQP binding names them. In a queue they would only say again what the body says, at
    twice the cost of all the rest.
    """
    from pamqp.commands import Basic  # noqa: PLC0415 -- an extra

    return Basic.Properties(
        content_type="application/cloudevents+json",
        delivery_mode=_DURABLE,
        message_id=_short(event.id),
        message_type=_short(event.type),
        app_id="hookscribe",
        headers=_headers(event) if routed else None,
    )


def _headers(event: Event) -> dict[str, Any]:
    told = {"type": event.type, "source": event.source, "subject": event.subject, "call": event.call_id}
    return {f"cloudEvents_{name}": _text(value) for name, value in told.items() if value is not None}


def _text(value: str) -> str:
    """Return text that has a UTF-8 form."""
    return value.encode("utf-8", "replace").decode()


def _short(value: str) -> str:
    if value.isascii():
        return value[:_SHORT]
    return value.encode("utf-8", "replace")[:_SHORT].decode("utf-8", "ignore")
