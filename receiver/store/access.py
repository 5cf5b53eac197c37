"""Named tokens: who may look and act beside the admin token, and how much; only digests are kept."""

import hmac
import re
import secrets
from enum import StrEnum

import msgspec

from receiver.contract.errors import Conflict, NotFound, UsageError
from receiver.contract.proof import digest
from receiver.contract.settings import Secret
from receiver.contract.times import from_ms
from receiver.store.ids import TOKEN, decode, encode, moment
from receiver.store.listing import Listing
from receiver.store.lists import Page
from receiver.store.shapes import Shape
from receiver.store.store import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_NO_DIGEST = bytes(32)
_LISTING = Listing(name="tokens", order=("id",), filters={})


class Role(StrEnum):
    """What a token may do; each includes those before it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Say whether who has this role may do what needs another."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was recognised; `name` is how the audit trail calls them, `token` the id of a named token."""

    name: str
    role: Role
    token: str | None = None


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of tokens; times are Unix milliseconds."""

    id: int
    name: str
    role: Role
    digest: bytes | None
    expires_at: int | None = None
    revoked_at: int | None = None

    def works(self, now: int) -> bool:
        """Say whether it opens anything at a moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Tokens:
    """Makes, ends and recognises named tokens; a token is `tok_…`, a dot, and a secret."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, name: str, role: Role, lifetime: int | None = None) -> tuple[Shape, Secret]:
        """Make a token, which is shown this once; `lifetime` in milliseconds, None is without end. Raises UsageError."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:64]!r}: a name has up to 64 letters, digits and . _ @ -, and begins with a letter"
            )
        number = self._store.ids.next()
        token = Secret(f"{encode(TOKEN, number)}.{secrets.token_urlsafe(32)}")
        expires = None if lifetime is None else self._store.now_ms() + lifetime
        row = TokenRow(id=number, name=name, role=role, digest=digest(token.raw), expires_at=expires)
        try:
            await self._store.engine.insert("add_token", [msgspec.structs.astuple(row)[:5]])
        except Conflict:
            raise UsageError(
                f"{name}: there is, or was, a token of this name; the audit trail tells them apart by it, so take another"
            ) from None
        return self._shown(row), token

    async def listed(self, given: dict[str, str]) -> Page:
        """Return tokens, newest first, without what opens anything. Raises UsageError."""
        asked = _LISTING.read(given)
        rows = await self._store.engine.rows("list_tokens", asked.params, asked.where)
        shown = [_row(row) for row in rows[: asked.limit]]
        more = _LISTING.cursor([shown[-1].id]) if len(rows) > len(shown) else None
        return Page([self._shown(row) for row in shown], more)

    async def revoke(self, name: str) -> None:
        """End a token and the sessions it opened, at once. Raises NotFound."""
        if not await self._store.engine.write("revoke_token", {"name": name, "now": self._store.now_ms()}):
            raise NotFound(f"no token is called {name[:64]!r}, or it is revoked; `hookscribe tokens list` shows all")

    async def bearer(self, token: str) -> Who | None:
        """Return whose token this is, None where it is none that works; compared in constant time."""
        public_id, _, _ = token.partition(".")
        row = await self._find(public_id)
        kept = row.digest if row and row.digest else _NO_DIGEST
        genuine = hmac.compare_digest(digest(token.encode("utf-8", "surrogatepass")), kept)
        return self._who(row) if row and genuine else None

    async def named(self, name: str) -> Who | None:
        """Return who has the token of a name, None where it does not work."""
        rows = await self._store.engine.rows("token_by_name", {"name": name})
        return self._who(_row(rows[0])) if rows else None

    async def holder(self, public_id: str) -> Who | None:
        """Return who holds the token of an id, None where it does not work any more."""
        row = await self._find(public_id)
        return self._who(row) if row else None

    async def _find(self, public_id: str) -> TokenRow | None:
        try:
            number = decode(TOKEN, public_id)
        except NotFound:
            return None
        rows = await self._store.engine.rows("token_by_id", {"id": number})
        return _row(rows[0]) if rows else None

    def _who(self, row: TokenRow) -> Who | None:
        if not row.works(self._store.now_ms()):
            return None
        return Who(name=row.name, role=row.role, token=encode(TOKEN, row.id))

    def _shown(self, row: TokenRow) -> Shape:
        now = self._store.now_ms()
        return {
            "id": encode(TOKEN, row.id),
            "name": row.name,
            "role": row.role,
            "state": "works" if row.works(now) else "revoked" if row.revoked_at is not None else "expired",
            "created_at": from_ms(moment(row.id)),
            "expires_at": None if row.expires_at is None else from_ms(row.expires_at),
            "revoked_at": None if row.revoked_at is None else from_ms(row.revoked_at),
        }


def _row(row: tuple[object, ...]) -> TokenRow:
    return msgspec.convert(dict(zip(TokenRow.__struct_fields__, row, strict=True)), TokenRow)
