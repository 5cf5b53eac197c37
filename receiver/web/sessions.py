"""Who may look: a token as a bearer, or a session that was opened with one. Nothing is kept in the process."""

import base64
import hmac
from collections.abc import Callable

from receiver.contract.proof import digest
from receiver.store.access import Role, Tokens, Who

COOKIE = "hookscribe_session"
SESSION_SECONDS = 12 * 3600
LINK_SECONDS = 600
ADMIN = Who(name="admin token", role=Role.ADMIN)
"""Who has the admin token, or was let in by a link from the terminal."""


class Sessions:
    """Checks tokens and makes what stands for them for a while; another admin token ends them all."""

    def __init__(self, token_digest: bytes, now: Callable[[], float], tokens: Tokens | None = None) -> None:
        """`token_digest` is the admin token's SHA-256 (`proof.digest`); `now` Unix time in seconds; `tokens` the named ones."""
        self._digest = token_digest
        self._key = hmac.digest(token_digest, b"hookscribe admin", "sha256")
        self._now = now
        self._tokens = tokens

    def knows(self, token: str) -> bool:
        """Say whether this is the admin token, in constant time."""
        return hmac.compare_digest(digest(token.encode("utf-8", "surrogatepass")), self._digest)

    async def bearer(self, token: str) -> Who | None:
        """Return whose token this is: the admin token, or a named one that works. Raises StoreError."""
        if self.knows(token):
            return ADMIN
        return await self._tokens.bearer(token) if self._tokens else None

    def open(self, who: Who = ADMIN) -> str:
        """Return the value of a session's cookie."""
        return self._signed("session", SESSION_SECONDS, who.token or "")

    async def holder(self, value: str) -> Who | None:
        """Return whose session a cookie's value is, None where it is none, or has ended with its token."""
        held = self._checked("session", value)
        if not held:
            return None if held is None else ADMIN
        return await self._tokens.holder(held) if self._tokens else None

    def is_open(self, value: str) -> bool:
        """Say whether a cookie's value is a session that has not expired; its token may have."""
        return self._checked("session", value) is not None

    def link_code(self) -> str:
        """Return a code that opens a session within the next minutes, for a link: `/login?code=…`."""
        return self._signed("link", LINK_SECONDS)

    def is_link_code(self, code: str) -> bool:
        """Say whether a link's code is ours and fresh."""
        return self._checked("link", code) is not None

    def form_token(self, session: str) -> str:
        """Return what the forms of a session's pages carry, so that no other page can send one."""
        mac = hmac.digest(self._key, b"form." + session.encode("utf-8", "replace"), "sha256")
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def is_form_token(self, session: str, token: str) -> bool:
        """Say whether a form comes from a page of this session, in constant time."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.form_token(session).encode())

    def _signed(self, purpose: str, seconds: int, held: str = "") -> str:
        return self._with_mac(purpose, str(int(self._now()) + seconds), held)

    def _with_mac(self, purpose: str, expires: str, held: str) -> str:
        mac = hmac.digest(self._key, f"{purpose}.{expires}.{held}".encode("utf-8", "replace"), "sha256")
        return f"{expires}.{held}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def _checked(self, purpose: str, value: str) -> str | None:
        """Return the id of the token behind what was signed, empty for the admin token, or None: it is none of ours."""
        expires, _, rest = value.partition(".")
        held = rest.partition(".")[0]
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return None
        made = self._with_mac(purpose, expires, held).encode("utf-8", "replace")
        genuine = hmac.compare_digest(value.encode("utf-8", "replace"), made)
        return held if genuine and int(expires) > self._now() else None
