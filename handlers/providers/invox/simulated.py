"""Events made of recorded ones: for other ids, as large as asked for, signed as INVOX would sign them now."""

import contextlib
from collections.abc import Mapping
from typing import Any

from handlers.providers.invox import events, multipart
from handlers.providers.invox.events import Message
from handlers.providers.invox.signature import JoinedValues
from receiver.contract import ecmascript
from receiver.contract.errors import Unreadable
from receiver.contract.model import Headers
from receiver.contract.times import from_ms

_JSON: Headers = ((b"content-type", b"application/json"), (b"user-agent", b"Invox-Medical-Webhook/1.0"))


def fresh(body: bytes, serial: str, grow_to: int) -> bytes:
    """Return the event about another consultation, of at least `grow_to` bytes. Raises Unreadable."""
    message = events.read(body)
    if (wrong := message.wrong()) is not None:
        raise Unreadable(wrong)
    members = ecmascript.well_formed(message.members)
    for name in ("id", "clinicalNoteId"):
        if name in members:
            members[name] = f"fresh-{serial}"
    if members.get("consultationSessionId") or message.name == events.FINISHED_REPORT:
        members["consultationSessionId"] = f"fresh-session-{serial}"
    missing = grow_to - len(_written(body, message, members))
    if missing > 0 and message.audio is None:
        _GROWN[message.name](members, missing)
    return _written(body, message, members, missing)


def signed(body: bytes, signs: Mapping[str, JoinedValues], now: float) -> tuple[Headers, bytes]:
    """Return headers and body of the event as it would be sent now; unsigned where there are no keys."""
    with contextlib.suppress(Unreadable):
        message = events.read(body)
        members = dict(message.members)
        if isinstance(members.get("timestamp"), str):
            members["timestamp"] = from_ms(int(now * 1000))
        if values := signs[message.name]:
            members["requestSignature"] = values.sign(members)
        body = _written(body, message, members)
    if not multipart.is_multipart(body):
        return _JSON, body
    mark = b"unknown"
    with contextlib.suppress(Unreadable):
        mark = multipart.boundary(body)
    return ((b"content-type", b'multipart/form-data; boundary="%b"' % mark),), body


def _written(body: bytes, message: Message, members: dict[str, Any], missing: int = 0) -> bytes:
    """Write members as the event had them; what is missing of its size becomes audio where it has such."""
    if message.audio is None:
        return ecmascript.stringify(members).encode()
    parts = [(part.head, members[part.name].encode()) for part in multipart.parse(body) if part.name != events.AUDIO]
    known = {part.name for part in multipart.parse(body)}
    new = [
        (b'Content-Disposition: form-data; name="%b"' % name.encode(), text.encode())
        for name, text in members.items()
        if name not in known
    ]
    audio = bytes(message.audio.content) + bytes(max(missing, 0))
    return multipart.written(multipart.boundary(body), [*parts, *new, (message.audio.head, audio)])


def _grow_transcript(members: dict[str, Any], missing: int) -> None:
    """Say the cues again, with the times that they had."""
    header, _, cues = members["vttTranscript"].rstrip().partition("\n\n")
    again = "\n\n" + (cues or "00:00:00.000 --> 00:00:01.000\nHm.")
    times = missing // len(again) + 1
    members["vttTranscript"] = f"{header or 'WEBVTT'}{again * (times + 1)}\n"


def _grow_summary(members: dict[str, Any], missing: int) -> None:
    again = (members.get("summary") or "More.") + "\n"
    members["summary"] = again * (missing // len(again) + 2)


def _grow_report(members: dict[str, Any], missing: int) -> None:
    report = members["medicalReport"]
    again = report["fields"] or [{"customName": "More", "customValue": "of the same"}]
    report["fields"] = again * (missing // (len(ecmascript.stringify(again)) - 1) + 2)


_GROWN = {
    events.FINISHED_TRANSCRIPTION: _grow_transcript,
    events.CREATED_NOTE: _grow_summary,
    events.FINISHED_NOTE: _grow_summary,
    events.FINISHED_REPORT: _grow_report,
}
