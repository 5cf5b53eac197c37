"""What a sender signs: text with the body, the time of signing and other headers in it."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from receiver.contract.errors import ConfigError
from receiver.contract.model import InboundRequest

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

_PLACEHOLDER = re.compile(r"\{(body|timestamp|header:[A-Za-z0-9!#$%&'*+.^_`|~-]+)\}")
_BRACES = re.compile(r"\{[^}]*\}")
_HEADER = "header:"
_LONGEST_STAMP = 40
_MS_FROM = 12
"""Digits from which on a Unix time is in milliseconds."""
_MOST_PARTS = 32


class Template:
    """A text of what is signed, with {body}, {timestamp} and {header:NAME}."""

    def __init__(self, written: str) -> None:
        self._parts = tuple(_PLACEHOLDER.split(written))
        self.headers = tuple(part.removeprefix(_HEADER).lower() for part in self._named() if part.startswith(_HEADER))
        """Headers that are signed too, in lower case."""
        self.has_body = "body" in self._named()
        self.has_timestamp = "timestamp" in self._named()

    @staticmethod
    def check(key: str, written: str) -> None:
        """Raise ConfigError for a template with a placeholder that there is not."""
        for name in _BRACES.findall(written):
            if not _PLACEHOLDER.fullmatch(name):
                raise ConfigError(
                    f"{key}: {name} is unknown; allowed are {{body}} and {{timestamp}}, and {{header:NAME}} "
                    "for any other header that is signed"
                )

    def pieces(self, body: bytes, timestamp: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        """Yield what is signed, piece by piece; `headers` has the values of the headers that are signed."""
        for index, part in enumerate(self._parts):
            if index % 2 == 0:
                if part:
                    yield part.encode()
            elif part == "body":
                yield body
            elif part == "timestamp":
                yield timestamp.encode("latin-1", "replace")
            else:
                yield headers.get(part.removeprefix(_HEADER).lower(), "").encode("latin-1", "replace")

    def values(self, request: InboundRequest) -> Mapping[str, str] | str:
        """Return the values of the headers that are signed, or the name of the first that the request lacks."""
        found: dict[str, str] = {}
        for name in self.headers:
            value = request.header(name)
            if value is None:
                return name
            found[name] = value
        return found

    def _named(self) -> tuple[str, ...]:
        return self._parts[1::2]


def header_parts(value: str) -> list[tuple[str, str]]:
    """Return the parts of a header written as `t=1772461800,v1=5257a8…`, in their order; `;` separates too."""
    pieces = (piece.partition("=") for piece in re.split("[,;]", value, maxsplit=_MOST_PARTS))
    return [(name.strip(), text.strip()) for name, equals, text in pieces if equals]


def read_stamp(text: str) -> float | None:
    """Return a time of signing as Unix seconds: digits, in seconds or milliseconds, or RFC 3339; else None."""
    if len(text) > _LONGEST_STAMP or not text.isascii():
        return None
    if text.isdigit():
        return float(text) / (1000 if len(text) >= _MS_FROM else 1) if len(text) <= 16 else None
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if "T" in text and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
