"""The transcription callback: what is signed of it, what tells two apart, and how one is made of another.

Source: developer.invoxmedical.com/ai-services/transcribe-pre-recorded-audio/generate-presign-url.
"""

import hashlib
from typing import Any

import msgspec

from handlers.providers.invox import transcription
from handlers.providers.invox.signature import Layout
from receiver.contract import ecmascript
from receiver.contract.proof import digest

LAYOUT = Layout(signature="signature", order=("requestId", "transcription", "createdAt"))
"""Inferred: the webhooks' rule, on the members in the order of the documented example."""


def key(body: bytes, asked_for: str | None = None) -> bytes:
    """Return the request id with a digest of it, the status and the transcription as they stand in the body.

    `asked_for` is the request id of a polled body, which has none.
    """
    try:
        message = _MESSAGE.decode(body)
    except (ValueError, RecursionError):
        return b"unreadable:" + digest(body).hex().encode()
    request_id = message.request_id or asked_for
    if request_id is None:
        return b"unreadable:" + digest(body).hex().encode()
    content = hashlib.sha256(b"%b\0%b\0" % (request_id.encode(), (message.status or "").encode()))
    content.update(message.transcription)
    return f"{request_id[:100]}:{content.hexdigest()}".encode()


def fresh(body: bytes, serial: str, grow_to: int) -> bytes:
    """Return the callback for another request id, its segments said again until it is large enough."""
    document = transcription.read(body)
    transcription.outcome(document, {})
    document["requestId"] = f"fresh-{serial}"
    if document.get("transcription"):
        _grow(document, grow_to)
    return ecmascript.stringify(document).encode()


def misshapen(document: Any) -> str | None:
    """Say why values so placed could be signed and yet mean something else: they are joined without escaping."""
    if not isinstance(document, dict):
        return "the body is not an object"
    request_id = document.get("requestId")
    if not isinstance(request_id, str) or not request_id or "|" in request_id:
        return 'member requestId is not a text without "|"'
    if not isinstance(document.get("transcription"), list | None):
        return "member transcription is not a list"
    if isinstance(document.get("createdAt"), bool | list | dict):
        return "member createdAt is neither a number nor a text"
    return None


def _grow(document: dict[str, Any], size: int) -> None:
    """Say the segments again, one recording after the other, until the body has `size` bytes."""
    segments = list(document["transcription"])
    length = max(segment.get("end") or 0 for segment in segments)
    missing = size - len(ecmascript.stringify(document).encode())
    while missing > 0:
        turn, index = divmod(len(document["transcription"]), len(segments))
        later = _later(segments[index], turn * length)
        document["transcription"].append(later)
        missing -= len(ecmascript.stringify(later).encode()) + 1


def _later(segment: dict[str, Any], seconds: float) -> dict[str, Any]:
    times = {name: round(segment[name] + seconds, 3) for name in ("start", "end") if segment.get(name) is not None}
    return {**segment, **times}


class _Message(msgspec.Struct, rename="camel"):
    """What tells messages apart; a callback has no status, two polled answers may differ in nothing else."""

    request_id: str | None = None
    transcription: msgspec.Raw = msgspec.Raw(b"")
    processing_status: str | None = None
    transcription_status: str | None = None

    @property
    def status(self) -> str | None:
        return self.processing_status or self.transcription_status


_MESSAGE = msgspec.json.Decoder(_Message)
