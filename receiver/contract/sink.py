"""What a sink is: it is handed deliveries and says of each whether it arrived."""

from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import msgspec

from receiver.contract.model import Delivery
from receiver.contract.settings import SinkSettings

SettingsT = TypeVar("SettingsT", bound=SinkSettings)


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """The other side has it for good. `detail` is one short line for operators (a status, a sequence number)."""

    detail: str | None = None


class TryLater(msgspec.Struct, frozen=True, kw_only=True):
    """Not now; `after` is how many seconds the other side asked for (`Retry-After`), if it did."""

    reason: str
    after: float | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The other side will never take this one: trying again is of no use."""

    reason: str


SendOutcome = Delivered | TryLater | Rejected


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to an outgoing request; the body is cut at the client's bound. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFailed(Exception):
    """No answer: refused address, name not found, connection failed, TLS, timeout. The message names no secret."""


class HttpClient(Protocol):
    """The one guarded way out: no redirects, private addresses refused unless allowed, TLS verified, bounded."""

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, allow_private: bool
    ) -> HttpAnswer:
        """Send one POST and return the answer, whatever its status. `timeout` in seconds. Raises HttpFailed."""
        ...


class SinkPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine lends a sink."""

    http: HttpClient
    links: str | None
    """`admin_url`, for links that people can follow; None where it is not set."""
    now: Callable[[], float]
    """Unix time in seconds."""


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

    async def open(self) -> None:
        """Connect, open files. Raise anything to be tried again later: the sink is then treated as failing."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Send; return one outcome for each delivery, in their order.

        Return only when the other side has confirmed. An exception counts as TryLater for the whole batch. The engine
        bounds the time and cancels; a cancelled send may be repeated with the same event ids.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of everything; called once, also after a failed `open`."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read `Retry-After` (seconds or an HTTP date, RFC 9110 10.2.3) as seconds from `now` (Unix time), or None."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
