"""An event as a NATS message: its subject, its headers, their size."""

import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.model import Event

_STRANGE = re.compile(r"[^A-Za-z0-9_-]")
_TEMPLATE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_{}-]+)*")
_PLAIN_VALUE = re.compile(r"[!#$&-~]*")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


def check_subject(template: str) -> None:
    """Raise ConfigError where the template gives no subject, or one that no stream can be made for."""
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = [("?", "", None)]
    if any(name not in ("type", "source", "provider") or more or turn for name, more, turn in parts):
        raise ConfigError("subject may hold {type}, {source} and {provider}, and no other braces")
    if not _TEMPLATE.fullmatch(template):
        raise ConfigError("subject must be tokens of letters, digits, _ and - parted by dots, the first without braces")


def wildcard(template: str) -> str:
    """Return the subject that covers all that the template can give."""
    tokens: list[str] = []
    for token in template.split("."):
        if "{type}" in token:
            return ".".join([*tokens, ">"])
        tokens.append("*" if "{" in token else token)
    return ".".join(tokens)


def subject(template: str, event: Event) -> str:
    """Return the subject of an event: its type keeps its dots, all else is one token."""
    return _subject(template, event.type, event.source_name, _provider(event.data) if "{provider}" in template else "")


@lru_cache(maxsize=256)
def _subject(template: str, event_type: str, source: str, provider: str) -> str:
    kind = ".".join(_token(token) for token in event_type.split(".")[:16])
    return template.format(type=kind, source=_token(source), provider=_token(provider))


def _token(text: str) -> str:
    return _STRANGE.sub("_", text[:100]) or "_"


class _About(msgspec.Struct):
    provider: Any = None


def _provider(data: bytes) -> str:
    try:
        provider = msgspec.json.decode(data, type=_About).provider
    except (msgspec.DecodeError, RecursionError):
        provider = None
    return provider if isinstance(provider, str) else "unknown"


def headers_of(event: Event, stream: str) -> dict[str, str]:
    """Return the message's headers: its id for the stream, and the content type; CloudEvents attributes are in the body."""
    return {
        "Nats-Msg-Id": _value(event.id),
        "Nats-Expected-Stream": stream,
        "content-type": "application/cloudevents+json",
    }


def _value(text: str) -> str:
    """Percent-encode what CloudEvents' HTTP binding says, for headers."""
    return text if _PLAIN_VALUE.fullmatch(text) else quote(text, safe=_PRINTABLE, errors="replace")


def size_of(headers: Mapping[str, str]) -> int:
    """Return the bytes that headers take; the server counts them with the payload."""
    return len("NATS/1.0\r\n\r\n") + sum(map(len, headers)) + sum(map(len, headers.values())) + 4 * len(headers)
