"""vCon, the IETF's container of a conversation: draft-ietf-vcon-vcon-core-04, syntax 0.4.0, unsigned form."""

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.model import Analysis, Call, Segment, Transcript
from receiver.export.parties import Parties

SYNTAX = "0.4.0"
SCHEMA = "hookscribe-transcript/1"
MOST_BYTES = 16 * 1024 * 1024
"""Raw callbacks that one container carries; what goes beyond stays with us."""


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as it came."""

    receipt_id: str
    received_at: str
    media_type: str | None
    body: bytes


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The recording of a call, as it was submitted."""

    name: str | None
    media_type: str | None
    body: bytes


def vcon(
    transcripts: Sequence[Transcript],
    callbacks: Mapping[str, Callback],
    recorded: Recorded | None = None,
    *,
    host: str,
    about: str,
    made_at: int,
) -> dict[str, Any]:
    """Return what was said of one call as one container.

    `callbacks` by receipt id; those that are gone are not there. `recorded` is what the dialog holds. `about` is the id that the container's own is made
    of, `made_at` its time in Unix milliseconds, `host` our name. A dialog must have a start: where no provider says when
    the call began, it is when the first result was made or came.
    """
    parties = Parties()
    call = _call(transcripts)
    voices = [parties.speakers(one) for one in transcripts]
    analyses = [
        entry for one, places in zip(transcripts, voices, strict=True) for entry in _analyses(one, places, parties)
    ]
    if call:
        parties.ends(call)
    spoke = len(parties.items)
    attached = _attached(transcripts, callbacks, parties)
    return {
        "vcon": SYNTAX,
        "uuid": _uuid(host, about, made_at),
        "created_at": min(one.received_at for one in transcripts),
        "updated_at": max(one.received_at for one in transcripts),
        "subject": (call and (call.external_id or call.id)) or transcripts[0].job_id,
        "parties": parties.items,
        "dialog": [_dialog(transcripts, call, list(range(spoke))) | _content(recorded)],
        **({"analysis": analyses} if analyses else {}),
        **({"attachments": attached} if attached else {}),
    }


def _call(transcripts: Sequence[Transcript]) -> Call | None:
    """Put together what the results say about their call; the first to say something counts."""
    told: dict[str, Any] = {}
    for one in transcripts:
        if one.call:
            told |= {name: value for name, value in msgspec.structs.asdict(one.call).items() if told.get(name) is None}
    return Call(**told) if told else None


def _dialog(transcripts: Sequence[Transcript], call: Call | None, parties: list[int]) -> dict[str, Any]:
    started = call and call.started_at
    earliest = min(one.created_at or one.received_at for one in transcripts)
    lasted = max((one.duration for one in transcripts if one.duration is not None), default=None)
    return {
        "type": "recording",
        "start": started or earliest,
        **({"duration": max(0.0, lasted)} if lasted is not None else {}),
        **({"parties": parties} if parties else {}),
    }


def _content(recorded: Recorded | None) -> dict[str, Any]:
    if recorded is None:
        return {}
    return {
        "mediatype": recorded.media_type or "application/octet-stream",
        **({"filename": recorded.name} if recorded.name else {}),
        "encoding": "base64url",
        "body": _base64url(recorded.body),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _analyses(transcript: Transcript, places: Mapping[str, int], parties: Parties) -> list[dict[str, Any]]:
    made = []
    if transcript.segments or transcript.text or transcript.status == "failed":
        made.append(_entry(transcript, "transcript", _transcript(transcript, places, parties), SCHEMA))
    found = transcript.analysis
    if found and found.summary is not None:
        entry = _entry(transcript, "summary", found.summary)
        made.append({**entry, "encoding": "none", "mediatype": "text/plain"})
    if found and found.sentiment is not None:
        made.append(_entry(transcript, "sentiment", {"sentiment": found.sentiment}))
    if found and (report := _report(found)):
        made.append(_entry(transcript, "report", report))
    return made


def _entry(transcript: Transcript, kind: str, body: Any, schema: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "dialog": 0,
        "vendor": transcript.provider,
        "product": transcript.operation,
        **({"schema": schema} if schema else {}),
        "mediatype": "application/json",
        "encoding": "json",
        "body": body,
    }


def _transcript(transcript: Transcript, places: Mapping[str, int], parties: Parties) -> dict[str, Any]:
    def said(segment: Segment) -> dict[str, Any]:
        place = places.get(segment.speaker or "")
        if place is None:
            place = parties.voice(transcript, segment.speaker, segment.channel)
        return {"party": place, **msgspec.to_builtins(segment)}

    return {
        "id": transcript.id,
        "version": transcript.version,
        "job_id": transcript.job_id,
        "status": transcript.status,
        "language": transcript.language,
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": [said(segment) for segment in transcript.segments],
        "error": msgspec.to_builtins(transcript.error),
    }


def _report(found: Analysis) -> dict[str, Any]:
    whole: dict[str, Any] = msgspec.to_builtins(found)
    return {name: whole[name] for name in ("topics", "action_items", "flags", "insights", "raw") if whole[name]}


def _attached(
    transcripts: Sequence[Transcript], callbacks: Mapping[str, Callback], parties: Parties
) -> list[dict[str, Any]]:
    made, left = [], MOST_BYTES
    for provider, receipt_id in dict.fromkeys((one.provider, one.provenance.receipt_id) for one in transcripts):
        found = callbacks.get(receipt_id)
        if found is None or len(found.body) > left:
            continue
        left -= len(found.body)
        made.append(
            {
                "purpose": "provider-callback",
                "start": found.received_at,
                "party": parties.place("provider", provider, name=provider, type="organization"),
                "dialog": 0,
                "mediatype": found.media_type or "application/octet-stream",
                "filename": f"{receipt_id}.bin",
                "encoding": "base64url",
                "body": _base64url(found.body),
            }
        )
    return made


def _uuid(host: str, about: str, made_at: int) -> str:
    """Return a UUID of version 8, the same for the same thing: its time, 12 bits of its id, 62 of both names' digest."""
    rest = int.from_bytes(hashlib.sha1(f"{host}/{about}".encode(), usedforsecurity=False).digest()[:10], "big")
    number = (made_at & (1 << 48) - 1) << 80 | 8 << 76 | (rest >> 62 & 0xFFF) << 64 | 2 << 62 | rest & (1 << 62) - 1
    return str(uuid.UUID(int=number))
