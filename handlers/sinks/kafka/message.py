"""An event as a Kafka record: its key, its value, its headers (CloudEvents Kafka binding 1.0.2)."""

from typing import Literal, NamedTuple

from receiver.contract.model import Event

Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    """One record; records of one key go to one partition, in their order."""

    key: bytes | None
    value: bytes
    headers: Headers


def record(event: Event, mode: Literal["structured", "binary"]) -> Record:
    """Return the record of an event; its call is the key."""
    key = event.call_id.encode("utf-8", "replace") if event.call_id else None
    if mode == "structured":
        return Record(key, event.cloudevent(), [("content-type", b"application/cloudevents+json; charset=UTF-8")])
    attributes = event.attributes()
    headers: Headers = [("content-type", attributes.pop("datacontenttype").encode())]
    headers += [(f"ce_{name}", text.encode("utf-8", "replace")) for name, text in attributes.items()]
    return Record(key, event.data, headers)


def size_of(one: Record) -> int:
    """Return the bytes of a record's key, value and headers."""
    return len(one.key or b"") + len(one.value) + sum(len(name) + len(value) for name, value in one.headers)
