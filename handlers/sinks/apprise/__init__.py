"""Sink apprise: a message an event, to Teams, Discord, Telegram, e-mail and whatever else Apprise knows.

Apprise blocks, and says only whether it worked. So it has threads of its own here, as many as sends may be under way: one
that hangs holds up nobody else. It connects by itself, not through the guarded client; its own time limits end a request.
"""

import asyncio
import importlib.util
import logging
import re
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, ClassVar

from handlers.sinks.apprise.message import Message, inert, message
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.settings import Secret, SinkSettings, about
from receiver.contract.sink import Delivered, SendOutcome, Sink, SinkPorts, TryLater

_logger = logging.getLogger("apprise")


class AppriseSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of an apprise sink."""

    url: Annotated[
        Secret,
        about("where to, as Apprise writes it: tgram://token/chat, discord://id/token, mailto://user:password@host …"),
    ]
    include_text: Annotated[
        bool,
        about(
            "let words of the call into the message; without it a message holds who, when, how long, status, "
            "sentiment, summary, names of failed checks and errors"
        ),
    ] = False


class Apprise(Sink[AppriseSettings]):
    """Notifies people, and counts an event delivered when Apprise says that the service took it."""

    Settings = AppriseSettings
    rate: ClassVar[float | None] = 1.0
    """Most chats take a message a second."""

    def __init__(self, name: str, settings: AppriseSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        self._service = _service(settings.url.value)
        self._threads: ThreadPoolExecutor | None = None

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Notify of one after the other."""
        return [await self._send(delivery) for delivery in deliveries]

    async def close(self) -> None:
        """Let go of the threads; one that hangs ends at Apprise's own time limits."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, delivery: Delivery) -> SendOutcome:
        if self._threads is None:
            most = self.settings.concurrency or self.concurrency
            self._threads = ThreadPoolExecutor(most, thread_name_prefix=f"apprise {self.name}")
        said = message(delivery.event, links=self.ports.links, include_text=self.settings.include_text)
        reason = await asyncio.get_running_loop().run_in_executor(self._threads, _notify, self._service, said)
        if reason is None:
            return Delivered(detail=inert(str(self._service.service_name), 60))
        return TryLater(reason=_without(self.settings.url.value, reason))


class _Said(logging.Handler):
    """Keeps what Apprise says of one notification: it tells its log what went wrong, and its caller nothing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first words of this thread."""
        if record.thread == self._thread and not self.words:
            self.words = inert(record.getMessage())


def _notify(service: Any, said: Message) -> str | None:
    """Notify, blocking; return why it failed, or None."""
    words = _Said()
    _logger.addHandler(words)
    try:
        took = service.notify(
            title=said.title, body=said.body, notify_type=said.kind, body_format="text", overflow="truncate"
        )
    except Exception as error:  # noqa: BLE001 -- a hundred plugins raise what they like
        return f"Apprise raised {type(error).__name__}"
    finally:
        _logger.removeHandler(words)
    return None if took else words.words or "the service did not take it"


def _service(url: str) -> Any:
    """Return what notifies a URL. Raises ConfigError where the library or the URL is not one."""
    if importlib.util.find_spec("apprise") is None:
        raise ConfigError("sinks of kind apprise need a library: pip install apprise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its plugins import what Python will drop
        service = _made(url)
    if service is None:
        raise ConfigError(
            "url is not one that Apprise knows, or something is missing in it: see appriseit.com/services"
        )
    return service


def _made(url: str) -> Any:
    import apprise  # noqa: PLC0415 -- an extra, and half a second

    _logger.setLevel(logging.WARNING)
    _logger.propagate = False  # its log holds addresses, and at times what was sent
    if not _logger.handlers:
        _logger.addHandler(logging.NullHandler())
    asset = apprise.AppriseAsset(
        app_id="Hookscribe",
        app_desc="Hookscribe",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        interpret_escapes=False,
    )
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _without(url: str, reason: str) -> str:
    for part in sorted(re.split(r"[/:@?&=,]+", url), key=len, reverse=True):
        if len(part) >= 4:
            reason = reason.replace(part, "***").replace(inert(part), "***")
    return reason
