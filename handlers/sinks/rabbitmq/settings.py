"""The settings of a rabbitmq sink."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from handlers.sinks.rabbitmq.message import check_routing_key
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SinkSettings, about


class RabbitMQSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of a rabbitmq sink."""

    url: Annotated[
        tuple[Secret, ...],
        about("amqp://user:password@host:5672/vhost, or amqps:// for TLS; several for the nodes of a cluster"),
    ]
    queue: Annotated[
        str, about("queue that takes the events, where no exchange is set", min_length=1, max_length=255)
    ] = "hookscribe"
    create_queue: Annotated[
        bool, about("create the queue where it is missing, durable and without limits; an existing one is left alone")
    ] = True
    queue_type: Annotated[Literal["quorum", "classic"], about("what kind of queue to create")] = "quorum"
    exchange: Annotated[
        Annotated[str, about("", min_length=1, max_length=255)] | None,
        about("exchange to publish to instead; it, and queues bound to it, must be there"),
    ] = None
    routing_key: Annotated[str, about("routing key at the exchange; {type} and {source} are filled in, sanitized")] = (
        "{type}"
    )
    tls_ca: Annotated[str | None, about("path of a CA file; default: the system's")] = None
    max_event: Annotated[
        int, about("largest event the broker takes, bytes: its max_message_size, 16 MiB in RabbitMQ 4", ge=1024)
    ] = 16 * 1024 * 1024

    def check(self) -> None:
        """Raise ConfigError where an address or the routing key cannot be."""
        if not self.url:
            raise ConfigError("url must name at least one broker, like amqp://user:password@host:5672/vhost")
        for url in self.url:
            if not _is_address(url.value):
                raise ConfigError("url must be like amqp://user:password@host:5672/vhost, or amqps://")
        check_routing_key(self.routing_key)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = not parts.query and not parts.fragment and parts.path.count("/") <= 1
        return parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0 and plain
    except ValueError:
        return False
