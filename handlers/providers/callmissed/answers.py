"""What CallMissed answers when it is asked, told apart by shape: a voice session, its turns, an upload analysis (S2, S3).

Turns do not say whose they are, so a fetched receipt's `Content-Location` does (RFC 9110, 8.7): the path that was read,
`/v1/voice/sessions/{id}/transcript`. Without one they go by the id of their first turn, and belong to no call.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from handlers.providers.callmissed.findings import conclusions, left_over
from receiver.contract.errors import Unreadable
from receiver.contract.model import (
    Analysis,
    Call,
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
from receiver.contract.reading import (
    Table,
    first,
    identifier,
    insights,
    joined,
    number,
    read_object,
    speakers,
    table,
    text,
)
from receiver.contract.settings import SourceSettings
from receiver.contract.times import to_rfc3339

IGNORED: Mapping[str, str] = {
    "token": "lets anybody join the session; only the answer that creates one has it",
    "ws_url": "the address that the token is for",
}

_LOCATION = re.compile(r"/voice/sessions/([^/?#]+)/transcript")
_SPOKEN = re.compile(r"(SPEAKER_\d+): ?(.*)")
"""One turn of an upload analysis; any number of digits, since the vendor's pages differ."""

_NOTHING = Analysis()
_BY_TURN = "id of the first turn"

_SAID = (("user", "user_transcript"), ("agent", "agent_response"))
"""Who speaks in a turn, in which order, and where the words stand."""


def message_key(proven: Proven) -> bytes:
    """Return the upload that an answer is to; else its digest, and the session that it was fetched for."""
    if (job_id := job_id_of(proven.request.headers, proven.verdict)) is not None:
        return msgspec.json.encode((job_id,))
    session = session_of(proven.request.headers, proven.verdict)
    return msgspec.json.encode((session or "", digest(proven.request.body).hex()))


def outcome(receipt: Receipt, settings: SourceSettings) -> Outcome | None:
    """Read an answer; None for a shape that is not known. Raises Unreadable."""
    if receipt.body.lstrip()[:1] == b"[":
        return _turns(receipt, settings)
    document = read_object(receipt.body)
    if identifier(document.get("id")) and "turn_count" in document:
        return _session(document, settings)
    if isinstance(document.get("transcript"), str) and "speaker_timing" in document:
        return _upload(document, receipt, settings)
    return None


def session_of(headers: Headers, verdict: Verdict) -> str | None:
    """Return the session whose transcript was fetched; headers that somebody posted say nothing."""
    if verdict is not Verdict.FETCHED:
        return None
    places = (value.decode("latin-1") for name, value in headers if name == b"content-location")
    found = next((match for place in places if (match := _LOCATION.search(place))), None)
    return unquote(found[1]) if found else None


def job_id_of(headers: Headers, verdict: Verdict) -> str | None:
    """Return the upload that was answered, a digest of recording and language; what somebody posted says nothing."""
    if verdict is not Verdict.FETCHED:
        return None
    found = next((value for name, value in headers if name == b"hookscribe-job-id"), b"")
    return found.decode("latin-1") if found.startswith(b"sha256:") else None


def _session(document: Table, settings: SourceSettings) -> Outcome:
    """Read a session: its analysis where there is one by now, else that it is not there yet."""
    session, found = str(first(identifier, (document, "id"))), table(document, "analysis")
    status, error = text(found.get("status")), first(identifier, (found, "error"))
    if error is None and status not in ("completed", "failed"):
        return Progress(job_id=session, status=status or text(document.get("status")) or "unknown")
    call = Call(
        external_id=session,
        started_at=_time(document, "started_at", settings),
        agent_id=first(identifier, (document, "bot_id")),
    )
    config, own = table(document, "config"), table(document, "metadata")
    raw, state = dict(found), _state(found, error)
    for key in IGNORED:
        document.pop(key, None)
    return Result(
        kind="analysis",
        operation="conversation-analysis",
        job_id=session,
        status=state,
        call=call,
        language=first(text, (config, "language")),
        duration=first(number, (document, "duration_seconds")),
        created_at=_time(document, "created_at", settings),
        completed_at=_time(found, "updated_at", settings) or _time(found, "created_at", settings),
        analysis=conclusions(found, raw),
        error=ResultError(code=error, message=None) if error else None,
        metadata=left_over(document, own, analysis=found, config=config),
    )


def _time(place: Table, key: str, settings: SourceSettings) -> str | None:
    return first(lambda value: to_rfc3339(value, settings.timezone), (place, key))


def _state(found: Table, error: str | None) -> Literal["completed", "failed"]:
    """Say how an analysis ended; its own word is taken out where it says the same."""
    state: Literal["completed", "failed"] = "failed" if error or found.get("status") == "failed" else "completed"
    if found.get("status") == state:
        del found["status"]
    return state


def _turns(receipt: Receipt, settings: SourceSettings) -> Result:
    """Read a session's turns: what the caller said, then what the agent answered; times are those of the clock."""
    turns = _read_turns(receipt.body)
    session = session_of(receipt.headers, receipt.verdict)
    own = next((known for turn in turns if (known := identifier(turn.get("id")))), None)
    job_id = session or own
    if job_id is None:
        raise Unreadable("a transcript of no turns, and no Content-Location says whose; fetch it with one")
    segments = tuple(segment for turn in turns for segment in _spoken(turn))
    return Result(
        kind="transcript",
        operation="conversation",
        job_id=job_id,
        call=Call(external_id=session) if session else None,
        text=joined(segments),
        speakers=speakers(segments, {"user": "customer", **settings.roles}),
        segments=segments,
        metadata=left_over(
            {"turns": [left_over(turn) for turn in turns], "job_id_from": None if session else _BY_TURN}
        ),
    )


def _read_turns(body: bytes) -> list[Table]:
    try:
        turns = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (ValueError, RecursionError):
        raise Unreadable("the body is an array, but not one of objects") from None
    if not all("turn_index" in turn for turn in turns):
        raise Unreadable("the body is an array, and its objects are no turns: turn_index is not in each of them")
    return turns


def _spoken(turn: Table) -> list[Segment]:
    said = [(who, first(text, (turn, key))) for who, key in _SAID]
    return [Segment(start=None, end=None, speaker=who, text=words) for who, words in said if words]


def _upload(document: Table, receipt: Receipt, settings: SourceSettings) -> Result:
    """Read the answer of an upload analysis, which has no id; its analysis is free text, and nothing is parsed in it."""
    whole = first(text, (document, "transcript"))
    segments, timing = _by_speaker(whole or ""), table(document, "speaker_timing")
    completed_at = _time(document, "generated_at", settings)
    raw = document.get("analysis")
    analysis = Analysis(summary=first(text, (document, "summary")), insights=tuple(insights("analysis", raw)), raw=raw)
    document.pop("analysis", None)
    known = job_id_of(receipt.headers, receipt.verdict)
    return Result(
        kind="transcript",
        operation="call-analysis",
        job_id=known or f"sha256:{digest(receipt.body).hex()}",
        completed_at=completed_at,
        text=whole,
        speakers=_talkers(segments, timing, settings),
        segments=segments,
        analysis=analysis if analysis != _NOTHING else None,
        metadata=left_over(document, None if known else {"job_id_from": "digest of the body"}, speaker_timing=timing),
    )


def _by_speaker(whole: str) -> tuple[Segment, ...]:
    """Return one segment for each `SPEAKER_n: text`; a line without a speaker goes on with what was said before."""
    said: list[tuple[str | None, str]] = []
    for line in whole.split("\n"):
        if spoken := _SPOKEN.fullmatch(line):
            said.append((spoken[1], spoken[2]))
        elif said:
            said[-1] = (said[-1][0], f"{said[-1][1]}\n{line}")
        elif line:
            said.append((None, line))
    return tuple(Segment(start=None, end=None, speaker=who, text=words or None) for who, words in said)


def _talkers(segments: tuple[Segment, ...], timing: Table, settings: SourceSettings) -> tuple[Speaker, ...]:
    """List who speaks, with the seconds that CallMissed gives; a voice that it only times is one too."""
    timed = tuple(Segment(start=None, end=None, speaker=label, text=None) for label in timing)
    found = speakers((*segments, *timed), settings.roles)
    return tuple(msgspec.structs.replace(one, talk_time=first(number, (timing, one.id))) for one in found)
