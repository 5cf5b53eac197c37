"""Data: the JSON of an event with every value masked, wherever it stands, and how many of each kind were."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from receiver.contract.errors import Unreadable
from receiver.redact.found import Span
from receiver.redact.lines import find_over
from receiver.redact.redactor import Redactor
from receiver.redact.speech import mask_speech

IDENTIFIERS = frozenset({
    "id", "version", "source", "provider", "operation", "job_id", "status", "received_at", "created_at",
    "completed_at", "started_at", "provenance", "external_id", "recording_id", "direction", "type", "event", "sink",
    "name", "redacted",
})  # fmt: skip
"""Members of an event's data, of its `call` and of its `job` that are never masked: what routes and joins."""
TEXT_MEMBERS = frozenset({
    "text", "word", "words", "transcript", "content", "punctuated_word", "utterance", "value", "token", "display",
})  # fmt: skip
"""Members that hold the words of a list in a provider's own JSON: they are read as one text."""
_LEAST_NUMBER = 1_000_000
_OURS = ("call", "job")


def redact_data(data: bytes, redactor: Redactor) -> bytes:
    """Return an event's data masked, with `redacted`: how many different values of each kind.

    Raises Unreadable where the data is not JSON that can be written again, and TooSlow.
    """
    try:
        value = json.loads(data, parse_constant=_no_constant)
        masked = _event(value, redactor) if isinstance(value, dict) else walked(value, redactor)
        if not redactor.values:
            return _told_nothing(data, value)
        return _written(masked)
    except RecursionError:
        raise Unreadable("the event is nested too deeply to be redacted") from None
    except ValueError:
        raise Unreadable("the event is no JSON that can be redacted") from None


def walked(value: Any, redactor: Redactor) -> Any:
    """Return any JSON masked: texts, keys, and numbers that are values."""
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, dict):
        return _table(value, redactor, {})
    if isinstance(value, list):
        return _list(value, redactor)
    return _number(value, redactor)


def lines(texts: Sequence[str], redactor: Redactor) -> list[str]:
    """Return texts masked, each by itself and where a value runs over several."""
    alone = [redactor.find(text) for text in texts]
    over: list[list[Span]] = find_over(texts, redactor.find) if len(texts) > 1 else [[] for _ in texts]
    return [redactor.masked(text, [*one, *more]) for text, one, more in zip(texts, alone, over, strict=True)]


def _event(event: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    said = mask_speech(event, redactor, lambda value: walked(value, redactor))
    masked = {}
    for name, value in event.items():
        if name in said:
            masked[name] = said[name]
        elif name in _OURS and isinstance(value, dict):
            masked[name] = {key: one if key in IDENTIFIERS else walked(one, redactor) for key, one in value.items()}
        else:
            masked[name] = value if name in IDENTIFIERS else walked(value, redactor)
    before = event.get("redacted")
    counts = dict(before) if isinstance(before, dict) else {}
    for kind, values in redactor.values.items():
        counts[kind] = counts.get(kind, 0) + len(values)
    return {**masked, "redacted": counts}


def _table(table: dict[str, Any], redactor: Redactor, done: dict[str, str]) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    for key, value in table.items():
        name = shown = redactor.text(key)
        number = 2
        while name in masked:
            name, number = f"{shown} {number}", number + 1
        masked[name] = done[key] if key in done else walked(value, redactor)
    return masked


def _list(items: list[Any], redactor: Redactor) -> list[Any]:
    if items and all(isinstance(item, str) for item in items):
        return list(lines(items, redactor))
    done: list[dict[str, str]] = [{} for _ in items]
    for member in {key for item in items if isinstance(item, dict) for key in item} & TEXT_MEMBERS:
        where = [at for at, item in enumerate(items) if isinstance(item, dict) and isinstance(item.get(member), str)]
        for at, text in zip(where, lines([items[at][member] for at in where], redactor), strict=True):
            done[at][member] = text
    return [
        _table(item, redactor, done[at]) if isinstance(item, dict) else walked(item, redactor)
        for at, item in enumerate(items)
    ]


def _number(value: Any, redactor: Redactor) -> Any:
    """Return a number, or its mask where all its digits are a value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) < _LEAST_NUMBER:
        return value
    if isinstance(value, float) and not value.is_integer():
        return value
    text = str(int(value))
    masked = redactor.text(text)
    return value if masked == text else masked


def _told_nothing(data: bytes, value: Any) -> bytes:
    """Return data in which nothing was found as it is, but for saying so."""
    if not isinstance(value, dict) or "redacted" in value:
        return data
    return data.rstrip()[:-1] + (b"," if value else b"") + b'"redacted":{}}'


def _written(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates: valid JSON when escaped
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
