"""An event as an entry of an SQS batch: its body, its attributes, its size, and which entries go together."""

import re
from collections.abc import Iterable, Iterator
from hashlib import md5
from typing import Any

import msgspec

from receiver.contract.model import Event

MOST = 10
"""Entries that one SendMessageBatch takes."""
ATTRIBUTES = 1536
"""Bytes that all attributes of an entry take at most."""
_LONGEST_VALUE = 256
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What SQS refuses in a body and in attributes (its reference of SendMessage, read 2026-11-20)."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a batch, and the bytes of it that SQS counts."""

    number: int
    """Its place in the batch."""
    fields: dict[str, Any]
    size: int

    def is_kept(self, said: dict[str, Any]) -> bool:
        """Say whether what SQS confirms is this body."""
        digest = md5(self.fields["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        return bool(said.get("MD5OfMessageBody") == digest)


def entry(number: int, event: Event, *, fifo: bool) -> Entry:
    """Return an event's entry; in a FIFO queue each call is a group, and the event's id tells repeats."""
    body = _FORBIDDEN.sub(_escaped, event.cloudevent().decode("utf-8", "replace"))
    attributes = _attributes(event)
    fields: dict[str, Any] = {"Id": str(number), "MessageBody": body, "MessageAttributes": attributes}
    if fifo:
        fields |= {"MessageGroupId": event.call_id or event.id, "MessageDeduplicationId": event.id}
    counted = sum(
        len(name) + len(one["DataType"]) + len(one["StringValue"].encode()) for name, one in attributes.items()
    )
    return Entry(number=number, fields=fields, size=len(body.encode()) + counted)


def _escaped(found: re.Match[str]) -> str:
    """Write as JSON writes it; outside of JSON strings no such character can stand."""
    return f"\\u{ord(found[0]):04x}"


def _attributes(event: Event) -> dict[str, Any]:
    told = {"ce-type": event.type, "ce-source": event.source, "ce-subject": event.subject, "call": event.call_id}
    cleaned = {name: _value(value) for name, value in told.items() if value}
    return {
        name: {"DataType": "String", "StringValue": value}
        for name, value in {"content-type": "application/cloudevents+json", **cleaned}.items()
    }


def _value(text: str) -> str:
    """Return text as an attribute may hold it: bounded, and without what SQS refuses."""
    clean = _FORBIDDEN.sub("_", text).encode("utf-8", "replace")
    return clean[:_LONGEST_VALUE].decode("utf-8", "ignore")


def packed(entries: Iterable[Entry], most_bytes: int) -> Iterator[list[Entry]]:
    """Put entries together, in their order, as far as one request takes them."""
    request: list[Entry] = []
    size = 0
    for one in entries:
        if request and (len(request) == MOST or size + one.size > most_bytes):
            yield request
            request, size = [], 0
        request.append(one)
        size += one.size
    if request:
        yield request
