"""Who may look: the admin token as a bearer, or a session that was opened with it. Nothing is kept in the process."""

import base64
import hmac
from collections.abc import Callable

from receiver.contract.proof import digest

COOKIE = "hookscribe_session"
SESSION_SECONDS = 12 * 3600
LINK_SECONDS = 600


class Sessions:
    """Checks tokens and makes what stands for them for a while; another token ends them all."""

    def __init__(self, token_digest: bytes, now: Callable[[], float]) -> None:
        """`token_digest` is the token's SHA-256 (`proof.digest`); `now` Unix time in seconds."""
        self._digest = token_digest
        self._key = hmac.digest(token_digest, b"hookscribe admin", "sha256")
        self._now = now

    def knows(self, token: str) -> bool:
        """Say whether this is the admin token, in constant time."""
        return hmac.compare_digest(digest(token.encode("utf-8", "surrogatepass")), self._digest)

    def open(self) -> str:
        """Return the value of a session's cookie."""
        return self._signed("session", SESSION_SECONDS)

    def is_open(self, value: str) -> bool:
        """Say whether a cookie's value is a session that has not expired."""
        return self._checked("session", value)

    def link_code(self) -> str:
        """Return a code that opens a session within the next minutes, for a link: `/login?code=…`."""
        return self._signed("link", LINK_SECONDS)

    def is_link_code(self, code: str) -> bool:
        """Say whether a link's code is ours and fresh."""
        return self._checked("link", code)

    def _signed(self, purpose: str, seconds: int) -> str:
        return self._with_mac(purpose, str(int(self._now()) + seconds))

    def _with_mac(self, purpose: str, expires: str) -> str:
        mac = hmac.digest(self._key, f"{purpose}.{expires}".encode(), "sha256")
        return f"{expires}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def _checked(self, purpose: str, value: str) -> bool:
        expires = value.partition(".")[0]
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return False
        genuine = hmac.compare_digest(value.encode("utf-8", "replace"), self._with_mac(purpose, expires).encode())
        return genuine and int(expires) > self._now()
