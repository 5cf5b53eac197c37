"""What a sink is: it is handed deliveries and says of each whether it arrived."""

from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import msgspec

from receiver.contract.model import Delivery
from receiver.contract.settings import SinkSettings

SettingsT = TypeVar("SettingsT", bound=SinkSettings)


class Delivered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The other side has it for good. `detail` is one short line for operators (a status, a sequence number)."""

    detail: str | None = None


class TryLater(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Not now; `after` is how many seconds the other side asked for (`Retry-After`), if it did."""

    reason: str
    after: float | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The other side will never take this one: trying again is of no use."""

    reason: str


SendOutcome = Delivered | TryLater | Rejected


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to an outgoing request; the body is cut at the client's bound. Headers are read by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFailed(Exception):
    """No answer: refused address, name not found, connection failed, TLS, timeout. The message names no secret."""


class NotReady(Exception):
    """What `open` raises where the other side cannot be reached: the message is shown to operators, and names no secret."""


class HttpClient(Protocol):
    """The one guarded way out: no redirects, private addresses refused unless allowed, TLS verified, bounded."""

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, allow_private: bool
    ) -> HttpAnswer:
        """Send one POST and return the answer, whatever its status. `timeout` in seconds. Raises HttpFailed."""
        ...


class SinkMemory(Protocol):
    """What a sink wants to know again later, also after a restart: small texts under keys of its own.

    A text is forgotten 90 days after it was written; keys and values have at most 4,096 characters.
    """

    async def get(self, key: str) -> str | None:
        """Return what was written under a key, or None."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Write a text; when this returns, it is on disk. Raises ValueError for one that is too long."""
        ...


class ShortMemory:
    """A memory that ends with the process, where nobody lends a better one."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        """Return what was written under a key, or None."""
        return self._texts.get(key)

    async def put(self, key: str, value: str) -> None:
        """Write a text."""
        self._texts[key] = value


class SinkPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine lends a sink."""

    http: HttpClient
    links: str | None
    """`admin_url`, for links that people can follow; None where it is not set."""
    now: Callable[[], float]
    """Unix time in seconds."""
    memory: SinkMemory = msgspec.field(default_factory=ShortMemory)


class Sink(Generic[SettingsT]):
    """Base of every sink: subclass, name the settings, write `send`.

    The engine calls `open` once, then `send` from as many tasks as `concurrency` says, then `close`.
    """

    Settings: ClassVar[type[SinkSettings]]
    order: ClassVar[Literal["call", "none"]] = "none"
    """Default of the setting `order`."""
    concurrency: ClassVar[int] = 1
    """Default of the setting `concurrency`."""
    rate: ClassVar[float | None] = None
    """Default of the setting `rate`."""
    batch: ClassVar[int] = 1
    """How many deliveries one `send` takes at most."""

    def __init__(self, name: str, settings: SettingsT, ports: SinkPorts) -> None:
        self.name = name
        self.settings = settings
        self.ports = ports

    def largest(self) -> int | None:
        """Return how many bytes of a rendered event the other side takes at most, or None where it does not say."""
        return None

    def lacking(self) -> str | None:
        """Return what this machine lacks of what the settings name, a program or a folder, or None; asks nobody else."""
        return None

    async def open(self) -> None:
        """Connect, open files. Raise anything to be tried again later: the sink is then treated as failing.

        Of `NotReady` people see what it says, of another exception only its name.
        """

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Send; return one outcome for each delivery, in their order.

        Return only when the other side has confirmed. An exception counts as TryLater for the whole batch. The engine
        bounds the time and cancels; a cancelled send may be repeated with the same event ids.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of everything, also after a failed `open`; `open` may be called again, where another process led meanwhile."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read `Retry-After` (seconds or an HTTP date, RFC 9110 10.2.3) as seconds from `now` (Unix time), or None."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
