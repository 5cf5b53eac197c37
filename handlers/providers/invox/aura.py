"""What the webhook events say in our words: transcripts, clinical notes, medical reports, and audio that was recorded.

Sources: developer.invoxmedical.com/webhooks/events/*, one page for each event.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from handlers.providers.invox import events, vtt
from handlers.providers.invox.events import Message
from handlers.providers.invox.transcription import Roles, lines, moment, segment, speakers
from receiver.contract import ecmascript
from receiver.contract.errors import Unreadable
from receiver.contract.model import Analysis, Call, Insight, Notice, Outcome, Progress, Result, ResultError, Segment
from receiver.contract.reading import Table, first, identifier, number, text

_VOLATILE = frozenset({"timestamp"})
"""When INVOX sent it: another time at each try."""


def outcome(message: Message, roles: Roles) -> Outcome:
    """Return what a message says. Raises Unreadable."""
    if (wrong := message.wrong()) is not None:
        raise Unreadable(wrong)
    members: Table = ecmascript.well_formed(message.members)
    del members["eventName"]
    members.pop("requestSignature", None)
    return _READ[message.name](message, members, roles)


def _transcript(_message: Message, members: Table, roles: Roles) -> Result:
    written = members.pop("vttTranscript")
    try:
        said = vtt.segments(written) if written.strip() else ()
    except vtt.NotVtt:
        said = None
    return Result(
        kind="transcript",
        operation="transcription",
        job_id=members.pop("id"),
        call=_call(members),
        completed_at=first(moment, (members, "sentAt")),
        text=written if said is None else lines(said),
        speakers=speakers(said or (), roles),
        segments=said or (),
        metadata=_left(members),
        volatile=_VOLATILE,
    )


def _created_note(_message: Message, members: Table, _roles: Roles) -> Result:
    return Result(
        kind="analysis",
        operation="clinical-note",
        job_id=members.pop("id"),
        call=_call(members),
        completed_at=first(moment, (members, "sentAt")),
        analysis=Analysis(summary=first(text, (members, "summary"))),
        metadata=_left(members),
        volatile=_VOLATILE,
    )


def _finished_note(_message: Message, members: Table, roles: Roles) -> Result | Progress:
    record: Table = members["metadata"]
    job_id, status = members.pop("clinicalNoteId"), record.pop("processingStatus")
    summary = first(text, (members, "summary"), (record, "summary"))
    if status not in {"COMPLETED", "FAILED", "PENDING"}:
        raise Unreadable("member metadata.processingStatus is none of COMPLETED, FAILED, PENDING")
    if status == "PENDING" and summary is None:
        return Progress(job_id=job_id, status=status)
    said = _said(record)
    failed = status == "FAILED"
    if status == "PENDING":
        record["processingStatus"] = status
    result = Result(
        kind="analysis",
        operation="clinical-note",
        job_id=job_id,
        status="failed" if failed else "completed",
        call=_call(members),
        language=first(text, (members, "language"), (record, "summaryLanguage")),
        duration=first(number, (record, "audioDuration")),
        created_at=first(moment, (record, "createdAt")),
        completed_at=first(moment, (record, "finishedAt")),
        text=lines(said) if said else None,
        speakers=speakers(said, roles),
        segments=said,
        analysis=None if failed and summary is None else Analysis(summary=summary),
        error=ResultError(code=status, message=None) if failed else None,
        volatile=_VOLATILE,
    )
    return msgspec.structs.replace(result, metadata=_left(members | {"metadata": _left(record)}))


def _said(record: Table) -> tuple[Segment, ...]:
    """Take the segments out of a note's record where they are such; the page's type of them is cut off."""
    listed = record.get("transcription")
    known = {"text", "start", "end", "speaker"}
    if not isinstance(listed, list) or not all(isinstance(one, dict) and one.keys() <= known for one in listed):
        return ()
    try:
        said = tuple(segment(index, one) for index, one in enumerate(listed))
    except Unreadable:
        return ()
    del record["transcription"]
    return said


def _report(_message: Message, members: Table, _roles: Roles) -> Result:
    report: Table = members.pop("medicalReport")
    call = _call(members)
    job_id = call.external_id if call else None
    if job_id is None:  # no page says whether a report has a consultation at all times
        job_id = "report-" + hashlib.sha256(ecmascript.stringify(report).encode()).hexdigest()[:32]
    fields = report.pop("fields")
    insights = tuple(_field(index, field) for index, field in enumerate(fields))
    left = {str(index): rest for index, one in enumerate(fields) if isinstance(one, dict) and (rest := _left(one))}
    result = Result(
        kind="analysis",
        operation="medical-report",
        job_id=job_id,
        call=call,
        completed_at=first(moment, (report, "createdAt")),
        analysis=Analysis(summary=first(text, (report, "summary")), insights=insights),
        volatile=_VOLATILE,
    )
    rest = _left(report) | ({"fields": left} if left else {})
    return msgspec.structs.replace(result, metadata=_left(members) | ({"medicalReport": rest} if rest else {}))


def _field(index: int, field: Any) -> Insight:
    """Take name and value out of a field of a report; an unnamed one is called by its place."""
    if not isinstance(field, dict):
        return Insight(name=f"fields[{index}]", value=field)
    name = first(text, (field, "customName"))
    return Insight(name=name or f"fields[{index}]", value=field.pop("customValue", None))


def _audio(message: Message, members: Table, _roles: Roles) -> Notice:
    """Tell of the audio, which stays in the receipt: its bytes are not signed, so whose they are is not proven."""
    assert message.audio is not None
    external = text(members.get("consultationSessionId"))
    seconds = float(members["duration"])
    audio = {
        "filename": message.audio.filename,
        "content_type": message.audio.content_type,
        "size": len(message.audio.content),
        "sha256": hashlib.sha256(message.audio.content).hexdigest(),
        "signed": False,
    }
    body = {**_left(members), "duration": int(seconds) if seconds.is_integer() else seconds, "audio": audio}
    return Notice(name="audio_created", body=body, call=Call(external_id=external) if external else None)


def _call(members: Table) -> Call | None:
    external = first(identifier, (members, "consultationSessionId"))
    return Call(external_id=external) if external else None


def _left(members: Table) -> Table:
    """Return what has no place of its own, under the provider's names; empty is as good as absent there."""
    return {name: value for name, value in members.items() if value not in (None, "")}


_READ: dict[str, Callable[[Message, Table, Roles], Outcome]] = {
    events.FINISHED_TRANSCRIPTION: _transcript,
    events.CREATED_NOTE: _created_note,
    events.FINISHED_NOTE: _finished_note,
    events.FINISHED_REPORT: _report,
    events.CREATED_AUDIO: _audio,
}
