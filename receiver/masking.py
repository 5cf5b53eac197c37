"""Headers as they may be shown: names always, values where they neither prove nor open anything."""

import re

from receiver.contract.model import Headers

_TELLING = re.compile(
    r"auth|token|secret|sign|hmac|digest|mac\b|key|cookie|session|passw|credential|referer|ur[il]\b|path|verif"
)
_PLAIN = frozenset({
    "accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding",
    "content-length", "content-type", "date", "expect", "forwarded", "host", "te", "traceparent",
    "transfer-encoding", "user-agent", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port",
    "x-forwarded-proto", "x-real-ip", "x-request-id",
})  # fmt: skip
_UNGUESSABLE = re.compile(r"[A-Za-z0-9+/=_~-]{16}")


def shown_headers(headers: Headers) -> list[tuple[str, str]]:
    """Return names and values for people; a value that could be a token, a key or a signature is only measured."""
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return [(name, _shown(name.lower(), value)) for name, value in pairs]


def _shown(name: str, value: str) -> str:
    hidden = _TELLING.search(name) or "/hooks/" in value or (name not in _PLAIN and _UNGUESSABLE.search(value))
    return f"*** ({len(value)} characters)" if hidden else value
