"""What Rythmex's answers become: a Call Analytics result a transcript, a failed job a failed one, any other progress."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec

from handlers.providers.rythmex import characteristics, shapes
from handlers.providers.rythmex.settings import RythmexSettings
from handlers.providers.rythmex.turns import Turn, participants, seconds
from receiver.contract.errors import Unreadable
from receiver.contract.model import (
    Analysis,
    Headers,
    Outcome,
    Progress,
    Receipt,
    Result,
    ResultError,
    Segment,
    Speaker,
    Verdict,
)
from receiver.contract.proof import Proven, digest
from receiver.contract.reading import Table, first, joined, read_object, speakers, table, text
from receiver.contract.times import to_rfc3339

_REASONS = ("FailureReason", "failure_reason", "error_message", "reason", "error", "message", "detail")
_CREATED = ("CreationTime", "created_at", "created")
_COMPLETED = ("CompletionTime", "completed_at", "finished_at")
_NAMES = ("JobName",)
"""What a result is called that nobody asked for, and whose wrapping holds no id: Amazon's name of it."""
_IGNORED = {
    "AccountId": "the number of the vendor's account at Amazon, which is nobody's business",
    "Transcript[].Id": "the name of a turn, which nothing refers to",
}
IGNORED: Mapping[str, str] = {
    **_IGNORED,
    **{f"results.{path}": reason for path, reason in _IGNORED.items()},
}


def message_key(proven: Proven, settings: RythmexSettings) -> bytes:
    """Return job id and status; for bytes that say neither their digest."""
    body = proven.request.body
    try:
        document = read_object(body)
    except Unreadable:
        return digest(body)
    job_id = job_id_of(proven.request.headers, proven.verdict) or _named(document, settings)
    if job_id is None:
        return digest(body)
    return msgspec.json.encode((job_id, (shapes.state_of(document, settings)[1] or "").casefold()))


def job_id_of(headers: Headers, verdict: Verdict) -> str | None:
    """Return the analysis that was asked about; headers that somebody posted say nothing."""
    if verdict is not Verdict.FETCHED:
        return None
    found = next((value for name, value in headers if name == b"hookscribe-job-id"), None)
    return found.decode("utf-8", "replace") if found else None


def outcome(receipt: Receipt, settings: RythmexSettings) -> Outcome:
    """Read an answer. Raises Unreadable."""
    document = read_object(receipt.body)
    known = job_id_of(receipt.headers, receipt.verdict)
    named = known or _named(document, settings)
    job_id = named or f"digest:{digest(receipt.body).hex()}"
    state, word = shapes.state_of(document, settings)
    if state == "pending":
        if word is None:
            raise Unreadable(f"neither a Transcript nor one of {', '.join(settings.status_members)} is in it")
        return Progress(job_id=job_id, status=word)
    found = shapes.result_in(document)
    if state == "completed" and found is None:
        raise Unreadable(f"it is {word}, but there is no Transcript in it")
    _take(document, settings.status_members)
    if known is None or _named(document, settings) == known:
        _take(document, (*settings.id_members, *_NAMES))
    made = _transcript(found[1] if found else {}, settings)
    created, completed = (_time(document, names, settings) for names in (_CREATED, _COMPLETED))
    error = _error(document) if state == "failed" else None
    rest = _left_over(document)
    return msgspec.structs.replace(
        made,
        job_id=job_id,
        status="failed" if state == "failed" else "completed",
        created_at=created,
        completed_at=completed,
        error=error,
        metadata=rest | ({} if named else {"job_id_from": "digest of the body"}),
        volatile=frozenset(key for key in rest if key.rpartition(".")[2] in settings.url_members),
    )


def _named(document: Table, settings: RythmexSettings) -> str | None:
    return shapes.value_of(document, (*settings.id_members, *_NAMES))


def _take(document: Table, names: tuple[str, ...]) -> None:
    """Take the value that counts out of a document."""
    if (found := shapes.member(document, names)) is not None:
        del found[0][found[1]]


def _transcript(call: Table, settings: RythmexSettings) -> Result:
    """Take everything that has a place out of a Call Analytics result; job and state are the caller's to add."""
    call.pop("AccountId", None)
    raw = deepcopy({key: value for key, value in call.items() if key != "Transcript"})
    roles = participants(call)
    spoken, odd = _turns(call.pop("Transcript", ()), roles)
    whole = table(call, "ConversationCharacteristics")
    talked = characteristics.talk_times(whole)
    duration = seconds(whole, "TotalConversationDurationMillis")
    segments = tuple(turn.segment for turn in spoken)
    analysis = Analysis(
        summary=characteristics.summary(whole, call),
        action_items=tuple(action for turn in spoken for action in turn.actions),
        flags=tuple(characteristics.categories(call)),
        insights=(
            *characteristics.findings(whole),
            *characteristics.skipped(call),
            *(found for turn in spoken for found in turn.insights),
        ),
    )
    if analysis != Analysis():
        analysis = msgspec.structs.replace(analysis, raw=raw)
    if odd:
        call["Transcript"] = odd
    return Result(
        kind="transcript",
        operation="call-analysis",
        job_id="",
        language=first(text, (call, "LanguageCode")),
        duration=duration,
        text=joined(segments),
        speakers=_speakers(segments, talked, settings),
        segments=segments,
        analysis=analysis if analysis != Analysis() else None,
    )


def _turns(found: Any, roles: Mapping[str, str]) -> tuple[list[Turn], list[Any]]:
    """Read the turns in their order, which is that of their beginnings; what is no object is left over."""
    turns = [Turn(one, roles) for one in found if isinstance(one, dict)]
    return turns, [one for one in found if not isinstance(one, dict)]


def _speakers(
    segments: tuple[Segment, ...], talked: Mapping[str, float], settings: RythmexSettings
) -> tuple[Speaker, ...]:
    """List who speaks, with the seconds that the result gives; a voice that is only timed is one too."""
    timed = tuple(Segment(start=None, end=None, speaker=who, text=None) for who in talked)
    found = speakers((*segments, *timed), settings.roles)
    return tuple(
        msgspec.structs.replace(one, talk_time=talked.get(one.id, one.talk_time)) if one.id in talked else one
        for one in found
    )


def _time(document: Table, names: tuple[str, ...], settings: RythmexSettings) -> str | None:
    places = tuple((found, name) for _, found in shapes.levels(document) for name in names)
    return first(lambda value: to_rfc3339(value, settings.timezone), *places)


def _error(document: Table) -> ResultError:
    """Take the reason out of a failed job: Amazon's `FailureReason`, or a member that is usual at Django's."""
    places = tuple((found, name) for _, found in shapes.levels(document) for name in _REASONS)
    reason = first(text, *places)
    code = first(text, (document, "error_code"), (document, "code"))
    return ResultError(code=code, message=reason)


def _left_over(document: Table) -> dict[str, Any]:
    """Return what has no place under its path; a signed address is left out of comparisons."""
    kept: dict[str, Any] = {}
    for path, found in shapes.levels(document):
        for key, value in found.items():
            if value not in (None, "", [], {}) and not _descended(value, path):
                kept[f"{path}.{key}" if path else key] = value
    return kept


def _descended(value: Any, path: str) -> bool:
    """Say whether `levels` yields an object by itself."""
    return isinstance(value, dict) and path.count(".") + bool(path) < shapes.DEEPEST
