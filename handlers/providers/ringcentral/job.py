"""An AI job: the envelope of its asynchronous response, and the result or progress that it becomes.

The same object comes as a callback and from the status endpoint. Decided by `status`, then by `response.errors`; never
by SPEC's oneOf, whose error branch every success matches too.
"""

import re
from typing import Any, Literal

import msgspec

from handlers.providers.ringcentral import findings, speech
from handlers.providers.ringcentral.typed import Number, read
from receiver.contract.errors import Unreadable
from receiver.contract.model import Insight, Outcome, Progress, Result, ResultError, Segment, Speaker
from receiver.contract.reading import speakers
from receiver.contract.settings import SourceSettings
from receiver.contract.times import to_rfc3339

Kind = Literal["transcript", "analysis"]

_OPERATIONS: dict[str, tuple[Kind, str]] = {
    "speech-to-text": ("transcript", "transcription"),
    "analyze-interaction": ("transcript", "interaction-analysis"),
    "speaker-diarize": ("analysis", "diarization"),
    "speaker-identify": ("analysis", "speaker-identification"),
    "recognize-emotion": ("analysis", "emotion"),
    "summarize": ("analysis", "summarization"),
    "punctuate": ("analysis", "punctuation"),
}
"""Last word of `api` (in every sample since 2023-06, never in SPEC) → kind and operation."""

_SHAPES = (
    ("transcript", "speech-to-text"),
    ("words", "speech-to-text"),
    ("utteranceInsights", "analyze-interaction"),
    ("speakerInsights", "analyze-interaction"),
    ("conversationalInsights", "analyze-interaction"),
    ("trackerInsights", "analyze-interaction"),
    ("summaries", "summarize"),
    ("texts", "punctuate"),
    ("speakerCount", "speaker-diarize"),
    ("utterances", "speaker-identify"),
)
"""Member of `response` → what was asked, where `api` does not say; the first that is there counts."""

_ATTACHED = ("confidence", "speakerCount", "errors", "errorCode", "message", "parameterName")
"""Members of `response` that go to metadata under their own names; the last three are the platform's error form."""

_READ = speech.MEMBERS | {*_ATTACHED, "audio_duration"}


class _Envelope(msgspec.Struct, rename="camel"):
    """All optional: SPEC requires none, and bodies of 2022 have only status and response, or not even these."""

    job_id: str | None = None
    api: str | None = None
    creation_time: Any = None
    completion_time: Any = None
    expiration_time: Any = None
    status: str | None = None
    response: Any = None


_ENVELOPE = frozenset(_Envelope.__struct_encode_fields__)


def outcome(document: dict[str, Any], unnamed: str, settings: SourceSettings) -> Outcome:
    """Read one body; `unnamed` is the job id of one that has none. Raises Unreadable."""
    envelope = read(_Envelope, document, "the body")
    bare = envelope.status is None and envelope.response is None
    if bare and any(member in document for member, _ in _SHAPES):
        # speaker-identify, 2022: the result itself, without an envelope
        envelope.response = {member: value for member, value in document.items() if member not in _ENVELOPE}
        document = {member: value for member, value in document.items() if member in _ENVELOPE}
    elif bare and not envelope.job_id:
        raise Unreadable("the body: none of jobId, status and response is there")
    job_id = envelope.job_id or unnamed
    status = _status(envelope)
    if status is None:
        return Progress(job_id=job_id, status=envelope.status or "unknown")
    return _result(envelope, document, job_id, status, settings)


def _status(envelope: _Envelope) -> Literal["completed", "failed"] | None:
    """Say how the job ended; None while it has not, and for words that we do not know."""
    if envelope.status == "Fail" or _errors(envelope.response):
        return "failed"
    if envelope.response is not None and envelope.status in ("Success", None):
        return "completed"
    return None


def _errors(response: Any) -> Any:
    return response.get("errors") if isinstance(response, dict) else None


def _result(
    envelope: _Envelope,
    document: dict[str, Any],
    job_id: str,
    status: Literal["completed", "failed"],
    settings: SourceSettings,
) -> Result:
    response = _response(envelope.response, status)
    members = response if isinstance(response, dict) else {}
    kind, operation = _operation(envelope.api, response)
    said = speech.read_speech(members)
    insights = findings.read_insights(_concluded(response))
    duration = members.get("audio_duration")  # 2022 only
    return Result(
        kind=kind,
        operation=operation,
        job_id=job_id,
        status=status,
        duration=None if duration is None else read(Number, duration, "response.audio_duration"),
        created_at=to_rfc3339(envelope.creation_time, settings.timezone),
        completed_at=to_rfc3339(envelope.completion_time, settings.timezone),
        text=said.text,
        speakers=_speakers(said.segments, insights, settings),
        segments=said.segments,
        analysis=findings.conclude(insights, _raw(response)),
        error=_error(envelope.response) if status == "failed" else None,
        metadata=_metadata(envelope, document, members, status, settings) | said.unplaced,
    )


def _response(response: Any, status: str) -> dict[str, Any] | list[Any]:
    if isinstance(response, dict | list):
        return response
    return {} if status == "failed" else read(dict[str, Any], response, "response")


def _concluded(response: dict[str, Any] | list[Any]) -> dict[str, Any] | list[Any]:
    """Return what insights are in: all but the members that are read elsewhere."""
    if isinstance(response, list):
        return response
    return {name: value for name, value in response.items() if name not in _READ or name in speech.UTTERANCES}


def _raw(response: dict[str, Any] | list[Any]) -> Any:
    """Return the conclusions in the provider's words; what was said stands in text and segments already."""
    if isinstance(response, list):
        return response
    return {name: value for name, value in response.items() if name not in _READ} or None


def _operation(api: str | None, response: dict[str, Any] | list[Any]) -> tuple[Kind, str]:
    """Name the operation by `api`, else by shape; what neither tells is an analysis, called by the word in `api`."""
    word = (api or "").partition("?")[0].rstrip("/").rpartition("/")[2]
    if word in _OPERATIONS:
        return _OPERATIONS[word]
    if isinstance(response, list):
        return _OPERATIONS["recognize-emotion"]
    shape = next((known for member, known in _SHAPES if member in response), None)
    if shape is not None:
        return _OPERATIONS[shape]
    return "analysis", re.sub(r"[^A-Za-z0-9_.-]+", "_", word)[:64] or "unknown"


def _speakers(
    segments: tuple[Segment, ...], insights: tuple[Insight, ...], settings: SourceSettings
) -> tuple[Speaker, ...]:
    """List voices as they appear. `UserNotIdentified` stays one: whoever was not enrolled, perhaps several people."""
    found = (Segment(start=None, end=None, speaker=insight.speaker, text=None) for insight in insights)
    return speakers((*segments, *found), settings.roles)


def _error(response: Any) -> ResultError:
    """Read the first of `errors[]`, or the response itself where it has the platform's form; all are in metadata."""
    errors = _errors(response) or response
    first = errors[0] if isinstance(errors, list) and errors else errors
    if isinstance(first, dict):
        return ResultError(code=_word(first.get("errorCode")), message=_word(first.get("message")))
    return ResultError(code=None, message=_word(first))


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _metadata(
    envelope: _Envelope, document: dict[str, Any], members: dict[str, Any], status: str, settings: SourceSettings
) -> dict[str, Any]:
    """Keep what has no place in a result, under the provider's names."""
    metadata = {"api": envelope.api, "expirationTime": envelope.expiration_time}
    metadata |= {name: members.get(name) for name in _ATTACHED}
    for name in ("creationTime", "completionTime"):
        if to_rfc3339(document.get(name), settings.timezone) is None:
            metadata[name] = document.get(name)
    if envelope.status != ("Success" if status == "completed" else "Fail"):
        metadata["status"] = envelope.status
    if not isinstance(envelope.response, dict | list):
        metadata["response"] = envelope.response
    if not envelope.job_id:
        metadata["job_id_from"] = "digest of the body"
    metadata |= {name: value for name, value in document.items() if name not in _ENVELOPE}
    return {name: value for name, value in metadata.items() if value is not None}
