"""Makes another delivery's body and headers of a recorded one, for `simulate` and load tests."""

import uuid
from hashlib import blake2b

import msgspec

from handlers.providers.callmissed.events import event_name, identity, in_our_words
from receiver.contract.errors import Unreadable
from receiver.contract.reading import Table, read_object

_STANDING = frozenset({"bot_id", "tenant_id", "phone_number_id", "contact_id", "deal_id", "campaign_id"})
"""Ids that many deliveries share."""

_encode = msgspec.json.Encoder().encode


def fresh(body: bytes, serial: str, grow_to: int = 0) -> bytes:
    """Return `body` with ids made from `serial`, and at least `grow_to` bytes where a text can be repeated."""
    document = read_object(body)
    name, data = event_name(document), document.get("data")
    if name is None or not isinstance(data, dict):
        document["id"] = _made("id", serial)
        return _encode(document)
    data[identity(name)] = ""
    for key, value in data.items():
        if key.endswith("_id") and key not in _STANDING and value is not None:
            data[key] = _made(key, serial)
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
