"""Proof: who called. Plain functions of bytes and headers; for any input they return or refuse, they never raise.

Only `Proven` makes a Receipt, and only a provider's `prove` makes a `Proven`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.model import InboundRequest, TokenDigest, Verdict
from receiver.contract.settings import Secret, Settings, about


class Reason(StrEnum):
    """Why a request was refused; operators see it, the sender does not."""

    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105 -- a word, not a secret
    TOKEN_MISSING = "token_missing"  # noqa: S105
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_MISMATCH = "signature_mismatch"
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


def _filled(key: str, secrets: Iterable[Secret]) -> Iterator[Secret]:
    for secret in secrets:
        if not secret.value:
            raise ConfigError(f"{key}: one of the values is empty, and anybody has that one; set it or take it out")
        yield secret


class Tokens:
    """The tokens of one source; compared by digest, every one of them, in constant time."""

    __slots__ = ("_digests",)

    def __init__(self, tokens: Iterable[Secret]) -> None:
        self._digests = tuple(digest(token.raw) for token in _filled("token", tokens))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def refusal(self, token: str | TokenDigest | None) -> Refused | None:
        """Return None where `token` is one of ours, else why not."""
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


Algorithm = Literal["hmac-sha256", "hmac-sha512", "hmac-sha1"]
Encoding = Literal["hex", "base64", "base64url"]

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PLACEHOLDER = re.compile(r"\{(body|timestamp)\}")
_BRACES = re.compile(r"\{[^}]*\}")
_ENCODED = {
    "hex": re.compile(r"[0-9A-Fa-f]+"),
    "base64": re.compile(r"[A-Za-z0-9+/]+={0,2}"),
    "base64url": re.compile(r"[A-Za-z0-9_-]+={0,2}"),
}


class SignatureSettings(Settings, frozen=True, kw_only=True):
    """An HMAC in a header: what is signed, with what, and how it is written."""

    header: Annotated[str, about("header that carries the signature")]
    algorithm: Annotated[Algorithm, about("keyed hash")] = "hmac-sha256"
    encoding: Annotated[Encoding, about("how the signature is written")] = "hex"
    prefix: Annotated[str, about('text before the signature, such as "sha256="')] = ""
    signed: Annotated[str, about("what is signed: a template of {body} and {timestamp}")] = "{body}"
    timestamp_header: Annotated[str | None, about("header that carries the Unix time of signing, in s or ms")] = None
    tolerance: Annotated[float, about("seconds that the signing time may differ from our clock", gt=0)] = 300.0

    def check(self) -> None:
        for key, header in (("header", self.header), ("timestamp_header", self.timestamp_header)):
            if header is not None and not _HEADER.fullmatch(header):
                raise ConfigError(f"{key}: {header!r} is no header name; letters, digits and hyphens make one")
        names = set(_BRACES.findall(self.signed))
        if unknown := names - {"{body}", "{timestamp}"}:
            raise ConfigError(f"signed: {min(unknown)} is unknown; allowed are {{body}} and {{timestamp}}")
        if "{body}" not in names:
            raise ConfigError('signed: it must contain {body}, as in signed = "{timestamp}.{body}"')
        if ("{timestamp}" in names) != (self.timestamp_header is not None):
            raise ConfigError(
                "signed and timestamp_header: {timestamp} and its header go together; set both or neither"
            )


class HmacScheme:
    """Checks one HMAC header against several secrets."""

    def __init__(self, settings: SignatureSettings, secrets: Sequence[Secret]) -> None:
        settings.check()
        self.settings = settings
        self._header = settings.header.lower()
        self._stamp = settings.timestamp_header.lower() if settings.timestamp_header else None
        self._hash = settings.algorithm.removeprefix("hmac-")
        self._keys = tuple(secret.raw for secret in _filled("secrets", secrets))
        self._size = hashlib.new(self._hash, usedforsecurity=False).digest_size
        self._parts = tuple(_PLACEHOLDER.split(settings.signed))

    def sign(self, body: bytes, timestamp: str = "", *, secret: int = 0) -> str:
        """Return the header value for `body`, as the sender would write it."""
        return self.settings.prefix + encode_mac(self._mac(self._keys[secret], body, timestamp), self.settings.encoding)

    def headers(self, body: bytes, now: float) -> list[tuple[bytes, bytes]]:
        """Return the headers that the sender would write at `now` (Unix time in seconds), with the first secret."""
        timestamp = str(int(now))
        headers = [(self._header.encode("latin-1"), self.sign(body, timestamp).encode("latin-1"))]
        if self._stamp is not None:
            headers.append((self._stamp.encode("latin-1"), timestamp.encode()))
        return headers

    def refusal(self, request: InboundRequest, now: float) -> Refused | None:
        """Return None where the signature is right, else why not. `now` is Unix time in seconds."""
        given = request.header(self._header)
        if given is None:
            return self._refused(Reason.SIGNATURE_MISSING, None, f"header {self.settings.header} is absent")
        mac = self._decode(given)
        if mac is None:
            return self._refused(Reason.SIGNATURE_MALFORMED, False, self._malformed(given))
        timestamp = ""
        if self._stamp is not None:
            timestamp = request.header(self._stamp) or ""
            if (late := self._time_refusal(timestamp, now)) is not None:
                return late
        if self._matches(mac, request.body, timestamp) is None:
            detail = f"no match with any of {len(self._keys)} secrets over {self.settings.signed}"
            return self._refused(Reason.SIGNATURE_MISMATCH, False, detail)
        return None

    def explain(self, request: InboundRequest, now: float) -> Iterator[Check]:
        """Yield which change of the body on its way would explain that it does not match."""
        refused = self.refusal(request, now)
        if refused is None or refused.reason is not Reason.SIGNATURE_MISMATCH:
            return
        mac = self._decode(request.header(self._header) or "")
        timestamp = (request.header(self._stamp) or "") if self._stamp else ""
        if mac is None:
            return
        for what, body in changed_bodies(request.body):
            secret = self._matches(mac, body, timestamp)
            if secret is not None:
                yield Check(
                    scheme=self.settings.algorithm,
                    ok=False,
                    header=self.settings.header,
                    secret=secret + 1,
                    detail=f"the body was changed on the way: {what}, it matches",
                )

    def _matches(self, mac: bytes, body: bytes, timestamp: str) -> int | None:
        found: int | None = None
        for index, key in enumerate(self._keys):
            if hmac.compare_digest(mac, self._mac(key, body, timestamp)):
                found = index
        return found

    def _mac(self, key: bytes, body: bytes, timestamp: str) -> bytes:
        if self._parts == ("", "body", ""):
            return hmac.digest(key, body, self._hash)
        mac = hmac.new(key, digestmod=self._hash)
        for index, part in enumerate(self._parts):
            if index % 2 == 0:
                mac.update(part.encode())
            else:
                mac.update(body if part == "body" else timestamp.encode("utf-8", "surrogatepass"))
        return mac.digest()

    def _decode(self, given: str) -> bytes | None:
        if not given.startswith(self.settings.prefix):
            return None
        return decode_mac(given[len(self.settings.prefix) :].strip(), self.settings.encoding, self._size)

    def _malformed(self, given: str) -> str:
        if not given.startswith(self.settings.prefix):
            return f"header {self.settings.header} does not start with {self.settings.prefix!r}"
        for other in ("hex", "base64", "base64url"):
            if decode_mac(given[len(self.settings.prefix) :].strip(), other, self._size) is not None:
                return f"header {self.settings.header} holds {other}, and encoding is {self.settings.encoding!r}"
        return f"header {self.settings.header} holds no {self._size}-byte {self.settings.encoding} value"

    def _time_refusal(self, timestamp: str, now: float) -> Refused | None:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):
            detail = f"header {self.settings.timestamp_header} holds no Unix time"
            return self._refused(Reason.TIMESTAMP_MISSING, None, detail)
        seconds = float(timestamp) / (1000 if len(timestamp) > 11 else 1)
        skew = seconds - now
        if abs(skew) <= self.settings.tolerance:
            return None
        detail = f"signed {abs(skew):.0f} s {'after' if skew > 0 else 'before'} our clock, {self.settings.tolerance:.0f} s allowed"
        return self._refused(Reason.TIMESTAMP_STALE, False, detail, skew)

    def _refused(self, reason: Reason, ok: bool | None, detail: str, skew: float | None = None) -> Refused:
        check = Check(scheme=self.settings.algorithm, ok=ok, detail=detail, header=self.settings.header, skew=skew)
        return Refused(reason=reason, checks=(check,))


def encode_mac(mac: bytes, encoding: Encoding) -> str:
    """Write a signature as text."""
    if encoding == "hex":
        return mac.hex()
    return (base64.b64encode if encoding == "base64" else base64.urlsafe_b64encode)(mac).decode()


def decode_mac(text: str, encoding: Encoding, size: int) -> bytes | None:
    """Decode a signature of `size` bytes, or return None for anything that is not exactly that.

    Hex may be in upper case and base64 without its padding; otherwise one signature has one way to be written.
    """
    if not text.isascii() or len(text) > 4 * size or not _ENCODED[encoding].fullmatch(text):
        return None
    bare = text.rstrip("=")
    try:
        if encoding == "hex":
            raw = bytes.fromhex(text)
        else:
            raw = base64.b64decode(bare + "=" * (-len(bare) % 4), b"-_" if encoding == "base64url" else None)
    except ValueError:
        return None
    if len(raw) != size or (encoding != "hex" and encode_mac(raw, encoding).rstrip("=") != bare):
        return None
    return raw


def changed_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what proxies and frameworks make of a body, undone: (what was done, the body before)."""
    if body.endswith(b"\n"):
        yield "without the trailing newline", body.rstrip(b"\r\n")
    yield "with a trailing newline", body + b"\n"
    if b"\r\n" in body:
        yield "with LF line ends", body.replace(b"\r\n", b"\n")
    elif b"\n" in body:
        yield "with CRLF line ends", body.replace(b"\n", b"\r\n")
    if body.startswith(b"\xef\xbb\xbf"):
        yield "without the byte order mark", body[3:]
    if len(body) <= 1 << 20:
        yield from _reserialised(body)


_LAYOUTS: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "indented": {"indent": 2},
    "sorted compact": {"separators": (",", ":"), "sort_keys": True},
}


def _reserialised(body: bytes) -> Iterator[tuple[str, bytes]]:
    import json  # noqa: PLC0415 -- only for what was refused

    try:
        value = json.loads(body)
        for how, ascii_only in (("unescaped", False), ("escaped", True)):
            for layout, style in _LAYOUTS.items():
                written = json.dumps(value, ensure_ascii=ascii_only, **style).encode("utf-8", "surrogatepass")
                yield f"as {layout} JSON, {how}", written
                if b"/" in written:
                    yield f"as {layout} JSON, {how}, with \\/", written.replace(b"/", b"\\/")
    except (ValueError, RecursionError):
        return
