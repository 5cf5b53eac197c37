"""The five webhook events: what each is made of, what is signed of it and in which order, and what tells two apart.

Sources, on developer.invoxmedical.com: /webhooks/introduction (the signature) and /webhooks/events/* (one page an event).

Names are not signed, neither that of the event nor those of its members, and values are joined without escaping. So a
signature that matches says what was signed only where the values can stand in no other place: an event must have the
members that make it this event, in the shape that only they have; prose is the only text with "|" in it; and the
`timestamp`, which no identifier looks like, holds the others in their places.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from handlers.providers.invox import multipart, vtt
from handlers.providers.invox.multipart import Part
from handlers.providers.invox.signature import Layout
from receiver.contract import ecmascript
from receiver.contract.errors import Unreadable

AUDIO = "audio"
_NAME, _SIGNATURE = "eventName", "requestSignature"
_UNSIGNED = frozenset({_NAME, AUDIO})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DIGITS = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)

Shape = Callable[[Any], bool]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event: its own members with the shape of each, and those that may hold any text."""

    layout: Layout
    own: dict[str, Shape]
    prose: frozenset[str] = frozenset()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One event that arrived: its members as they came, and its file where it has one."""

    name: str
    event: Event
    members: dict[str, Any]
    audio: Part | None = None

    def wrong(self) -> str | None:
        """Say what this event must have and this message has not."""
        for name, shape in self.event.own.items():
            if not shape(self.members.get(name)):
                return f"member {name} is missing or not as an event {self.name} has it"
        return "the part audio is missing" if self.name == CREATED_AUDIO and self.audio is None else None

    def ambiguous(self) -> str | None:
        """Say why the values of this message, joined, could be those of another."""
        for name, value in self.members.items():
            if not self.event.layout.signs(name) or name in self.event.prose or isinstance(value, list | dict):
                continue
            text = ecmascript.text(value)
            if "|" in text:
                return f'member {name[:64]!r} holds a "|", which also parts what is signed'
            if name != "timestamp" and _TIME.fullmatch(text):
                return f"member {name[:64]!r} holds a time, which only timestamp does"
        return None

    def key(self) -> bytes:
        """Return what a second delivery of this message has in common with it."""
        parts = list(self._telling())
        content = hashlib.sha256()
        for part in (self.name, *parts):
            content.update(part.encode("utf-8", "surrogatepass") + b"\0")
        return f"{self.name}:{parts[0][:100]}:{content.hexdigest()}".encode("utf-8", "replace")

    def _telling(self) -> Iterator[str]:
        if self.name == FINISHED_NOTE:
            yield self.members["clinicalNoteId"]
            yield ecmascript.text(self.members["metadata"]["processingStatus"])
            yield ecmascript.text(self.members.get("summary"))
        elif self.name == FINISHED_REPORT:
            yield ecmascript.text(self.members.get("consultationSessionId"))
            yield ecmascript.text(self.members["medicalReport"])
        else:
            yield self.members["id"]
            if self.name != CREATED_AUDIO:
                yield ecmascript.text(self.members["sentAt"])


def is_event(body: bytes) -> bool:
    """Say whether a body is an event, or may have been one before it was damaged; a callback is none."""
    if multipart.is_multipart(body):
        return True
    if b'"eventName"' not in body:
        return False
    try:
        return _NAMED.decode(body).eventName is not msgspec.UNSET
    except (ValueError, RecursionError):
        return True


def read(body: bytes) -> Message:
    """Return the event that a body holds. Raises Unreadable for anything else, and for a member that appears twice."""
    if multipart.is_multipart(body):
        parts = multipart.parse(body)
        members: Any = {part.name: part.text() for part in parts if part.name != AUDIO}
        audio = next((part for part in parts if part.name == AUDIO), None)
    else:
        members, audio = ecmascript.parse(body), None
    name = members.get(_NAME) if isinstance(members, dict) else None
    if not isinstance(name, str) or name not in EVENTS:
        raise Unreadable(f"member eventName is none of {', '.join(EVENTS)}")
    if multipart.is_multipart(body) != (name == CREATED_AUDIO):
        raise Unreadable(f"an event {name} comes in another form: multipart/form-data is for {CREATED_AUDIO} alone")
    return Message(name=name, event=EVENTS[name], members=members, audio=audio)


def _layout(*order: str, fixed: bool = True, slots: bool = False) -> Layout:
    return Layout(signature=_SIGNATURE, unsigned=_UNSIGNED, order=order, fixed=fixed, slots=slots)


def _identifier(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _number(value: Any) -> bool:
    return type(value) in {int, float} or (isinstance(value, str) and _DIGITS.fullmatch(value) is not None)


def _transcript(value: Any) -> bool:
    return isinstance(value, str) and (vtt.has_signature(value) or not value.strip())


def _note(value: Any) -> bool:
    return isinstance(value, str) and not vtt.has_signature(value)


def _record(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("processingStatus"), str)


def _report(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("fields"), list)


def _prose(value: Any) -> bool:
    return value is None or isinstance(value, str)


FINISHED_TRANSCRIPTION = "OnInvoxAuraTranscriptionFinished"
CREATED_NOTE = "OnInvoxAuraClinicalNoteCreated"
FINISHED_NOTE = "OnInvoxAuraClinicalNoteFinished"
FINISHED_REPORT = "OnMedicalReportFinished"
CREATED_AUDIO = "OnInvoxAuraAudioCreated"

_HEAD = ("organizationId", "userId", "timestamp", "consultationSessionId")

EVENTS: dict[str, Event] = {
    FINISHED_TRANSCRIPTION: Event(
        layout=_layout(*_HEAD, "id", "vttTranscript", "sentAt", "patientId"),
        own={"timestamp": _time, "id": _identifier, "vttTranscript": _transcript, "sentAt": _number},
        prose=frozenset({"vttTranscript"}),
    ),
    CREATED_NOTE: Event(
        layout=_layout(*_HEAD, "id", "summary", "sentAt", "patientId"),
        own={"timestamp": _time, "id": _identifier, "summary": _note, "sentAt": _number},
        prose=frozenset({"summary"}),
    ),
    FINISHED_NOTE: Event(
        layout=_layout(*_HEAD, "patientId", "clinicalNoteId", "language", "metadata", "summary", fixed=False),
        own={"timestamp": _time, "clinicalNoteId": _identifier, "metadata": _record, "summary": _prose},
        prose=frozenset({"summary"}),
    ),
    FINISHED_REPORT: Event(
        layout=_layout(*_HEAD, "medicalReport", fixed=False),
        own={"timestamp": _time, "medicalReport": _report},
    ),
    CREATED_AUDIO: Event(
        layout=_layout(
            *("id", "duration", "userId", "organizationId", "consultationSessionId", "patientId", "sentAt"), slots=True
        ),
        own={"id": _identifier, "duration": _number, "sentAt": _number},
    ),
}
"""By name. The order of the two that are not `fixed` is that of the example: their pages do not show the signed one."""


class _Named(msgspec.Struct):
    eventName: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 -- theirs


_NAMED = msgspec.json.Decoder(_Named)
