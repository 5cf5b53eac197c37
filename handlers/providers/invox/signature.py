"""How INVOX Medical signs: the values of a body joined with "|", not its bytes, and not the names of its members.

The scheme is that of the webhooks (developer.invoxmedical.com/webhooks/introduction). For the transcription callback no
page names scheme or key; its example has the placeholder "requestSignature", the name of the webhooks' member, so the
same scheme is assumed there, with the organization's keys or the API Key of the AI-services application.
"""

import hmac
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from itertools import product
from typing import Any

import msgspec

from handlers.providers.invox.settings import InvoxSettings
from receiver.contract import ecmascript
from receiver.contract.encodings import Encoding
from receiver.contract.proof import Check, Reason, decode_mac, digest

_ENCODINGS: tuple[Encoding, ...] = ("base64", "hex", "base64url")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Which values of a body are signed: those of every member but `signature` and `unsigned`."""

    signature: str
    unsigned: frozenset[str] = frozenset()
    order: tuple[str, ...]
    """The members in documented order."""
    fixed: bool = True
    """False where no page says the order, and `order` is that of an example: then received order counts as much."""
    slots: bool = False
    """True where a page says that absent members are empty slots: then they are nothing else."""

    def readings(self, document: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
        """Yield the texts that may have been signed, each reading with its name.

        A member that is absent is an empty slot to a sender that holds it as undefined, and nothing to one without it;
        only /webhooks/events/on-invox-aura-audio-created says which (the slot). Names are not signed, so the second
        reading wants the documented members in their order, where there is one, and no other where one is absent:
        otherwise renamed ones would pass.
        """
        texts = {name: ecmascript.text(value) for name, value in ecmascript.entries(document) if self.signs(name)}
        slots = [*self.order, *(name for name in texts if name not in self.order)]
        yield "documented order", [texts.get(name, "") for name in slots]
        if list(texts) != slots and self.unmistakable(texts):
            yield "members as received", list(texts.values())

    def signs(self, name: str) -> bool:
        """Say whether a member's value is signed."""
        return name != self.signature and name not in self.unsigned

    def unmistakable(self, names: Collection[str]) -> bool:
        """Say whether the documented members among `names` stand in their order, and no other may stand for one."""
        places = [self.order.index(name) for name in names if name in self.order]
        alone = len(places) == len(names) and not self.slots
        return (places == sorted(places) or not self.fixed) and (alone or len(places) == len(self.order))


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """One key to sign with and one apiKey to end with; `secret` counts all keys from 1, webhook_secret_key first."""

    key: bytes
    end: bytes
    secret: int
    words: str


class JoinedValues:
    """HMAC-SHA256 in Base64 over a body's values joined with "|", the apiKey last; every key is tried."""

    def __init__(self, layout: Layout, settings: InvoxSettings, *also: str) -> None:
        """Sign with the organization's pair; `also` names settings that may hold a key or an apiKey as well."""
        self.layout = layout
        ends = [named for setting in ("webhook_api_key", *also) for named in _named(settings, setting)]
        keys = [named for setting in ("webhook_secret_key", *also) for named in _named(settings, setting)]
        self._ways = tuple(
            _Way(key=key, end=b"|" + end, secret=number, words=f"key {name}, apiKey {last}")
            for last, end in ends
            for number, (name, key) in enumerate(keys, 1)
        )

    def __bool__(self) -> bool:
        return bool(self._ways)

    def sign(self, document: dict[str, Any]) -> str:
        """Return the signature that the sender would give, by the first key."""
        _, values = next(self.layout.readings(document))
        return b64encode(_mac(self._ways[0], _joined(values))).decode()

    def verify(self, document: dict[str, Any]) -> tuple[Reason | None, Check]:
        """Try every reading with every key; the reason is None where one matches."""
        name = self.layout.signature
        given = document.get(name)
        if given is None:
            return Reason.SIGNATURE_MISSING, check(None, f"member {name} is absent")
        mac = _decoded(given)
        if mac is None:
            return Reason.SIGNATURE_MALFORMED, check(False, f"member {name} is not 44 characters of Base64")
        for reading, values in self.layout.readings(document):
            if (match := self._match(mac, _joined(values), reading)) is not None:
                return None, match
        return Reason.SIGNATURE_MISMATCH, check(False, f"no match, {len(self._ways)} pairs of key and apiKey tried")

    def steps(self, document: dict[str, Any]) -> Iterator[Check]:
        """Yield what is signed, without the apiKey that ends it, and how each pair of key and apiKey fares."""
        mac, readings = _decoded(document.get(self.layout.signature)), list(self.layout.readings(document))
        for reading, values in readings:
            joined = _joined(values)
            words = f"{reading}: {len(values)} values joined with |, and |apiKey after these {len(joined)} bytes"
            yield check(None, f"signed is {words}, SHA-256 {digest(joined).hex()}")
        for way in self._ways:
            macs = [(name, _mac(way, _joined(values))) for name, values in readings]
            made = [name for name, ours in macs if hmac.compare_digest(mac or b"", ours)]
            detail = f"makes the signature that came ({made[0]})" if made else "makes another signature"
            yield check(bool(made), f"{way.words}: {detail}", way.secret)

    def otherwise(self, document: dict[str, Any]) -> Iterator[Check]:
        """Yield in which other way the signature would be right: encoding, end, white space around a key."""
        given = document.get(self.layout.signature)
        macs = {one: decode_mac(given, one, 32) for one in _ENCODINGS} if isinstance(given, str) else {}
        for (reading, values), way, (encoding, mac) in product(
            self.layout.readings(document), self._ways, macs.items()
        ):
            joined, bare = _joined(values), way.key.strip()
            ends = (
                (way.end, "the apiKey at the end"),
                (b"|" + way.end[1:].strip(), "white space off"),
                (b"", "no apiKey"),
            )
            for (end, words), key in product(ends, dict.fromkeys((way.key, bare))):
                if mac is not None and hmac.compare_digest(mac, hmac.digest(key, joined + end, "sha256")):
                    off = ", white space off the key" if key != way.key else ""
                    yield check(False, f"it matches in {encoding}, {reading}, {words}{off}, {way.words}", way.secret)

    def glance(self, body: bytes) -> Check | None:
        """Return a match that shows without parsing the values, or None where only `verify` can tell.

        A body with exactly the documented members, as JSON.stringify writes it, holds the signed texts as they are. It
        must be the very bytes that its members make, so that none of them stands there twice.
        """
        members = _raw_members(body)
        if members is None or tuple(filter(self.layout.signs, members)) != self.layout.order:
            return None
        mac = _decoded(members.get(self.layout.signature, b"").decode("latin-1")[1:-1])
        signed = [members[name] for name in self.layout.order]
        if mac is None or any(raw.startswith(b'"') and b"\\" in raw for raw in signed):
            return None
        return self._match(mac, b"|".join(map(_raw_text, signed)), "documented order")

    def _match(self, mac: bytes, joined: bytes, reading: str) -> Check | None:
        found = None
        for way in self._ways:
            if hmac.compare_digest(mac, _mac(way, joined)):
                found = way
        return None if found is None else check(True, f"matches: {reading}, {found.words}", found.secret)


def check(ok: bool | None, detail: str, secret: int | None = None, skew: float | None = None) -> Check:
    """Return a note on a signature for operators."""
    return Check(scheme="hmac-sha256 over values", ok=ok, detail=detail, secret=secret, skew=skew)


def _named(settings: InvoxSettings, key: str) -> list[tuple[str, bytes]]:
    return [(f"{key} {number}", secret.raw) for number, secret in enumerate(getattr(settings, key), 1)]


def _joined(values: Iterable[str]) -> bytes:
    return "|".join(values).encode("utf-8", "surrogatepass")


def _mac(way: _Way, joined: bytes) -> bytes:
    return hmac.digest(way.key, joined + way.end, "sha256")


def _decoded(given: Any) -> bytes | None:
    """Return the bytes of a signature as INVOX writes it: Base64 with its padding."""
    return decode_mac(given, "base64", 32) if isinstance(given, str) and len(given) == 44 else None


_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _raw_members(body: bytes) -> dict[str, bytes] | None:
    """Return the members of a compact object as they stand there, or None for any other body."""
    try:
        members = {name: bytes(raw) for name, raw in _RAW.decode(body).items()}
    except (ValueError, RecursionError):
        return None
    rebuilt = b",".join([b'"%b":%b' % (name.encode(), raw) for name, raw in members.items()])
    return members if b"{%b}" % rebuilt == body else None


def _raw_text(raw: bytes) -> bytes:
    return raw[1:-1] if raw.startswith(b'"') else b"" if raw == b"null" else raw
