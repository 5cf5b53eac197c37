"""Makes another delivery's body and headers of a recorded one, for `simulate` and load tests."""

import uuid
from hashlib import blake2b
from typing import Any

import msgspec

from handlers.providers.callmissed.events import event_name, identity, in_our_words, unpacked
from receiver.contract.errors import Unreadable
from receiver.contract.reading import Table, read_object

_STANDING = frozenset({"bot_id", "tenant_id", "phone_number_id", "contact_id", "deal_id", "campaign_id"})
"""Ids that many deliveries share."""

_encode = msgspec.json.Encoder().encode


def fresh(body: bytes, serial: str, grow_to: int = 0) -> bytes:
    """Return `body` with ids made from `serial`, and at least `grow_to` bytes where a text can be repeated."""
    if body.lstrip()[:1] == b"[":
        turns = msgspec.json.decode(body, type=list[dict[str, Any]])
        return _encode([{**turn, "id": _made(f"turn {place}", serial)} for place, turn in enumerate(turns)])
    document = read_object(body)
    name, data = event_name(document), unpacked(document).get("data")
    if name is None or not isinstance(data, dict):
        document["id"] = _made("id", serial)
        return _encode(document)
    own = identity(name)
    for key in [key for key, value in data.items() if key.endswith("_id") and value is not None]:
        if key not in _STANDING:
            data[key] = _made(key, serial)
    data[own] = _made(own, serial)
    if grow_to:
        _grow(data, grow_to - len(_encode(document)))
    return _encode(document)


def headers(body: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a delivery, which nothing signs; the same body gets the same delivery id."""
    try:
        name = in_our_words(event_name(read_object(body)) or "")
    except Unreadable:
        name = ""
    delivery = _made("delivery", blake2b(body, digest_size=16).hexdigest())
    return (
        (b"content-type", b"application/json"),
        (b"x-callmissed-event", name.encode()),
        (b"x-callmissed-delivery", delivery.encode()),
    )


def _made(key: str, serial: str) -> str:
    """Return the id that a serial gives to a member; the same in every event, so that those of a session meet."""
    seed = blake2b(f"{key}\0{serial}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return str(uuid.UUID(bytes=seed, version=4))


def _grow(data: Table, missing: int) -> None:
    said = data.get("text")
    if missing > 0 and isinstance(said, str) and said:
        data["text"] = said * (missing // len(said.encode("utf-8", "surrogatepass")) + 2)
