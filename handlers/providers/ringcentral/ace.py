"""AI Conversation Expert (ACE, formerly RingSense): the insights of one recording, pushed by a subscription.

Sources: developers.ringcentral.com/guide/ai/ace and …/notifications/event-filters/ace-event-filter, with the samples
code-samples/events/ace-{pbx,rcx}-event.json of github.com/ringcentral/ringcentral-api-docs (head of 2026-04).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from handlers.providers.ringcentral import findings
from handlers.providers.ringcentral.typed import Number, read, unplaced
from receiver.contract.model import Call, Insight, Result, Segment, Speaker
from receiver.contract.reading import Role, Table, identifier, joined, speakers
from receiver.contract.settings import SourceSettings
from receiver.contract.times import to_rfc3339

_PATH = re.compile(r"/ai/[^/]+/.*/domains/([^/]+)/insights(?:\?|$)", re.IGNORECASE)
_TRANSCRIPT = "Transcript"
_NAMES = {
    "transcript": _TRANSCRIPT,
    "summary": "Summary",
    "highlights": "Highlights",
    "nextsteps": "NextSteps",
    "bulletedsummary": "BulletedSummary",
    "aiscore": "AIScore",
    "callnotes": "CallNotes",
    "sentiment": "Sentiment",
    "qna": "QnA",
}
"""The guide writes `HighLights` where the specification has `Highlights`; QnA is in the samples only."""
_UNTIMED = {"Summary"}
"""Their start and end count paragraphs in every sample (0 to 1, 1 to 2), whatever the guide says of timestamps."""
_TELEPHONY = "pbx"
_DIRECTIONS: Mapping[str, Literal["inbound", "outbound"]] = {"inbound": "inbound", "outbound": "outbound"}


class _Person(msgspec.Struct, rename="camel"):
    speaker_id: str | int | None = None
    name: str | None = None
    account_id: str | int | None = None
    extension_id: str | int | None = None
    phone_number: str | int | None = None

    @property
    def of_the_account(self) -> bool:
        """Outside of it, both ids are null; who is in it is what the guide calls an agent."""
        return bool(self.account_id or self.extension_id)


class _Line(msgspec.Struct, rename="camel"):
    start: Number | None = None
    end: Number | None = None
    text: str | None = None
    speaker_id: str | int | None = None


class _Record(msgspec.Struct, rename="camel"):
    insights: dict[str, Any]
    domain: str | None = None
    source_record_id: str | int | None = None
    source_session_id: str | int | None = None
    call_direction: str | None = None
    owner_extension_id: str | int | None = None
    recording_duration_ms: Number | None = None
    recording_start_time: Any = None
    creation_time: Any = None
    last_modified_time: Any = None
    speaker_info: list[_Person] | None = None


_PERSON = frozenset(_Person.__struct_encode_fields__)
_LINE = frozenset(_Line.__struct_encode_fields__)
_RECORD = frozenset(_Record.__struct_encode_fields__)
_TIMES = ("recordingStartTime", "creationTime", "lastModifiedTime")


def is_insights(event: str, body: Any) -> bool:
    """Say whether a notification brings insights; one of the same path without any is passed on as what it is."""
    return bool(_PATH.match(event)) and isinstance(body, dict) and isinstance(body.get("insights"), dict)


def result(event: str, envelope: Table, job_id: str, settings: SourceSettings) -> Result:
    """Read the insights of one recording; `job_id` is for those that name no record. Raises Unreadable."""
    body: Table = envelope["body"]
    record = read(_Record, body, "body")
    lines = _lines(record.insights)
    segments = tuple(
        Segment(start=line.start, end=line.end, speaker=identifier(line.speaker_id), text=line.text)
        for line in read(list[_Line], lines, "body.insights.Transcript")
    )
    insights = tuple(_insights(record.insights))
    duration = record.recording_duration_ms
    notification = {name: value for name, value in envelope.items() if name != "body" and value is not None}
    return Result(
        kind="transcript",
        operation="conversation-insights",
        job_id=identifier(record.source_record_id) or job_id,
        call=_call(event, record, settings),
        duration=None if duration is None else round(duration / 1000, 3),
        created_at=to_rfc3339(record.creation_time, settings.timezone),
        completed_at=to_rfc3339(record.last_modified_time, settings.timezone),
        text=joined(segments),
        speakers=_speakers(record, segments, insights, settings),
        segments=segments,
        analysis=findings.conclude(insights, _raw(record.insights)),
        metadata=_metadata(record, body, settings)
        | unplaced(lines, _LINE, "insights.Transcript")
        | {"notification": notification},
        volatile=frozenset({"notification"}),
    )


def direction(value: Any) -> Literal["inbound", "outbound"] | None:
    """Return a direction in our words."""
    return _DIRECTIONS.get(value.casefold()) if isinstance(value, str) else None


def _name(name: str) -> str:
    return _NAMES.get(name.casefold(), name)


def _lines(insights: Table) -> list[Table]:
    """Return the transcript, under whichever spelling; of two, one after the other."""
    lines: list[Table] = []
    for name, given in insights.items():
        if _name(name) == _TRANSCRIPT and given is not None:
            lines += read(list[dict[str, Any]], given, "body.insights.Transcript")
    return lines


def _insights(insights: Table) -> Iterator[Insight]:
    for name, given in insights.items():
        known = _name(name)
        if known != _TRANSCRIPT and given is not None:
            yield from findings.named(known, given, timed=known not in _UNTIMED)


def _raw(insights: Table) -> Any:
    return {name: value for name, value in insights.items() if _name(name) != _TRANSCRIPT} or None


def _call(event: str, record: _Record, settings: SourceSettings) -> Call:
    """Return the call: of telephony by its session's own id, which the telephony events have, too."""
    session, domain = identifier(record.source_session_id), _domain(event, record)
    caller, called = _numbers(record)
    return Call(
        external_id=session if session is None or domain == _TELEPHONY else f"{domain}:{session}",
        started_at=to_rfc3339(record.recording_start_time, settings.timezone),
        direction=direction(record.call_direction),
        from_=caller,
        to=called,
        agent_id=identifier(record.owner_extension_id),
        recording_id=identifier(record.source_record_id),
    )


def _domain(event: str, record: _Record) -> str:
    found = _PATH.match(event)
    return record.domain or (found[1] if found else "")


def _numbers(record: _Record) -> tuple[str | None, str | None]:
    """Return who called whom, where that follows: a direction, one of the account, and one outside."""
    people = sorted(record.speaker_info or (), key=lambda person: not person.of_the_account)
    towards = direction(record.call_direction)
    if towards is None or [person.of_the_account for person in people] != [True, False]:
        return None, None
    ours, theirs = (identifier(person.phone_number) for person in people)
    return (ours, theirs) if towards == "outbound" else (theirs, ours)


def _speakers(
    record: _Record, segments: tuple[Segment, ...], insights: tuple[Insight, ...], settings: SourceSettings
) -> tuple[Speaker, ...]:
    """List who took part, then voices that nobody introduced."""
    found = (Segment(start=None, end=None, speaker=insight.speaker, text=None) for insight in insights)
    heard = {one.id: one for one in speakers((*segments, *found), settings.roles)}
    listed: dict[str, Speaker] = {}
    for person in record.speaker_info or ():
        name = identifier(person.speaker_id)
        if name is not None and name not in listed:
            voice = heard.get(name, Speaker(id=name))
            role = _role(name, person, settings) or voice.role
            listed[name] = msgspec.structs.replace(voice, label=person.name or None, role=role)
    return tuple((heard | listed)[name] for name in listed | heard)


def _role(name: str, person: _Person, settings: SourceSettings) -> Role | None:
    ruled = settings.roles.get(name) or settings.roles.get(person.name or "")
    return ruled or ("agent" if person.of_the_account else None)


def _metadata(record: _Record, body: Table, settings: SourceSettings) -> Table:
    """Keep what has no place in a result, under the provider's names."""
    metadata = {name: value for name, value in body.items() if name not in _RECORD}
    metadata["domain"] = record.domain
    metadata["speakerInfo"] = _people(body.get("speakerInfo")) or None
    if direction(record.call_direction) is None:
        metadata["callDirection"] = record.call_direction
    metadata |= {name: body.get(name) for name in _TIMES if to_rfc3339(body.get(name), settings.timezone) is None}
    if identifier(record.source_record_id) is None:
        metadata["job_id_from"] = "digest of the body"
    return {name: value for name, value in metadata.items() if value is not None}


def _people(given: Any) -> list[Table]:
    """Return what speakers have no place for: ids, phone numbers, and whatever else there is."""
    seen: set[str | None] = {None}
    people = []
    for person in given or ():
        name = identifier(person.get("speakerId"))
        told = {"name"} if name not in seen else set[str]()
        rest = {key: value for key, value in person.items() if key not in told and value is not None}
        seen.add(name)
        if rest.keys() - {"speakerId"}:
            people.append(rest)
    return people
