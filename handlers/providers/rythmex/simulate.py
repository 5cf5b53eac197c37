"""Makes another analysis of a recorded answer, for `simulate` and load tests."""

import uuid
from hashlib import blake2b

import msgspec

from handlers.providers.rythmex import shapes
from handlers.providers.rythmex.settings import RythmexSettings
from receiver.contract.reading import read_object

_encode = msgspec.json.Encoder().encode


def fresh(body: bytes, serial: str, grow_to: int, settings: RythmexSettings) -> bytes:
    """Return `body` with another id, and at least `grow_to` bytes where it has turns that can be repeated."""
    document = read_object(body)
    made = str(uuid.UUID(bytes=blake2b(serial.encode(), digest_size=16).digest(), version=4))
    place, key = shapes.member(document, (*settings.id_members, "JobName")) or (document, "id")
    place[key] = made
    found = shapes.result_in(document)
    missing = grow_to - len(_encode(document))
    if found is not None and missing > 0 and (turns := found[1]["Transcript"]):
        found[1]["Transcript"] = turns * (missing // len(_encode(turns)) + 2)
    return _encode(document)
