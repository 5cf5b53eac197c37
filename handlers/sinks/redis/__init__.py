"""Sink redis: events into a Redis stream, a batch in one pipeline.

Redis answers each XADD by itself, in order, and an event is delivered by its own answer: of a batch that breaks off, what
was answered has arrived and the rest comes again. So commands are written and answers read on a connection of redis-py,
whose own pipeline forgets all answers when the last one is missing. An entry whose answer got lost comes twice, with the
same `id`.
"""

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from handlers.sinks.redis.answers import added, adding, shortfall, waiting, xadd
from handlers.sinks.redis.settings import RedisSettings
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.sink import NotReady, SendOutcome, Sink, SinkPorts, TryLater

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection, ConnectionPool

_CONNECT = 2.0
"""Seconds that a server may take to be connected."""
_CLOSE = 1.0
"""Seconds that a close may take."""
_NO_SPACES = str.maketrans(" \n", "__")


class Redis(Sink[RedisSettings]):
    """Adds events to a stream, and counts them delivered when Redis has answered with the entry's id."""

    Settings = RedisSettings
    order: ClassVar[Literal["call", "none"]] = "call"
    concurrency: ClassVar[int] = 2
    batch: ClassVar[int] = 256

    def __init__(self, name: str, settings: RedisSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        if importlib.util.find_spec("redis") is None:
            raise ConfigError("sinks of kind redis need a library: pip install 'redis[hiredis]'")
        self._pool: ConnectionPool | None = None
        self._xadd = xadd(settings)
        self._closing = waiting(settings)

    async def open(self) -> None:
        """Connect once, to see that it can be done."""
        try:
            async with self._connection():
                pass
        except (OSError, _redis_error()) as error:
            raise NotReady(f"cannot connect to Redis: {_said(error)}") from None

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Write all commands, then read all answers."""
        outcomes: list[SendOutcome] = []
        lost = "Redis did not answer in time"
        try:
            async with asyncio.timeout(self.settings.timeout * 0.9), self._connection() as connection:
                commands = [adding(self._xadd, delivery.event) for delivery in deliveries]
                if self._closing:
                    commands += connection.pack_command(*self._closing)
                await connection.send_packed_command(commands)
                answer = _answers(connection)
                for _ in deliveries:
                    outcomes.append(added(await answer()))  # noqa: PERF401 -- kept where the next one is lost
                if self._closing and (lacks := shortfall(self.settings, await answer())):
                    outcomes = [TryLater(reason=lacks)] * len(deliveries)
                if any(isinstance(outcome, TryLater) for outcome in outcomes):
                    await _cut(connection)  # a replica, or a server on its way out: its name may lead elsewhere now
                return outcomes
        except TimeoutError:
            pass
        except (OSError, _redis_error()) as error:
            lost = f"no answer of Redis: {_said(error)}"
        kept = [] if self._closing else outcomes
        return [*kept, *[TryLater(reason=lost)] * (len(deliveries) - len(kept))]

    async def close(self) -> None:
        """Let go of every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE):
                    await pool.disconnect()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator["AbstractConnection"]:
        """Lend a connection of the pool, connected; it is cut where anything ends the block early."""
        if self._pool is None:
            self._pool = _pool(self.settings, self.name)
        pool = self._pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call, unused-ignore]
        try:
            yield connection
        except BaseException:
            await _cut(connection)
            raise
        finally:
            await pool.release(connection)


def _pool(settings: RedisSettings, name: str) -> "ConnectionPool":
    from redis.asyncio.connection import ConnectionPool  # noqa: PLC0415 -- an extra
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    return ConnectionPool.from_url(
        settings.url.value,
        protocol=2,
        client_name=f"hookscribe/{name}".translate(_NO_SPACES),
        socket_connect_timeout=_CONNECT,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
        **({"ssl_ca_certs": settings.tls_ca} if settings.tls_ca else {}),
    )


def _redis_error() -> type[Exception]:
    from redis.exceptions import RedisError  # noqa: PLC0415 -- an extra

    return RedisError


def _answers(connection: "AbstractConnection") -> Callable[[], Awaitable[Any]]:
    """Return what reads one answer; an error that speaks for one command only is returned.

    The parser by itself: what the connection puts around each answer, its own time limit and its own end after an error,
    is done for the whole batch here, and takes ten times as long as to read one.
    """
    parser: Any = connection._parser  # noqa: SLF001
    read: Callable[[], Awaitable[Any]] = parser.read_response
    return read


async def _cut(connection: "AbstractConnection") -> None:
    """End a connection with what it had not yet written: a polite close would still send it to a server that thaws."""
    writer = getattr(connection, "_writer", None)
    if writer is not None:
        writer.transport.abort()
    await connection.disconnect(nowait=True)


def _said(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
