"""What Redis is asked for a batch, and what its answers mean."""

from typing import Any

from handlers.sinks.redis.settings import RedisSettings
from receiver.contract.model import Event
from receiver.contract.sink import Delivered, Rejected, SendOutcome, TryLater

Command = tuple[str | bytes | int, ...]


def adding(settings: RedisSettings, event: Event) -> Command:
    """Return the XADD of an event: the CloudEvent whole, and beside it what a reader goes by.

    `MAXLEN ~` lets Redis drop whole nodes, which costs it next to nothing (https://redis.io/docs/latest/commands/xadd/).
    """
    trimmed: Command = ("MAXLEN", "~", settings.maxlen) if settings.maxlen else ()
    fields = {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "call": event.call_id or "",
    }
    named = [part for name, text in fields.items() for part in (name, text.encode("utf-8", "replace"))]
    return ("XADD", settings.stream, *trimmed, "*", *named, "event", event.cloudevent())


def waiting(settings: RedisSettings) -> Command:
    """Return what is asked after a batch, so that its answer speaks for the whole of it; nothing if not wanted."""
    milliseconds = int(settings.timeout * 500)
    if settings.wait_aof:
        return ("WAITAOF", 1, settings.wait_replicas, milliseconds)
    return ("WAIT", settings.wait_replicas, milliseconds) if settings.wait_replicas else ()


def added(answer: Any) -> SendOutcome:
    """Say what the answer to an XADD means: an entry's id, or an error.

    Only what is too long for Redis (`proto-max-bulk-len`) is refused for good: memory that is full, a replica, a
    server that loads its data and missing rights are put right by somebody.
    """
    if isinstance(answer, bytes):
        return Delivered(detail=f"entry {answer.decode('ascii', 'replace')}")
    said = str(answer)[:200] if isinstance(answer, Exception) else "no entry id"
    if "invalid bulk length" in said:
        return Rejected(reason="the event is longer than Redis takes (proto-max-bulk-len)")
    return TryLater(reason=f"Redis answered: {said}")


def shortfall(settings: RedisSettings, answer: Any) -> str | None:
    """Say what the answer to `waiting` lacks, or None: WAIT gives a number, WAITAOF one for here and for replicas."""
    if isinstance(answer, Exception):
        return f"Redis answered: {str(answer)[:200]}"
    local, replicas = answer if settings.wait_aof else (1, answer)
    if not local:
        return "not synced to Redis' append-only file in time"
    if replicas < settings.wait_replicas:
        return f"{replicas} of {settings.wait_replicas} replicas have it"
    return None
