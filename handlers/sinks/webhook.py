"""Webhook: one signed HTTP POST an event, to whoever understands CloudEvents and Standard Webhooks.

CloudEvents HTTP binding 1.0.2; Standard Webhooks 1.0 for headers, signatures and what answers mean.
"""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery, Event
from receiver.contract.settings import Secret, SinkSettings, about
from receiver.contract.sink import (
    Delivered,
    HttpAnswer,
    HttpFailed,
    Rejected,
    SendOutcome,
    Sink,
    SinkPorts,
    TryLater,
    retry_after,
)
from receiver.contract.webhooks import read_key, sign

LONGEST_WAIT = 24 * 3600.0
"""Seconds of `Retry-After` that are honoured at most: the last step of the usual schedule."""

_FOR_GOOD = {
    400: "the receiver cannot read this event",
    410: "the receiver wants no more events: remove or pause this sink",
    413: "the event is too large for the receiver",
    415: "the receiver does not take this content type: try the other `mode`",
    422: "the receiver cannot use this event",
}
_HINTS = {
    401: "check `secrets` and `headers`",
    403: "check `secrets` and `headers`",
    404: "check `url`",
}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = re.compile(
    r"(?i)(ce-.*|webhook-.*|content-type|content-length|content-encoding|transfer-encoding|host|connection|expect|te|trailer|upgrade)"
)
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class WebhookSettings(SinkSettings, frozen=True, kw_only=True):
    """Settings of a webhook."""

    url: Annotated[Secret, about("where to POST; may hold a token, and is shown nowhere")]
    mode: Annotated[
        Literal["structured", "binary"],
        about(
            'CloudEvents as one JSON body ("structured"), or the data as body and the rest in ce- headers ("binary")'
        ),
    ] = "structured"
    secrets: Annotated[
        tuple[Secret, ...],
        about(
            "Standard Webhooks keys, whsec_… (shared) or whsk_… (Ed25519); all of them sign, so that keys rotate "
            "without a gap; none: not signed. `hookscribe keygen` makes one"
        ),
    ] = ()
    headers: Annotated[dict[str, Secret], about("further headers of every request, such as Authorization")] = {}  # noqa: RUF012 -- msgspec copies it
    allow_private: Annotated[bool, about("let the URL lead to loopback, private and link-local addresses")] = False

    def check(self) -> None:
        """Raise ConfigError for a URL, key or header that cannot be used."""
        SinkSettings.check(self)
        _check_url(self.url.value, {name.lower() for name in self.headers})
        for index, secret in enumerate(self.secrets, 1):
            try:
                read_key(secret)
            except ConfigError as error:
                raise ConfigError(f"secrets: number {index}: {error}") from None
        _check_headers(self.headers)


def _check_url(url: str, header_names: set[str]) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- reading it checks it
    except ValueError:
        raise ConfigError("url: cannot be read as a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("url: must be https://host/… or http://host/…")
    if "@" in parts.netloc and "authorization" in header_names:
        raise ConfigError("url: holds a user, and headers an Authorization; give one of the two")


def _check_headers(headers: dict[str, Secret]) -> None:
    seen: set[str] = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ConfigError(f"headers: {name!r} is not a header name")
        if _OURS.fullmatch(name):
            raise ConfigError(f"headers: {name} is set by Hookscribe and cannot be replaced")
        if not _VALUE.fullmatch(value.value):
            raise ConfigError(f"headers: the value of {name} has characters that HTTP does not allow")
        if name.lower() in seen:
            raise ConfigError(f"headers: {name} is given twice, in different case")
        seen.add(name.lower())


_SMALL = 16 * 1024
"""Bytes that the other side must take: no thin event is larger."""


class Webhook(Sink[WebhookSettings]):
    """Posts each event; 2xx is Delivered, and the answer says whether another try is of use."""

    Settings = WebhookSettings
    concurrency = 16

    def __init__(self, name: str, settings: WebhookSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        self._keys = [read_key(secret) for secret in settings.secrets]
        self._headers = {name: secret.value for name, secret in settings.headers.items()}
        self._form = _binary if settings.mode == "binary" else _structured
        self._most: int | None = None

    def largest(self) -> int | None:
        """Return what the other side's answers of 413 leave, since the start."""
        return self._most

    async def send(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        """Post one after the other; the batch is one."""
        return [await self._send(delivery.event) for delivery in deliveries]

    async def _send(self, event: Event) -> SendOutcome:
        body, headers = self._form(event)
        try:
            answer = await self.ports.http.post(
                self.settings.url.value,
                body=body,
                headers={**self._headers, **headers, **self._webhook_headers(event.id, body)},
                timeout=self.settings.timeout,
                allow_private=self.settings.allow_private,
            )
        except HttpFailed as error:
            return TryLater(reason=str(error))
        if answer.status == 413 and len(body) > _SMALL:
            self._most = min(self._most or len(body), len(body) - 1)
            return TryLater(reason=f"HTTP 413: {len(body)} bytes are too large; the next try is a thin event")
        return outcome(answer, self.ports.now)

    def _webhook_headers(self, event_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(self.ports.now())
        headers = {"webhook-id": event_id, "webhook-timestamp": str(timestamp)}
        if self._keys:
            headers["webhook-signature"] = sign(self._keys, event_id, timestamp, body)
        return headers


def _structured(event: Event) -> tuple[bytes, dict[str, str]]:
    return event.cloudevent(), {"Content-Type": "application/cloudevents+json"}


def _binary(event: Event) -> tuple[bytes, dict[str, str]]:
    attributes = event.attributes()
    headers = {"Content-Type": attributes.pop("datacontenttype")}
    return event.data, headers | {f"ce-{name}": header_value(value) for name, value in attributes.items()}


_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def header_value(text: str) -> str:
    """Write an attribute as a header value: percent-encoded UTF-8 but for printable ASCII (HTTP binding 3.1.3.2)."""
    return quote(text, safe=_PLAIN, errors="replace")


def outcome(answer: HttpAnswer, now: Callable[[], float]) -> SendOutcome:
    """Say what an answer means. Reasons hold the status only: the body may repeat what was sent, secrets included."""
    status = answer.status
    if 200 <= status < 300:
        return Delivered(detail=f"HTTP {status}")
    if status in _FOR_GOOD:
        return Rejected(reason=f"HTTP {status}: {_FOR_GOOD[status]}")
    if 300 <= status < 400:
        return TryLater(reason=f"HTTP {status}: redirects are not followed; set `url` to where it leads")
    after = retry_after(answer.headers, now())
    hint = _HINTS.get(status) or _phrase(status)
    return TryLater(reason=f"HTTP {status}: {hint}", after=None if after is None else min(after, LONGEST_WAIT))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an unknown status"
