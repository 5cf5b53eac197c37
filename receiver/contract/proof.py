"""Proof: who called. Plain functions of bytes and headers; for any input they return or refuse, they never raise.

Only `Proven` makes a Receipt, and only a provider's `prove` makes a `Proven`.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from receiver.contract.encodings import Encoding, KeyForm, changed_bodies, decode_mac, encode_mac, key_bytes
from receiver.contract.errors import ConfigError
from receiver.contract.model import InboundRequest, JobToken, TokenDigest, Verdict
from receiver.contract.settings import Secret, Settings, about
from receiver.contract.template import HEADER_NAME, Template, header_parts, read_stamp

__all__ = [
    "Algorithm",
    "Check",
    "Encoding",
    "HeaderScheme",
    "HeaderSignature",
    "HmacScheme",
    "KeyForm",
    "Proven",
    "Reason",
    "Refused",
    "SignatureSettings",
    "Tokens",
    "changed_bodies",
    "clock_detail",
    "decode_mac",
    "digest",
    "encode_mac",
    "filled",
    "key_bytes",
    "outcomes",
    "signed_detail",
]


class Reason(StrEnum):
    """Why a request was refused; operators see it, the sender does not."""

    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105 -- a word, not a secret
    TOKEN_MISSING = "token_missing"  # noqa: S105
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_MISMATCH = "signature_mismatch"
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_WRONG = "credentials_wrong"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_STALE = "timestamp_stale"
    BODY_UNEXPECTED = "body_unexpected"
    """The bytes are not what a signed message of this provider can be (no JSON, duplicate keys, members missing)."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One scheme tried, for operators. Never holds a secret, a token or what was said."""

    scheme: str
    ok: bool | None
    """None: could not be tried (header absent, nothing configured)."""
    detail: str
    header: str | None = None
    secret: int | None = None
    """Which of the configured secrets, counted from 1."""
    skew: float | None = None
    """Seconds that the sender's clock is ahead of ours."""


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose sender is known; `checks` holds the outcome of advisory schemes."""

    request: InboundRequest
    verdict: Verdict
    checks: tuple[Check, ...] = ()


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A request that proved nothing. TOKEN_UNKNOWN is answered 404, the others 401; the sender learns no more."""

    reason: Reason
    checks: tuple[Check, ...] = ()


def digest(value: bytes) -> bytes:
    """Return the 32-byte SHA-256 that tokens are compared and kept by."""
    return hashlib.sha256(value).digest()


def filled(key: str, secrets: Iterable[Secret]) -> Iterator[Secret]:
    """Yield secrets; raise ConfigError for one that is empty."""
    for secret in secrets:
        if not secret.value:
            raise ConfigError(f"{key}: one of the values is empty, and anybody has that one; set it or take it out")
        yield secret


class Tokens:
    """The tokens of one source; compared by digest, every one of them, in constant time."""

    __slots__ = ("_digests",)

    def __init__(self, tokens: Iterable[Secret]) -> None:
        self._digests = tuple(digest(token.raw) for token in filled("token", tokens))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def refusal(self, token: str | TokenDigest | JobToken | None) -> Refused | None:
        """Return None where `token` is one of ours, else why not."""
        if isinstance(token, JobToken):
            return None
        if token is None:
            check = Check(scheme="token", ok=None, detail="the URL carries no token: /hooks/<source>/<token>")
            return Refused(reason=Reason.TOKEN_MISSING, checks=(check,))
        given = TokenDigest.of(token) if isinstance(token, str) else token
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(given.digest, known)
        if found:
            return None
        check = Check(
            scheme="token",
            ok=False,
            detail=f"the token in the URL ({given.length} characters) is none of the {len(self._digests)} configured",
        )
        return Refused(reason=Reason.TOKEN_UNKNOWN, checks=(check,))

    def steps(self, token: str | TokenDigest | JobToken | None) -> Iterator[Check]:
        """Yield which of ours it is."""
        if isinstance(token, JobToken):
            yield Check(scheme="token", ok=True, detail=f"the token in the URL was made for {token.job}")
            return
        if token is None or not self._digests:
            return
        given = TokenDigest.of(token) if isinstance(token, str) else token
        yield from outcomes(
            "token", None, [hmac.compare_digest(given.digest, known) for known in self._digests], "token"
        )


Algorithm = Literal["hmac-sha256", "hmac-sha512", "hmac-sha1"]


class HeaderSignature(Settings, frozen=True, kw_only=True):
    """A signature in a header: where it stands, how it is written, and what is signed."""

    header: Annotated[str, about("header that carries the signature")]
    encoding: Annotated[Encoding, about("how the signature is written")] = "hex"
    prefix: Annotated[str, about('text before the signature, such as "sha256="')] = ""
    part: Annotated[
        str | None, about('name of the part that is the signature, where the header is a list such as "t=…,v1=…"')
    ] = None
    signed: Annotated[
        str, about("what is signed: a template of {body}, {timestamp} and {header:NAME}, and any other text")
    ] = "{body}"
    timestamp_header: Annotated[
        str | None, about("header that carries the time of signing: Unix time in s or ms, or RFC 3339")
    ] = None
    timestamp_part: Annotated[
        str | None, about('name of the part that is the time of signing, where the header is a list such as "t=…,v1=…"')
    ] = None
    tolerance: Annotated[float, about("seconds that the signing time may differ from our clock", gt=0)] = 300.0

    def check(self) -> None:
        for key, header in (("header", self.header), ("timestamp_header", self.timestamp_header)):
            if header is not None and not HEADER_NAME.fullmatch(header):
                raise ConfigError(f"{key}: {header!r} is no header name; letters, digits and hyphens make one")
        Template.check("signed", self.signed)
        template = Template(self.signed)
        if not template.has_body:
            raise ConfigError('signed: it must contain {body}, as in signed = "{timestamp}.{body}"')
        if self.timestamp_part is not None and (self.part is None or self.timestamp_header is not None):
            raise ConfigError("timestamp_part: it goes with part, and not with timestamp_header")
        if template.has_timestamp != (self.timestamp_header is not None or self.timestamp_part is not None):
            raise ConfigError(
                "signed and timestamp_header: {timestamp} and its header (or timestamp_part) go together; "
                "set both or neither"
            )


class SignatureSettings(HeaderSignature, frozen=True, kw_only=True):
    """An HMAC in a header: what is signed, with what, and how it is written."""

    algorithm: Annotated[Algorithm, about("keyed hash")] = "hmac-sha256"
    key: Annotated[
        KeyForm, about("what the secret is: the text itself, or bytes written as base64 (after whsec_ too) or hex")
    ] = "text"


class HeaderScheme:
    """Checks a signature in a header; what makes it right, `_matches`, is the subclass's."""

    name: str
    """The scheme in a word, for operators."""

    def __init__(self, settings: HeaderSignature, size: int) -> None:
        settings.check()
        self.how = settings
        self._header = settings.header.lower()
        self._stamp = settings.timestamp_header.lower() if settings.timestamp_header else None
        self._timed = self._stamp is not None or settings.timestamp_part is not None
        self._size = size
        self._template = Template(settings.signed)

    _keys: tuple[bytes, ...] = ()

    def _fits(self, key: bytes, given: Sequence[bytes], content: bytes) -> bool:
        """Say whether `key` made one of the signatures `given` for what is signed."""
        raise NotImplementedError

    def _matches(self, given: Sequence[bytes], content: Iterable[bytes]) -> int | None:
        """Return which key made one of the signatures `given` for what is signed, or None; all are tried."""
        signed, found = b"".join(content), None
        for index, key in enumerate(self._keys):
            if self._fits(key, given, signed):
                found = index
        return found

    def _keys_in_words(self) -> str:
        raise NotImplementedError

    def refusal(self, request: InboundRequest, now: float) -> Refused | None:
        """Return None where the signature is right, else why not. `now` is Unix time in seconds."""
        header = request.header(self._header)
        if header is None:
            return self._refused(Reason.SIGNATURE_MISSING, None, f"header {self.how.header} is absent")
        given = self._given(header)
        if not given:
            return self._refused(Reason.SIGNATURE_MALFORMED, False, self._malformed(header))
        timestamp = self._timestamp(request, header)
        if self._timed and (late := self._time_refusal(timestamp, now)) is not None:
            return late
        values = self._template.values(request)
        if isinstance(values, str):
            detail = f"header {values}, which is signed too, is absent"
            return self._refused(Reason.SIGNATURE_MISSING, None, detail)
        if self._matches(given, self._template.pieces(request.body, timestamp, values)) is None:
            detail = f"no match with any of {self._keys_in_words()} over {self.how.signed}"
            return self._refused(Reason.SIGNATURE_MISMATCH, False, detail)
        return None

    def steps(self, request: InboundRequest) -> Iterator[Check]:
        """Yield what is signed, by size and digest, and which secrets make the signature that came."""
        header, values = request.header(self._header), self._template.values(request)
        if header is None or isinstance(values, str):
            return
        timestamp = self._timestamp(request, header)
        content = b"".join(self._template.pieces(request.body, timestamp, values))
        yield Check(scheme=self.name, ok=None, header=self.how.header, detail=signed_detail(self.how.signed, content))
        given = self._given(header)
        yield from outcomes(self.name, self.how.header, [self._fits(key, given, content) for key in self._keys])

    def explain(self, request: InboundRequest, now: float) -> Iterator[Check]:
        """Yield which change of the body on its way would explain that it does not match."""
        refused = self.refusal(request, now)
        if refused is None or refused.reason is not Reason.SIGNATURE_MISMATCH:
            return
        header = request.header(self._header) or ""
        given, timestamp, values = self._given(header), self._timestamp(request, header), self._template.values(request)
        for what, body in changed_bodies(request.body):
            if isinstance(values, str):
                return
            key = self._matches(given, self._template.pieces(body, timestamp, values))
            if key is not None:
                detail = f"the body was changed on the way: {what}, it matches"
                yield Check(scheme=self.name, ok=False, header=self.how.header, secret=key + 1, detail=detail)

    def _made(self, signature: str, timestamp: str, values: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        """Return the headers that the sender would write."""
        value = self.how.prefix + signature
        if self.how.part is not None:
            stamp = f"{self.how.timestamp_part}={timestamp}," if self.how.timestamp_part else ""
            value = f"{stamp}{self.how.part}={value}"
        headers = {**values, self._header: value}
        if self._stamp is not None:
            headers[self._stamp] = timestamp
        return [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]

    def _invented(self, body: bytes, timestamp: str) -> Mapping[str, str]:
        """Return values for the other headers that are signed: the same for the same body."""
        known = {self._stamp: timestamp} if self._stamp else {}
        return {name: known.get(name, f"simulated-{digest(body).hex()[:24]}") for name in self._template.headers}

    def _given(self, header: str) -> list[bytes]:
        texts = [header] if self.how.part is None else [t for name, t in header_parts(header) if name == self.how.part]
        return [mac for text in texts if (mac := self._decode(text)) is not None]

    def _decode(self, given: str) -> bytes | None:
        if not given.startswith(self.how.prefix):
            return None
        return decode_mac(given[len(self.how.prefix) :].strip(), self.how.encoding, self._size)

    def _timestamp(self, request: InboundRequest, header: str) -> str:
        if self._stamp is not None:
            return request.header(self._stamp) or ""
        if not self._timed:
            return ""
        return next((text for name, text in header_parts(header) if name == self.how.timestamp_part), "")

    def _malformed(self, given: str) -> str:
        if self.how.part is not None:
            return f"header {self.how.header} has no part {self.how.part} that holds {self._size} bytes of {self.how.encoding}"
        if not given.startswith(self.how.prefix):
            return f"header {self.how.header} does not start with {self.how.prefix!r}"
        others: tuple[Encoding, ...] = ("hex", "base64", "base64url")
        for other in others:
            if decode_mac(given[len(self.how.prefix) :].strip(), other, self._size) is not None:
                return f"header {self.how.header} holds {other}, and encoding is {self.how.encoding!r}"
        return f"header {self.how.header} holds no {self._size}-byte {self.how.encoding} value"

    def _time_refusal(self, timestamp: str, now: float) -> Refused | None:
        seconds = read_stamp(timestamp)
        if seconds is None:
            where = self.how.timestamp_header or f"{self.how.header}, part {self.how.timestamp_part},"
            return self._refused(Reason.TIMESTAMP_MISSING, None, f"header {where} holds no Unix time")
        skew = round(seconds - now, 3)
        if abs(skew) <= self.how.tolerance:
            return None
        return self._refused(Reason.TIMESTAMP_STALE, False, clock_detail(skew, self.how.tolerance), skew)

    def _refused(self, reason: Reason, ok: bool | None, detail: str, skew: float | None = None) -> Refused:
        check = Check(scheme=self.name, ok=ok, detail=detail, header=self.how.header, skew=skew)
        return Refused(reason=reason, checks=(check,))


def signed_detail(signed: str, content: bytes) -> str:
    """Say what was signed so that the sender can compare: how it is put together, its size, its digest."""
    return f"signed is {signed}: {len(content)} bytes, SHA-256 {digest(content).hex()}"


def outcomes(scheme: str, header: str | None, made: Iterable[bool], what: str = "signature") -> Iterator[Check]:
    """Yield for each secret, in their order, whether it makes what came."""
    for number, ok in enumerate(made, 1):
        detail = f"makes the {what} that came" if ok else f"makes another {what}"
        yield Check(scheme=scheme, ok=ok, header=header, secret=number, detail=detail)


def clock_detail(skew: float, tolerance: float) -> str:
    """Say how far a signing time is off."""
    return f"signed {abs(skew):.0f} s {'after' if skew > 0 else 'before'} our clock, {tolerance:.0f} s allowed"


class HmacScheme(HeaderScheme):
    """Checks one HMAC header against several secrets."""

    def __init__(self, settings: SignatureSettings, secrets: Sequence[Secret]) -> None:
        self.settings = settings
        self.name = settings.algorithm
        self._hash = settings.algorithm.removeprefix("hmac-")
        super().__init__(settings, hashlib.new(self._hash, usedforsecurity=False).digest_size)
        self._keys = tuple(key_bytes(secret, settings.key) for secret in filled("secrets", secrets))

    def sign(self, body: bytes, timestamp: str = "", *, secret: int = 0) -> str:
        """Return the signature of `body` as the sender would write it, after its prefix."""
        return self.settings.prefix + self._signature(body, timestamp, secret)

    def headers(self, body: bytes, now: float) -> list[tuple[bytes, bytes]]:
        """Return the headers that the sender would write at `now` (Unix time in seconds), with the first secret."""
        timestamp = str(int(now))
        return self._made(self._signature(body, timestamp, 0), timestamp, self._invented(body, timestamp))

    def _signature(self, body: bytes, timestamp: str, secret: int) -> str:
        content = self._template.pieces(body, timestamp, self._invented(body, timestamp))
        return encode_mac(self._mac(self._keys[secret], b"".join(content)), self.settings.encoding)

    def _fits(self, key: bytes, given: Sequence[bytes], content: bytes) -> bool:
        ours, found = self._mac(key, content), False
        for mac in given:
            found |= hmac.compare_digest(mac, ours)
        return found

    def _mac(self, key: bytes, content: bytes) -> bytes:
        return hmac.digest(key, content, self._hash)

    def _keys_in_words(self) -> str:
        return f"{len(self._keys)} secrets"
