"""What Redis is asked for a batch, as bytes for the wire, and what its answers mean."""

from typing import Any

from handlers.sinks.redis.settings import RedisSettings
from receiver.contract.model import Event
from receiver.contract.sink import Delivered, Rejected, SendOutcome, TryLater

Command = tuple[str | int, ...]

_FIELDS = (
    b"$2\r\nid\r\n$%d\r\n%b\r\n$4\r\ntype\r\n$%d\r\n%b\r\n$6\r\nsource\r\n$%d\r\n%b\r\n"
    b"$7\r\nsubject\r\n$%d\r\n%b\r\n$4\r\ncall\r\n$%d\r\n%b\r\n$5\r\nevent\r\n$%d\r\n%b\r\n"
)
"""The fields of an entry on the wire: each text behind its length in bytes (RESP 2).

One expression for all of them: to hand the parts to a packer of commands takes twice as long, hiredis' in C too.
"""


def xadd(settings: RedisSettings) -> bytes:
    """Return every XADD of a sink, with the places of what differs.

    `MAXLEN ~` lets Redis drop whole nodes, which costs it next to nothing (https://redis.io/docs/latest/commands/xadd/).
    """
    trimmed: Command = ("MAXLEN", "~", settings.maxlen) if settings.maxlen else ()
    parts = [_utf8(str(part)) for part in ("XADD", settings.stream, *trimmed, "*")]
    begins = b"*%d\r\n" % (len(parts) + 12) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
    return begins.replace(b"%", b"%%") + _FIELDS


def adding(template: bytes, event: Event) -> bytes:
    """Return the XADD of an event, filled into `xadd`: the CloudEvent whole, and beside it what a reader goes by."""
    number, kind, source = event.id.encode(), _utf8(event.type), _utf8(event.source)
    subject, call, body = _utf8(event.subject), (event.call_id or "").encode(), event.cloudevent()
    first = (len(number), number, len(kind), kind, len(source), source)
    return template % (*first, len(subject), subject, len(call), call, len(body), body)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


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
