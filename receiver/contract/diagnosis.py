"""What would have matched: every usual way of signing, tried on a request that was refused. Slow, for operators only."""

import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import get_args

import msgspec

from receiver.contract.encodings import Encoding, KeyForm, decode_mac, key_bytes
from receiver.contract.errors import ConfigError
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Algorithm, Check
from receiver.contract.settings import Secret

_SIZES: dict[Algorithm, int] = {"hmac-sha256": 32, "hmac-sha512": 64, "hmac-sha1": 20}
_TIMED = ("{timestamp}.{body}", "{timestamp}:{body}", "{timestamp}{body}")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,16}(?:[=:,]|, | )")
_LONGEST = 1 << 20
_MOST = 64


class _Signed(msgspec.Struct, frozen=True):
    """One way in which the request may have been signed."""

    algorithm: Algorithm
    template: str
    stamp: str | None
    secret: int
    key: KeyForm
    note: str


def signed_otherwise(request: InboundRequest, secrets: Sequence[Secret]) -> Iterator[Check]:
    """Yield each header of `request` that is an HMAC of it by one of `secrets`, with the settings that say so."""
    if len(request.body) > _LONGEST:
        return
    macs = dict(_macs(request, secrets))
    for name, value in usual_headers(request):
        for prefix, encoding, mac in readings(value, _SIZES.values()):
            if (how := macs.get(mac)) is not None:
                yield _check(name, prefix, encoding, how)
                break


def _check(name: str, prefix: str, encoding: Encoding, how: _Signed) -> Check:
    settings = {"header": name, "algorithm": how.algorithm, "encoding": encoding, "prefix": prefix}
    settings |= (
        {"signed": how.template} if how.stamp is None else {"signed": how.template, "timestamp_header": how.stamp}
    )
    settings |= {"key": how.key} if how.key != "text" else {}
    table = ", ".join(f'{key} = "{value}"' for key, value in settings.items() if value)
    detail = f"it matches with signature = {{ {table} }}{how.note}"
    return Check(scheme=how.algorithm, ok=False, header=name, secret=how.secret, detail=detail)


def usual_headers(request: InboundRequest) -> Iterator[tuple[str, str]]:
    """Yield the headers that may hold a signature, name and value: not too many, not too long."""
    for name, value in request.headers[:_MOST]:
        if len(value) <= 512:
            yield name.decode("latin-1"), value.decode("latin-1").strip()


def readings(value: str, sizes: Iterable[int]) -> Iterator[tuple[str, Encoding, bytes]]:
    """Yield every reading of a header's value as a signature of one of `sizes` bytes: (prefix, encoding, bytes)."""
    start = _PREFIX.match(value)
    encodings: tuple[Encoding, ...] = get_args(Encoding)
    for prefix in ("", start.group()) if start else ("",):
        for encoding, size in product(encodings, tuple(sizes)):
            mac = decode_mac(value[len(prefix) :], encoding, size)
            if mac is not None:
                yield prefix, encoding, mac


def _macs(request: InboundRequest, secrets: Sequence[Secret]) -> Iterator[tuple[bytes, _Signed]]:
    contents = list(usual_contents(request))
    for number, secret in enumerate(secrets, 1):
        for (key, form, note), algorithm, (content, template, stamp) in product(_keys(secret), _SIZES, contents):
            mac = hmac.digest(key, content, algorithm.removeprefix("hmac-"))
            yield mac, _Signed(algorithm, template, stamp, number, form, note)


def usual_contents(request: InboundRequest) -> Iterator[tuple[bytes, str, str | None]]:
    """Yield what may have been signed: the body, alone or after a header that looks like a Unix time.

    With each the template that says so, and the header of the time, None without one.
    """
    for name, value in usual_headers(request):
        if value.isascii() and value.isdigit() and len(value) in (10, 13):
            for template in _TIMED:
                yield template.replace("{timestamp}", value).encode().replace(b"{body}", request.body), template, name
    yield request.body, "{body}", None


def _keys(secret: Secret) -> Iterator[tuple[bytes, KeyForm, str]]:
    """Yield what else may have been meant by a secret; the usual reading last, so that it wins."""
    forms: tuple[KeyForm, ...] = ("base64", "hex")
    for form in forms:
        try:
            yield key_bytes(secret, form), form, ""
        except ConfigError:
            continue
    if bare := secret.value.strip():
        yield (
            bare.encode("utf-8", "surrogatepass"),
            "text",
            "; but the key is the secret without the white space around it",
        )
    yield secret.raw, "text", ""
