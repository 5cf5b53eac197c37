"""Secrets that a provider shows once: kept in the store, encrypted with a key that is kept beside it."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.store.secrets_beside import kept_secret
from receiver.store.store import Store


class Sealed:
    """Seals and opens secrets by source and name."""

    def __init__(self, store: Store, key: Callable[[], Secret]) -> None:
        """`key` gives any text that nobody can guess; it is asked when there is something to seal or to open."""
        self._store = store
        self._key = key

    def _fernet(self) -> Fernet:
        return _fernet(self._key())

    async def put(self, source: str, name: str, secret: Secret) -> None:
        """Keep a secret; one of the same name is replaced."""
        sealed = self._fernet().encrypt(secret.raw)
        row = {"source": source, "name": name, "sealed": sealed, "now": self._store.now_ms()}
        await self._store.engine.write("seal_secret", row)

    async def of(self, source: str) -> dict[str, Secret]:
        """Return the secrets of a source by name, oldest first. Raises ConfigError where the key is another."""
        rows = await self._store.engine.rows("sealed_secrets", {"source": source})
        if not rows:
            return {}
        fernet = self._fernet()
        try:
            return {row[0]: Secret(fernet.decrypt(bytes(row[1])).decode("utf-8")) for row in rows}
        except InvalidToken:
            raise ConfigError(
                f"sources.{source}: its sealed secrets were sealed with another key: put that back, or make its "
                f"subscription anew with `hookscribe subscriptions heal {source}`"
            ) from None

    async def drop(self, source: str, name: str) -> None:
        """Forget a secret."""
        await self._store.engine.write("drop_secret", {"source": source, "name": name})


def seal(key: Secret, plain: bytes) -> bytes:
    """Return bytes that only the key opens."""
    return _fernet(key).encrypt(plain)


def unseal(key: Secret, sealed: bytes) -> bytes:
    """Return what was sealed. Raises ConfigError where it was with another key."""
    try:
        return _fernet(key).decrypt(sealed)
    except InvalidToken:
        raise ConfigError("it was sealed with another key: put that back") from None


def _fernet(key: Secret) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.raw).digest()))


async def newest(store: Store) -> tuple[int, int]:
    """Return what changes whenever a secret is sealed or dropped."""
    ((when, count),) = await store.engine.rows("newest_secret")
    return when, count


def key_beside(store: Path) -> Secret:
    """Return the key kept beside an embedded store, made when it is first needed (0600). Raises ConfigError."""
    return kept_secret(store.with_name(store.name + "-seal-key"), "seal_key", "set seal_key instead")
