"""Standard Webhooks 1.0 signatures: read keys, sign, and make new ones.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret

SYMMETRIC = "whsec_"
"""Prefix of a shared key: HMAC-SHA256, version `v1`."""
PRIVATE = "whsk_"
"""Prefix of a private key: Ed25519, version `v1a`."""
PUBLIC = "whpk_"
"""Prefix of the public key that belongs to a private one."""

_NEW_BYTES = 32
_SHORTEST, _LONGEST = 24, 64
_SEED = 32


class SharedKey(msgspec.Struct, frozen=True):
    """A key that both sides know."""

    secret: bytes

    def signature(self, content: bytes) -> str:
        """Return `v1,` and the base64 of the HMAC-SHA256."""
        return "v1," + base64.b64encode(hmac.digest(self.secret, content, "sha256")).decode()

    def __repr__(self) -> str:
        return "SharedKey(***)"


class PrivateKey(msgspec.Struct, frozen=True):
    """A key of ours alone; receivers verify with its public half."""

    private: Ed25519PrivateKey

    def signature(self, content: bytes) -> str:
        """Return `v1a,` and the base64 of the Ed25519 signature."""
        return "v1a," + base64.b64encode(self.private.sign(content)).decode()

    def __repr__(self) -> str:
        return "PrivateKey(***)"


Key = SharedKey | PrivateKey


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """What `generate` made: ours to keep, and what the receiver needs (None where that is the same key)."""

    secret: Secret
    public: str | None


def read_key(secret: Secret) -> Key:
    """Read `whsec_…` (24 to 64 bytes) or `whsk_…` (32 bytes of seed, or 64 with the public half).

    Raises ConfigError, which never shows the key.
    """
    text = secret.value.strip()
    if text.startswith(SYMMETRIC):
        key = _decoded(text, SYMMETRIC)
        if not _SHORTEST <= len(key) <= _LONGEST:
            raise ConfigError(f"a {SYMMETRIC} key holds {_SHORTEST} to {_LONGEST} bytes, this one {len(key)}")
        return SharedKey(key)
    if text.startswith(PRIVATE):
        return _private(_decoded(text, PRIVATE))
    if text.startswith(PUBLIC):
        raise ConfigError(f"a {PUBLIC} key only verifies; to sign, give its {PRIVATE} half")
    raise ConfigError(f"a key starts with {SYMMETRIC} or {PRIVATE} (`hookscribe keygen` makes one)")


def _decoded(text: str, prefix: str) -> bytes:
    encoded = text.removeprefix(prefix).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"what follows {prefix} is not base64") from None


def _private(key: bytes) -> PrivateKey:
    if len(key) not in {_SEED, 2 * _SEED}:
        raise ConfigError(f"a {PRIVATE} key holds {_SEED} or {2 * _SEED} bytes, this one {len(key)}")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED])
    if key[_SEED:] not in {b"", private.public_key().public_bytes_raw()}:
        raise ConfigError(f"the two halves of the {PRIVATE} key do not belong together")
    return PrivateKey(private)


def sign(keys: Sequence[Key], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature for each key, so that keys rotate without a gap.

    `timestamp` is the attempt's, Unix seconds; `message_id` holds no full stop.
    """
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(key.signature(content) for key in keys)


def generate(kind: Literal["symmetric", "asymmetric"] = "symmetric") -> NewKey:
    """Make a key: `whsec_…`, or a pair of `whsk_…` (seed and public half) and `whpk_…`."""
    if kind == "symmetric":
        return NewKey(secret=Secret(SYMMETRIC + _encoded(secrets.token_bytes(_NEW_BYTES))), public=None)
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return NewKey(
        secret=Secret(PRIVATE + _encoded(private.private_bytes_raw() + public)), public=PUBLIC + _encoded(public)
    )


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()
