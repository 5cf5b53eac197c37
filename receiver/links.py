"""Signed links: an address that gives one thing for a while to whoever has it, and nothing else.

A link is `<what>.<proof>`: the moment it expires and the thing's name, and an HMAC-SHA256 over these and the kind of
thing, so that a link to one kind opens no other. The key is kept beside the store, readable by its owner only.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from pathlib import Path

from receiver.contract.errors import Gone, NotFound
from receiver.contract.settings import Secret

KEPT_FOR = 7 * 86_400
"""Seconds that a link works where nobody says otherwise: longer than every retry of a delivery."""
LONGEST = 512
"""Characters of a link that is looked at."""


def key_file(store: Path) -> Path:
    """Return where the key is kept, beside an embedded store."""
    return store.with_name(store.name + "-link-key")


class Links:
    """Signs names of things, and opens what it signed."""

    def __init__(self, key: Secret, now: Callable[[], float]) -> None:
        """`now` is Unix time in seconds."""
        self._key = key.raw
        self._now = now

    def sign(self, kind: str, name: str, seconds: float = KEPT_FOR) -> str:
        """Return the last part of an address that gives a thing for so many seconds; it may stand in a URL as it is."""
        what = f"{int(self._now() + seconds)}:{name}".encode()
        return f"{_text(what)}.{_text(self._proof(kind, what))}"

    def open(self, kind: str, signed: str) -> str:
        """Return the name that was signed. Raises NotFound for what is not ours, and Gone once it has expired."""
        what, proof = _bytes(signed)
        if not hmac.compare_digest(proof, self._proof(kind, what)):
            raise NotFound
        expires, _, name = what.decode().partition(":")
        if int(expires) < self._now():
            raise Gone("this link has expired")
        return name

    def _proof(self, kind: str, what: bytes) -> bytes:
        return hmac.digest(self._key, kind.encode() + b"\0" + what, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(signed: str) -> tuple[bytes, bytes]:
    if len(signed) > LONGEST or not signed.isascii():
        raise NotFound
    try:
        what, proof = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in signed.split("."))
    except (ValueError, binascii.Error):
        raise NotFound from None
    return what, proof
