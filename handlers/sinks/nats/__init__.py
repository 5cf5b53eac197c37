"""Sink nats: events into a JetStream stream, structured CloudEvents under their event id.

A batch is published in one go and acknowledged together: three times the rate of one by one, and the stream stores
messages in the order they are sent. Where one of a batch fails, later ones may be stored before its next try. That does
not turn a call's events around, because with `order = "call"` a batch holds at most one event of a call.

A message that was stored although its acknowledgement got lost comes again under the same `Nats-Msg-Id`; the stream drops
it within its duplicate window, and its acknowledgement counts.
"""

import asyncio
import contextlib
import importlib.util
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from handlers.sinks.nats.acks import Acks, Batch
from handlers.sinks.nats.message import headers_of, size_of, subject, wildcard
from handlers.sinks.nats.settings import NatsSettings
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.settings import Secret
from receiver.contract.sink import NotReady, Rejected, SendOutcome, Sink, SinkPorts, TryLater

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.client import JetStreamContext

_CONNECT = 2.0
"""Seconds that a server may take to be connected."""
_CLOSE = 1.0
"""Seconds that a flush, and a close, may take."""
_HEADERS = 4096
"""Bytes that an event's headers take at most: a few hundred, but for long names."""
_DUPLICATE_WINDOW = 600.0
"""Seconds in which a stream of our making drops what it has already: longer than the first two waits before a retry."""
_NAME_TAKEN = 10058


class Nats(Sink[NatsSettings]):
    """Publishes events to JetStream, and counts them delivered when the stream has acknowledged."""

    Settings = NatsSettings
    order: ClassVar[Literal["call", "none"]] = "call"
    concurrency: ClassVar[int] = 2
    batch: ClassVar[int] = 256

    def __init__(self, name: str, settings: NatsSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        _library(settings)
        self._client: Client | None = None
        self._acks: Acks | None = None
        self._seen = False
        self._connecting = asyncio.Lock()
        self._suspect = False
        self._trouble: Exception | None = None
        self._most: int | None = None

    def largest(self) -> int | None:
        """Return what the server that was last connected takes, with room for the headers."""
        return None if self._most is None else max(self._most - _HEADERS, self._most // 2)

    async def open(self) -> None:
        """Connect, and see to the stream."""
        await self._ready()

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Publish all, then wait for all acknowledgements."""
        until = asyncio.get_running_loop().time() + self.settings.timeout * 0.9
        rendered_for = self._most
        try:
            client, acks = await self._ready()
        except NotReady as error:
            return [TryLater(reason=str(error))] * len(deliveries)
        if rendered_for is not None and self._most != rendered_for and self._too_large(deliveries):
            return [TryLater(reason=f"the server now takes {self._most} bytes")] * len(deliveries)
        batch = Batch()
        try:
            for delivery in deliveries:
                await self._publish(client, acks, batch, delivery, until)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await batch.ended()
            return [self._outcome(item) for item in batch.outcomes]
        except asyncio.CancelledError:
            self._suspect = True
            raise
        finally:
            acks.forget(batch)

    async def close(self) -> None:
        """Let go of the connection, within seconds whatever the server does."""
        client, self._client, self._acks = self._client, None, None
        if client is None:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE):
                if client.is_connected and not self._suspect:
                    await client.flush()
        await _end(client)

    # Connecting: one attempt at a send; between sends nothing runs, so nothing piles up

    async def _ready(self) -> "tuple[Client, Acks]":
        async with self._connecting:
            if self._client is None or self._acks is None or self._suspect or not self._client.is_connected:
                await self.close()
                self._client, self._acks = await self._connect()
                self._most = self._client.max_payload
                self._suspect = self._seen = False
            if not self._seen:
                await self._see_to_stream(self._client)
            return self._client, self._acks

    async def _connect(self) -> "tuple[Client, Acks]":
        from nats.aio.client import Client  # noqa: PLC0415 -- an extra
        from nats.errors import Error  # noqa: PLC0415

        client, self._trouble = Client(), None
        acks = Acks(client)
        try:
            async with asyncio.timeout(min(self.settings.timeout, _CONNECT * (1 + len(self.settings.servers)))):
                await client.connect(**self._options(client), disconnected_cb=acks.lost)
                self._over_tls(client)
                await acks.open()
        except BaseException as error:
            await _end(client)
            if isinstance(error, Error | OSError | TimeoutError | NotReady):
                raise NotReady(f"cannot connect to NATS: {_said(self._trouble or error)}") from None
            raise
        return client, acks

    def _options(self, client: "Client") -> dict[str, Any]:
        settings = self.settings
        return {
            "servers": list(settings.servers),
            "name": f"hookscribe/{self.name}",
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.1,
            "connect_timeout": _CONNECT,
            "flush_timeout": 1.0,
            "ping_interval": 10,
            "error_cb": self._on_error,
            "tls": ssl.create_default_context(cafile=settings.tls_ca),
            "user_credentials": settings.creds_file,
            "nkeys_seed_str": settings.nkey_seed and settings.nkey_seed.value,
            "user": settings.user,
            "password": self._once_over_tls(client, settings.password),
            "token": self._once_over_tls(client, settings.token),
        }

    def _once_over_tls(self, client: "Client", secret: Secret | None) -> Callable[[], str] | None:
        """Return what gives the secret at the moment it is sent; nats-py would send it to a server without TLS."""
        if secret is None:
            return None

        def reveal() -> str:
            self._over_tls(client)
            return secret.value

        return reveal

    def _over_tls(self, client: "Client") -> None:
        wanted = self.settings.tls or any(server.startswith("tls:") for server in self.settings.servers)
        if wanted and not getattr(client, "_server_info", {}).get("tls_required"):
            raise NotReady("the server offers no TLS")

    async def _see_to_stream(self, client: "Client") -> None:
        from nats.errors import Error  # noqa: PLC0415 -- an extra

        jetstream = client.jetstream(timeout=min(self.settings.timeout, 5.0))
        try:
            if self.settings.create_stream:
                await _create(jetstream, self.settings.stream, wildcard(self.settings.subject))
        except (Error, OSError, TimeoutError) as error:
            raise NotReady(f"cannot see to stream {self.settings.stream}: {_said(error)}") from None
        self._seen = True

    async def _on_error(self, error: Exception) -> None:
        self._trouble = error

    # Publishing

    async def _publish(self, client: "Client", acks: Acks, batch: Batch, delivery: Delivery, until: float) -> None:
        """Start one; nats-py swallows cancellations in places, so they are looked for here."""
        event = delivery.event
        body, headers = event.cloudevent(), headers_of(event, self.settings.stream)
        if len(body) + _HEADERS > client.max_payload < (size := len(body) + size_of(headers)):
            batch.add(Rejected(reason=f"{size} bytes are more than the server's max_payload, {client.max_payload}"))
            return
        if not client.is_connected or asyncio.get_running_loop().time() > until:
            self._suspect = True
            batch.add(TryLater(reason="the server takes no more"))
            return
        try:
            await acks.publish(batch, subject(self.settings.subject, event), body, headers)
        except (_nats_error(), OSError) as error:
            batch.end(len(batch.outcomes) - 1, TryLater(reason=_said(error)))
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError

    def _too_large(self, deliveries: Sequence[Delivery]) -> bool:
        """Say whether an event that was made for another bound is too large for the server's bound of now."""
        most = self.largest()
        return most is not None and any(len(delivery.event.cloudevent()) > most for delivery in deliveries)

    def _outcome(self, item: SendOutcome | None) -> SendOutcome:
        if item is None:
            self._suspect = True
            said = f": {_said(self._trouble)}" if self._trouble else ""
            item = TryLater(reason=f"the stream did not acknowledge in time{said}")
        self._seen = self._seen and not isinstance(item, TryLater)
        return item


def _nats_error() -> type[Exception]:
    from nats.errors import Error  # noqa: PLC0415 -- an extra

    return Error


async def _end(client: "Client") -> None:
    """Cut the connection: nats-py has no way but the polite one, which waits for a server that may have vanished."""
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE):
            await client.close()


def _said(error: BaseException) -> str:
    """Return an error of nats-py in a few words."""
    if isinstance(error, ConnectionResetError):
        return "the server cut the connection, as it does for wrong credentials"
    return str(getattr(error, "description", None) or str(error) or type(error).__name__)[:300]


def _library(settings: NatsSettings) -> None:
    """Raise ConfigError where what the settings need is not installed; keep nats-py's errors off stderr."""
    if importlib.util.find_spec("nats") is None:
        raise ConfigError("sinks of kind nats need a library: pip install 'nats-py[nkeys]'")
    if (settings.creds_file or settings.nkey_seed) and importlib.util.find_spec("nkeys") is None:
        raise ConfigError("creds_file and nkey_seed need a library: pip install 'nats-py[nkeys]'")
    logger = logging.getLogger("nats")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


async def _create(stream: "JetStreamContext", name: str, subjects: str) -> None:
    """Create the stream if there is none of this name; somebody else may be doing the same."""
    from nats.js.api import StorageType, StreamConfig  # noqa: PLC0415 -- an extra
    from nats.js.errors import BadRequestError, NotFoundError  # noqa: PLC0415

    try:
        await stream.stream_info(name)
    except NotFoundError:
        config = StreamConfig(
            name=name, subjects=[subjects], storage=StorageType.FILE, duplicate_window=_DUPLICATE_WINDOW
        )
        try:
            await stream.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _NAME_TAKEN:
                raise
