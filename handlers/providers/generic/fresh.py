"""A recorded body as another job's, for simulating and for load: the ids that the expressions find are made anew."""

import uuid
from hashlib import blake2b
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from handlers.providers.generic.leaves import marked, plain
from handlers.providers.generic.settings import Expressions
from receiver.contract.reading import Table

_SERIAL = "hookscribe_serial"

_encode = msgspec.json.Encoder().encode


def written(content: Literal["json", "form"]) -> bytes:
    """Return the content type of bodies."""
    return b"application/json" if content == "json" else b"application/x-www-form-urlencoded"


def renewed(
    document: Table, expressions: Expressions, serial: str, grow_to: int, content: Literal["json", "form"]
) -> bytes:
    """Return a body with another job id and message key made from `serial`, at least `grow_to` bytes where it can grow.

    Raises Unreadable where an expression cannot be evaluated.
    """
    known = marked(document)
    olds = [leaf for name in ("job_id", "message_key") for leaf in _leaves(_found(expressions, name, known))]
    changed = {id(leaf): other for leaf in olds if (other := _another(leaf, serial)) is not None}
    made = _replaced(known, changed)
    if not changed:
        made[_SERIAL] = serial
    if grow_to:
        _grow(made, expressions, grow_to, content)
    return _as_bytes(plain(made), content)


def _found(expressions: Expressions, name: str, document: Any) -> Any:
    expression = expressions.top[name]
    return None if expression is None else expression.of(document)


def _leaves(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if items is None else [leaf for item in items for leaf in _leaves(item)]


def _another(leaf: Any, serial: str) -> Any:
    """Return an id of the same form; None for what is no id: words that may be a status, fractions."""
    seed = blake2b(f"{serial}/{leaf}".encode(), digest_size=16).digest()
    if isinstance(leaf, str) and any(sign.isdigit() for sign in leaf):
        try:
            uuid.UUID(leaf)
        except ValueError:
            return f"job-{seed.hex()}"
        return str(uuid.UUID(bytes=seed, version=4))
    return int.from_bytes(seed[:6], "big") if isinstance(leaf, int) and not isinstance(leaf, bool) else None


def _replaced(value: Any, changed: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, changed) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, changed) for item in value]
    return changed.get(id(value), value)


def _grow(document: Table, expressions: Expressions, grow_to: int, content: Literal["json", "form"]) -> None:
    """Repeat the list of segments or words, where an expression gives the list itself and not a copy of it."""
    for name in ("segments", "words"):
        found = _found(expressions, name, document)
        missing = grow_to - len(_as_bytes(plain(document), content))
        if isinstance(found, list) and found and missing > 0:
            found *= missing // max(1, len(_encode(plain(found))) - 1) + 2


def _as_bytes(document: Table, content: Literal["json", "form"]) -> bytes:
    return _encode(document) if content == "json" else urlencode(document, doseq=True).encode()
