"""Handshakes: a sender that asks before it sends is answered by template; short, inert, and no oracle."""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from handlers.providers.generic.settings import HandshakeSettings
from receiver.contract.errors import Unreadable
from receiver.contract.expressions import Expression
from receiver.contract.model import InboundRequest
from receiver.contract.provider import Reply
from receiver.contract.reading import read_object
from receiver.contract.settings import Secret

LONGEST = 2048
"""Characters of a challenge, and bytes of all that is answered but the template."""
_LARGEST_BODY = 16 * 1024
_MOST_FIELDS = 64


class Handshake:
    """One set-up request and its answer."""

    def __init__(self, settings: HandshakeSettings, secrets: Sequence[Secret]) -> None:
        self._how = settings
        self._challenge = _Place(settings.challenge)
        self._when = Expression("when", settings.when) if settings.when is not None else None
        self._expect = tuple((_Place(place), secret.raw) for place, secret in settings.expect.items())
        self._key = secrets[0].raw if secrets else None
        self.proves = "{hmac}" in settings.reply
        """The answer is made with a secret: only who has proven itself may ask, or it would sign for anybody."""

    def answer(self, request: InboundRequest) -> Reply | None:
        """Return the answer, or None where this is no such request. Never raises."""
        if request.method != self._how.method or len(request.body) > _LARGEST_BODY:
            return None
        seen = _Seen(request)
        if self._when is not None and not _is_true(seen.found(self._when)):
            return None
        challenge = self._challenge.text(seen)
        if not challenge or len(challenge) > LONGEST or not challenge.isprintable():
            return None
        expected = [hmac.compare_digest((place.text(seen) or "").encode(), secret) for place, secret in self._expect]
        return self._reply(challenge) if all(expected) else None

    def _reply(self, challenge: str) -> Reply | None:
        headers = [
            (b"content-type", self._how.reply_type.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        if self._how.reply_headers and not challenge.isascii():
            return None
        for name, value in self._how.reply_headers.items():
            headers.append((name.lower().encode("latin-1"), value.replace("{challenge}", challenge).encode("latin-1")))
        shown = json.dumps(challenge)[1:-1] if self._how.reply_type == "application/json" else challenge
        body = self._how.reply.replace("{hmac}", self._mac(challenge)).replace("{challenge}", shown)
        return Reply(status=self._how.status, headers=tuple(headers), body=body.encode())

    def _mac(self, challenge: str) -> str:
        return hmac.digest(self._key, challenge.encode(), "sha256").hex() if self.proves and self._key else ""


class _Seen:
    """A set-up request, with its query and its body read where somebody asks."""

    def __init__(self, request: InboundRequest) -> None:
        self.request = request
        self._query: Mapping[str, str] | None = None
        self._document: Any = None

    def query(self, name: str) -> str | None:
        if self._query is None:
            try:
                text = self.request.query.decode("ascii", "replace")
                self._query = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
            except ValueError:
                self._query = {}
        return self._query.get(name)

    def found(self, expression: Expression) -> Any:
        try:
            if self._document is None:
                self._document = read_object(self.request.body)
            return expression.of(self._document)
        except Unreadable:
            return None


class _Place:
    """Where a text stands in a set-up request: `query:NAME`, `header:NAME`, `body:EXPRESSION`."""

    def __init__(self, written: str) -> None:
        self._kind, _, self._name = written.partition(":")
        self._expression = Expression("challenge", self._name) if self._kind == "body" else None

    def text(self, seen: _Seen) -> str | None:
        if self._kind == "query":
            return seen.query(self._name)
        if self._expression is None:
            return seen.request.header(self._name.lower())
        value = seen.found(self._expression)
        return value if isinstance(value, str) else None


def _is_true(value: Any) -> bool:
    """Say what JMESPath takes for true: everything but null, false and what is empty."""
    return value is not None and value is not False and value not in ("", [], {})
