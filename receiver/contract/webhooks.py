"""Standard Webhooks 1.0 signatures: read keys, sign, verify, and make new keys.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from receiver.contract.encodings import changed_bodies, decode_mac
from receiver.contract.errors import ConfigError, UsageError
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Check, Reason, Refused, clock_detail, digest, filled, outcomes, signed_detail
from receiver.contract.schemes import read_public_key, verifies
from receiver.contract.settings import Secret, Settings, about
from receiver.contract.template import HEADER_NAME

SYMMETRIC = "whsec_"
"""Prefix of a shared key: HMAC-SHA256, version `v1`."""
PRIVATE = "whsk_"
"""Prefix of a private key: Ed25519, version `v1a`."""
PUBLIC = "whpk_"
"""Prefix of the public key that belongs to a private one."""

_NEW_BYTES = 32
_SHORTEST, _LONGEST = 24, 64
_SEED = 32
_MOST_SIGNATURES = 16


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


class StandardWebhooksSettings(Settings, frozen=True, kw_only=True):
    """Standard Webhooks, as Svix and others sign."""

    secrets: Annotated[
        tuple[Secret, ...], about("shared keys, whsec_… or its base64 alone (v1); several for rotation without a gap")
    ] = ()
    public_keys: Annotated[tuple[str, ...], about("public keys of the sender, whpk_… (v1a, Ed25519)")] = ()
    names: Annotated[
        tuple[str, ...], about("how the three headers begin: webhook-id, webhook-timestamp, webhook-signature")
    ] = ("webhook", "svix")
    tolerance: Annotated[float, about("seconds that the signing time may differ from our clock", gt=0)] = 300.0

    def check(self) -> None:
        if not self.secrets and not self.public_keys:
            raise ConfigError("secrets: give the sender's whsec_… key, or its whpk_… as public_keys")
        for secret in filled("secrets", self.secrets):
            shared_bytes(secret)
        for key in self.public_keys:
            read_public_key(key)
        for name in self.names:
            if not HEADER_NAME.fullmatch(name):
                raise ConfigError(f"names: {name!r} begins no header name")


class StandardWebhooks:
    """Checks the signatures of Standard Webhooks, symmetric and asymmetric, against several keys."""

    name = "Standard Webhooks"
    verdict = Verdict.SIGNATURE

    def __init__(self, settings: StandardWebhooksSettings) -> None:
        settings.check()
        self._names = tuple(name.lower() for name in settings.names) or ("webhook",)
        self._shared = tuple(SharedKey(shared_bytes(secret)) for secret in settings.secrets)
        self._public = tuple(read_public_key(key) for key in settings.public_keys)
        self._tolerance = settings.tolerance

    def refusal(self, request: InboundRequest, now: float) -> Refused | None:
        """Return None where one signature is right, else why not. `now` is Unix time in seconds."""
        name, signatures = self._signatures(request)
        if signatures is None:
            return _refused(Reason.SIGNATURE_MISSING, None, f"header {name}-signature is absent", name)
        shared, public = _read_signatures(signatures)
        if not shared and not public:
            return _refused(Reason.SIGNATURE_MALFORMED, False, f"header {name}-signature has no v1 and no v1a", name)
        message_id, stamp = request.header(f"{name}-id") or "", request.header(f"{name}-timestamp") or ""
        if (unfit := self._unfit(name, message_id, stamp, now)) is not None:
            return unfit
        if self._matches(shared, public, _signed(message_id, stamp, request.body)) is None:
            keys = f"{len(self._shared)} secrets and {len(self._public)} public keys"
            return _refused(
                Reason.SIGNATURE_MISMATCH, False, f"no match with any of {keys} over id.timestamp.body", name
            )
        return None

    def _unfit(self, name: str, message_id: str, stamp: str, now: float) -> Refused | None:
        if not message_id:
            return _refused(Reason.SIGNATURE_MISSING, None, f"header {name}-id is absent, and it is signed", name)
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            return _refused(Reason.TIMESTAMP_MISSING, None, f"header {name}-timestamp holds no Unix time", name)
        skew = round(int(stamp) - now, 3)
        if abs(skew) > self._tolerance:
            return _refused(Reason.TIMESTAMP_STALE, False, clock_detail(skew, self._tolerance), name, skew)
        return None

    def steps(self, request: InboundRequest) -> Iterator[Check]:
        """Yield what is signed, by size and digest, and which keys make one of the signatures that came."""
        name, signatures = self._signatures(request)
        if signatures is None:
            return
        shared, public = _read_signatures(signatures)
        content = _signed(request.header(f"{name}-id") or "", request.header(f"{name}-timestamp") or "", request.body)
        header = f"{name}-signature"
        yield Check(scheme=self.name, ok=None, header=header, detail=signed_detail("id.timestamp.body", content))
        yield from outcomes(self.name, header, self._outcomes(shared, public, content))

    def explain(self, request: InboundRequest, now: float) -> Iterator[Check]:
        """Yield which change of the body on its way would explain that it does not match, or which other headers."""
        refused = self.refusal(request, now)
        if refused is not None and refused.reason is Reason.SIGNATURE_MISSING:
            yield from self._elsewhere(request)
        if refused is None or refused.reason is not Reason.SIGNATURE_MISMATCH:
            return
        name, signatures = self._signatures(request)
        shared, public = _read_signatures(signatures or "")
        message_id, stamp = request.header(f"{name}-id") or "", request.header(f"{name}-timestamp") or ""
        for what, body in changed_bodies(request.body):
            key = self._matches(shared, public, _signed(message_id, stamp, body))
            if key is not None:
                detail = f"the body was changed on the way: {what}, it matches"
                yield Check(scheme=self.name, ok=False, header=f"{name}-signature", secret=key + 1, detail=detail)

    def headers(self, body: bytes, now: float) -> list[tuple[bytes, bytes]]:
        """Return the three headers that the sender would write. Raises UsageError where only a public key is known."""
        if not self._shared:
            raise UsageError("Standard Webhooks v1a: nobody but the sender can sign, with the private key")
        name, message_id = self._names[0], f"msg_{digest(body).hex()[:24]}"
        made = {
            "id": message_id,
            "timestamp": str(int(now)),
            "signature": sign(self._shared[:1], message_id, int(now), body),
        }
        return [(f"{name}-{part}".encode("latin-1"), value.encode()) for part, value in made.items()]

    def _signatures(self, request: InboundRequest) -> tuple[str, str | None]:
        for name in self._names:
            if (value := request.header(f"{name}-signature")) is not None:
                return name, value
        return self._names[0], None

    def _elsewhere(self, request: InboundRequest) -> Iterator[Check]:
        """Yield other names under which the three headers came, where the signature is right."""
        for header, _ in request.headers[:_MOST_SIGNATURES]:
            name = header.decode("latin-1").removesuffix("-signature")
            if header.endswith(b"-signature") and name not in self._names:
                shared, public = _read_signatures(request.header(f"{name}-signature") or "")
                stamp = request.header(f"{name}-timestamp") or ""
                key = self._matches(shared, public, _signed(request.header(f"{name}-id") or "", stamp, request.body))
                if key is not None:
                    detail = f'it matches with names = ["{name}"]'
                    yield Check(scheme=self.name, ok=False, header=f"{name}-signature", secret=key + 1, detail=detail)

    def _matches(self, shared: Sequence[bytes], public: Sequence[bytes], content: bytes) -> int | None:
        fitting = [index for index, fits in enumerate(self._outcomes(shared, public, content)) if fits]
        return fitting[-1] if fitting else None

    def _outcomes(self, shared: Sequence[bytes], public: Sequence[bytes], content: bytes) -> list[bool]:
        """Return for each key, shared ones first, whether it made one of the signatures."""
        made = [False] * len(self._shared)
        for index, key in enumerate(self._shared):
            ours = hmac.digest(key.secret, content, "sha256")
            for signature in shared:
                made[index] |= hmac.compare_digest(signature, ours)
        return made + [any(verifies(one, signature, content) for signature in public) for one in self._public]


def shared_bytes(secret: Secret) -> bytes:
    """Return the bytes of a sender's shared key, `whsec_…` or its base64 alone. Raises ConfigError."""
    text = secret.value.strip()
    if text.startswith((PRIVATE, PUBLIC)):
        raise ConfigError(
            f"secrets: a {text[:5]} key is none that two sides share; a sender's {PUBLIC} goes to public_keys"
        )
    try:
        key = _decoded(text, SYMMETRIC)
    except ConfigError:
        raise ConfigError(f"secrets: a key is {SYMMETRIC} and base64, or the base64 alone") from None
    if not key:
        raise ConfigError("secrets: one of the keys is empty")
    return key


def _signed(message_id: str, stamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (message_id.encode("latin-1", "replace"), stamp.encode("latin-1", "replace"), body)


def _read_signatures(header: str) -> tuple[list[bytes], list[bytes]]:
    """Return the signatures of a header by version, v1 and v1a; what is none is left out."""
    shared: list[bytes] = []
    public: list[bytes] = []
    for one in header.split(" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]:
        version, _, text = one.partition(",")
        if version == "v1" and (mac := decode_mac(text, "base64", 32)) is not None:
            shared.append(mac)
        elif version == "v1a" and (signature := decode_mac(text, "base64", 64)) is not None:
            public.append(signature)
    return shared, public


def _refused(reason: Reason, ok: bool | None, detail: str, name: str, skew: float | None = None) -> Refused:
    check = Check(scheme=StandardWebhooks.name, ok=ok, detail=detail, header=f"{name}-signature", skew=skew)
    return Refused(reason=reason, checks=(check,))
