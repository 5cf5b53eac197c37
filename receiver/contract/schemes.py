"""Proof beside the HMAC: Ed25519 over a template, a header that holds a secret, HTTP basic.

As all proof: constant time, never raises, and says what was wrong.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Annotated, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from receiver.contract.diagnosis import readings, usual_contents, usual_headers
from receiver.contract.errors import ConfigError, UsageError
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Check, HeaderScheme, HeaderSignature, Reason, Refused, digest, filled, outcomes
from receiver.contract.settings import Secret, Settings, about
from receiver.contract.template import HEADER_NAME

SHORTEST = 16
"""Characters of a secret in a header: shorter ones can be guessed."""

_UNMATCHED = frozenset({Reason.SIGNATURE_MISSING, Reason.SIGNATURE_MALFORMED, Reason.SIGNATURE_MISMATCH})
_MOST_HEADERS = 64
_LONGEST_WORD = 16

_KEY_SIZE, _SIGNATURE_SIZE = 32, 64
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}")


class Scheme(Protocol):
    """One way of proof, as a Door has several."""

    name: str
    """In words, for operators."""
    verdict: Verdict
    """What a request is proven by that passes."""

    def refusal(self, request: InboundRequest, now: float) -> Refused | None:
        """Return None where the proof is right, else why not. Never raises."""
        ...

    def steps(self, request: InboundRequest) -> Iterator[Check]:
        """Yield what was compared, without content, and how each secret fares."""
        ...

    def explain(self, request: InboundRequest, now: float) -> Iterator[Check]:
        """Yield what else an operator should know where it is not right."""
        ...

    def headers(self, body: bytes, now: float) -> list[tuple[bytes, bytes]]:
        """Return the headers that the sender would write. Raises UsageError where only the sender can."""
        ...


class Ed25519Settings(HeaderSignature, frozen=True, kw_only=True):
    """An Ed25519 signature in a header: the sender's public key verifies it."""

    public_keys: Annotated[
        tuple[str, ...], about("public keys of the sender: hex, base64, whpk_… or PEM; several for rotation")
    ]

    def check(self) -> None:
        super().check()
        for key in self.public_keys:
            read_public_key(key)
        if not self.public_keys:
            raise ConfigError("public_keys: give the sender's public key, in hex, base64, whpk_… or PEM")


class Ed25519Scheme(HeaderScheme):
    """Checks one Ed25519 header against several public keys."""

    name = "ed25519"
    verdict = Verdict.SIGNATURE

    def __init__(self, settings: Ed25519Settings) -> None:
        super().__init__(settings, _SIGNATURE_SIZE)
        self._keys = tuple(read_public_key(key) for key in settings.public_keys)

    def explain(self, request: InboundRequest, now: float) -> Iterator[Check]:
        """Yield which change of the body explains a mismatch, or which other header, encoding or template."""
        yield from super().explain(request, now)
        refused = self.refusal(request, now)
        if refused is None or refused.reason not in _UNMATCHED:
            return
        contents = list(usual_contents(request))
        for name, value in usual_headers(request):
            for prefix, encoding, signature in readings(value, (_SIGNATURE_SIZE,)):
                for (content, template, stamp), (number, key) in product(contents, enumerate(self._keys, 1)):
                    if verifies(key, signature, content):
                        how = {"header": name, "encoding": encoding, "prefix": prefix, "signed": template}
                        table = [*how.items(), *((("timestamp_header", stamp),) if stamp else ())]
                        detail = ", ".join(f'{one} = "{text}"' for one, text in table if text)
                        detail = f"it matches with {detail}"
                        yield Check(scheme=self.name, ok=False, header=name, secret=number, detail=detail)

    def headers(self, body: bytes, now: float) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Raise UsageError: nobody but the sender has the private key."""
        raise UsageError("ed25519: nobody but the sender can sign, because only the sender has the private key")

    def _fits(self, key: bytes, given: Sequence[bytes], content: bytes) -> bool:
        return any(verifies(key, signature, content) for signature in given)

    def _keys_in_words(self) -> str:
        return f"{len(self._keys)} public keys"


def verifies(key: bytes, signature: bytes, content: bytes) -> bool:
    """Say whether an Ed25519 signature of `content` is that of the holder of `key`."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public_key(text: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key. Raises ConfigError."""
    bare = text.strip()
    if bare.startswith("-----BEGIN"):
        return _from_pem(bare)
    if _HEX_KEY.fullmatch(bare):
        return bytes.fromhex(bare)
    encoded = bare.removeprefix("whpk_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        if len(key) == _KEY_SIZE:
            Ed25519PublicKey.from_public_bytes(key)
            return key
    except (binascii.Error, ValueError):
        pass
    raise ConfigError(
        f"public_keys: a key is {_KEY_SIZE} bytes in hex or base64, whpk_…, or PEM; {_short(bare)} is not"
    )


def _from_pem(text: str) -> bytes:
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, TypeError) as error:
        raise ConfigError("public_keys: the PEM cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("public_keys: the PEM holds another kind of key than Ed25519")
    return key.public_bytes_raw()


def _short(text: str) -> str:
    return f"{text[:8]}…" if len(text) > 8 else repr(text)


class HeaderSecretSettings(Settings, frozen=True, kw_only=True):
    """A header that holds a secret, the same in every request."""

    name: Annotated[str, about("header that holds the secret, such as dg-token or Authorization")]
    values: Annotated[tuple[Secret, ...], about("what it holds; several for rotation without a gap")]
    prefix: Annotated[str, about('text before the secret, such as "Bearer "')] = ""

    def check(self) -> None:
        if not HEADER_NAME.fullmatch(self.name):
            raise ConfigError(f"name: {self.name!r} is no header name; letters, digits and hyphens make one")
        if not self.values:
            raise ConfigError("values: give the secret that the header holds")
        for value in filled("values", self.values):
            if len(value.value) < SHORTEST:
                raise ConfigError(
                    f"values: {len(value.value)} characters can be guessed, {SHORTEST} are the least; "
                    "`hookscribe keygen` prints a good one"
                )


class _Presented:
    """Checks something that is the same in every request against several secrets, by digest and in constant time."""

    name: str
    verdict = Verdict.TOKEN

    def __init__(self, header: str, prefix: str, secrets: Iterable[bytes]) -> None:
        self._header = header
        self._prefix = prefix
        self._secrets = tuple(secrets)
        self._digests = tuple(digest(secret) for secret in self._secrets)

    def refusal(self, request: InboundRequest, now: float) -> Refused | None:  # noqa: ARG002
        """Return None where the header holds one of the secrets, else why not."""
        header = request.header(self._header.lower())
        if header is None:
            return self._refused(Reason.CREDENTIALS_MISSING, None, f"header {self._header} is absent")
        given = self._presented(header)
        if given is None:
            detail = f"header {self._header} does not start with {self._prefix!r}"
            return self._refused(Reason.CREDENTIALS_WRONG, False, detail)
        theirs, found = digest(given.encode("latin-1", "replace")), False
        for known in self._digests:
            found |= hmac.compare_digest(theirs, known)
        if found:
            return None
        detail = f"header {self._header} ({len(given)} characters) holds none of the {len(self._digests)} configured"
        return self._refused(Reason.CREDENTIALS_WRONG, False, detail)

    def steps(self, request: InboundRequest) -> Iterator[Check]:
        """Yield which secrets the header holds."""
        given = self._presented(request.header(self._header.lower()) or "")
        if given is not None:
            theirs = digest(given.encode("latin-1", "replace"))
            made = [hmac.compare_digest(theirs, known) for known in self._digests]
            yield from outcomes(self.name, self._header, made, "value")

    def explain(self, request: InboundRequest, now: float) -> Iterator[Check]:
        """Yield where else in the request one of the secrets stands."""
        if self.refusal(request, now) is not None:
            yield from presented_elsewhere(request, self._secrets, self.name)

    def headers(self, body: bytes, now: float) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """Return the header with the first secret."""
        return [(self._header.lower().encode("latin-1"), self._prefix.encode("latin-1") + self._secrets[0])]

    def _presented(self, header: str) -> str | None:
        return header[len(self._prefix) :].strip() if header.startswith(self._prefix) else None

    def _refused(self, reason: Reason, ok: bool | None, detail: str) -> Refused:
        return Refused(reason=reason, checks=(Check(scheme=self.name, ok=ok, detail=detail, header=self._header),))


def presented_elsewhere(request: InboundRequest, secrets: Sequence[bytes], scheme: str) -> Iterator[Check]:
    """Yield each header that holds one of `secrets`, bare or after a word such as Bearer, with how to say so."""
    known = [digest(secret) for secret in secrets]
    for name, value in request.headers[:_MOST_HEADERS]:
        word, space, rest = value.strip().partition(b" ")
        for prefix, text in ((b"", value.strip()), (word + space, rest.strip())):
            theirs = digest(text)
            for number, ours in enumerate(known, 1):
                if prefix[:_LONGEST_WORD] == prefix and hmac.compare_digest(theirs, ours):
                    header, before = name.decode("latin-1"), f" after {prefix.decode('latin-1')!r}" if prefix else ""
                    detail = f"header {header} holds the secret{before}; nothing else must stand there, or set name and prefix"
                    yield Check(scheme=scheme, ok=False, header=header, secret=number, detail=detail)


class HeaderSecretScheme(_Presented):
    """Checks a header that holds a secret."""

    def __init__(self, settings: HeaderSecretSettings) -> None:
        settings.check()
        super().__init__(settings.name, settings.prefix, [value.raw.strip() for value in settings.values])
        self.name = f"secret in {settings.name}"


class BasicSettings(Settings, frozen=True, kw_only=True):
    """HTTP basic: user and password, as in https://user:password@calls.example.com/hooks/…"""

    user: Annotated[str, about("name of the user")]
    passwords: Annotated[tuple[Secret, ...], about("password; several for rotation without a gap")]

    def check(self) -> None:
        if ":" in self.user:
            raise ConfigError("user: a name of HTTP basic holds no colon")
        if not self.passwords:
            raise ConfigError("passwords: give the password of the user")
        for password in filled("passwords", self.passwords):
            if len(password.value) < SHORTEST:
                raise ConfigError(
                    f"passwords: {len(password.value)} characters can be guessed, {SHORTEST} are the least; "
                    "`hookscribe keygen` prints a good one"
                )


class BasicScheme(_Presented):
    """Checks user and password of HTTP basic (RFC 7617), in UTF-8."""

    name = "HTTP basic"

    def __init__(self, settings: BasicSettings) -> None:
        settings.check()
        pairs = (settings.user.encode() + b":" + password.raw for password in settings.passwords)
        super().__init__("Authorization", "Basic ", [base64.b64encode(pair) for pair in pairs])

    def _presented(self, header: str) -> str | None:
        """Return what follows `Basic`, in any case, with the padding that some leave out."""
        if header[:6].lower() != "basic ":
            return None
        bare = header[6:].strip().rstrip("=")
        return bare + "=" * (-len(bare) % 4)
