"""CallCov: call analysis with compliance, quality and coaching results.

Sources: S0 guides/submitting-analysis, S1 guides/webhooks, S2 api/analysis/webhook, S3 api/analysis/create,
S4 api/analysis/retrieve, S5 api/analysis/list, S6 api/fields, S7 api/fields/examples, S8 guides/analysis-results,
S8es its Spanish page, S9 guides/error-handling, S10 api/overview, S12 guides/authentication-guide,
S13 getting-started/first-request; all at docs.callcov.com.
The callback's body is the analysis object itself, in one of two generations: `id` and `results` (S2), or `analysis_id`
and `analysis` (S0). A signature exists (S1, S2), but no readable page says which, so the scheme is a setting.
"""

import uuid
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import msgspec

from handlers.providers.callcov.answers import with_speakers
from handlers.providers.callcov.api import CallCovApi
from handlers.providers.callcov.settings import CallCovSettings
from receiver.contract.door import Door
from receiver.contract.errors import Unreadable
from receiver.contract.model import (
    Analysis,
    Call,
    Flag,
    InboundRequest,
    Insight,
    Outcome,
    Progress,
    Receipt,
    Result,
    ResultError,
    Segment,
    Sentiment,
)
from receiver.contract.proof import Check, Proven, Refused
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.reading import (
    Table,
    first,
    identifier,
    insights,
    joined,
    json_name,
    number,
    read_object,
    speakers,
    table,
    text,
    texts,
)
from receiver.contract.times import to_rfc3339

_SENTIMENTS: Mapping[str, Sentiment] = {
    "positive": "positive",
    "very positive": "positive",
    "negative": "negative",
    "very negative": "negative",
    "neutral": "neutral",
    "mixed": "mixed",
}

_CHECKS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "identity_verification": (("verified",), ("flagged",)),
    "mandatory_disclosures": (("read",), ("missing_disclosures",)),
    "purpose_declaration": (("disclosed",), ("flagged",)),
    "prohibited_phrases": ((), ("used", "instances")),
    "sensitive_data": ((), ("shared", "instances")),
}
"""Compliance checks (S6): the members that are true, and those that are false or empty, where the call passed."""

__all__ = ["CallCov", "CallCovSettings"]

_OUR_ADDRESS = "our own address; it may hold the source's token"
_VOLATILE = frozenset({"audio.url", "processing_time_ms", "estimated_completion"})
_NO_CALL = Call()


class CallCov(Provider[CallCovSettings]):
    """Knows CallCov's callbacks: the analysis object, of both generations."""

    name = "callcov"
    Settings = CallCovSettings
    normalizer = "callcov/1"
    setup = "Give it as `webhook_url` with every analysis you submit; CallCov keeps no list of addresses."
    api_settings = ("api_key",)
    ignored: ClassVar[Mapping[str, str]] = {
        "object": 'the constant "analysis" (S3); any other value is kept in metadata',
        "webhook_url": _OUR_ADDRESS,
        "metadata.webhook_url": _OUR_ADDRESS,
    }

    def __init__(self, source: str, settings: CallCovSettings) -> None:
        super().__init__(source, settings)
        self._door = Door(settings, settings.signature, settings.secrets, settings.require)

    def api(self) -> CallCovApi | None:
        """Return how CallCov is asked, where an API key is set."""
        return CallCovApi(self.settings, self.settings.api_key) if self.settings.api_key else None

    def agreed(self, came: bytes, reread: bytes) -> bytes:
        """Return what was read, with the callback's speakers where it has none."""
        return with_speakers(came, reread)

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof that the settings allow, in words."""
        return self._door.ways()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Say who sent `request`: by signature, by token, or by both."""
        return self._door.prove(request, now)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return what was compared, and how each secret fares."""
        return self._door.steps(request)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """Return which proof is right by itself, and what would have matched the signature."""
        return self._door.explain(request, now)

    def message_key(self, proven: Proven) -> bytes:
        """Return status and id, for a completed analysis with the digest of transcript and results as they came."""
        body = proven.request.body
        try:
            head = _read_head(body)
        except (ValueError, RecursionError):
            return _encode((_digest(body),))
        job_id = identifier(head.id) or identifier(head.analysis_id)
        if job_id is None or not isinstance(head.status, str):
            return _encode((_digest(body),))
        if head.status.lower() != "completed":
            return _encode((head.status, job_id))
        return _encode((head.status, job_id, _digest(b"\0".join((head.transcript, head.results, head.analysis)))))

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn a delivery into one result, or into progress where its status is neither completed nor failed."""
        body = read_object(receipt.body)
        own = table(body, "metadata") if identifier(body.get("id")) else {}
        job_id, status = _job_id(body), body.pop("status", None)
        if not isinstance(status, str):
            raise Unreadable(f"status is of type {json_name(status)}; a string was expected")
        if status.lower() == "completed":
            return (self._result(job_id, "completed", body, own),)
        if status.lower() == "failed":
            return (self._result(job_id, "failed", body, own),)
        return (Progress(job_id=job_id, status=status),)

    def _result(self, job_id: str, status: Literal["completed", "failed"], body: Table, own: Table) -> Result:
        call, audio, spoken = table(body, "call"), table(body, "audio"), table(body, "transcript")
        segments, oddities = _segments(spoken)
        return Result(
            kind="transcript",
            operation="call-analysis",
            job_id=job_id,
            status=status,
            call=self._call(body, call),
            language=first(text, (spoken, "language"), (body, "language")),
            duration=_duration(call, audio),
            created_at=first(self._time, (body, "created"), (body, "created_at")),
            completed_at=first(self._time, (own, "completed_at"), (body, "completed_at")),
            text=first(text, (spoken, "text"), (body, "transcript")) or joined(segments),
            speakers=speakers(segments, self.settings.roles),
            segments=segments,
            analysis=_analysis(_results(body), oddities),
            error=_error(body, own) if status == "failed" else None,
            metadata=_left_over(body, own, {"call": call, "audio": audio, "transcript": spoken}),
            volatile=_VOLATILE,
        )

    def _time(self, value: Any) -> str | None:
        return to_rfc3339(value, self.settings.timezone)

    def _call(self, body: Table, call: Table) -> Call | None:
        found = Call(
            started_at=first(self._time, (body, "call_timestamp"), (call, "call_timestamp")),
            direction=first(_direction, (body, "call_direction"), (call, "call_direction"), (call, "call_type")),
            agent_id=first(identifier, (call, "agent_id"), (body, "agent_id")),
            contact_id=first(identifier, (call, "contact_id"), (body, "contact_id")),
        )
        return None if found == _NO_CALL else found

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return `body` as another analysis; it grows by repeating the transcript, where there is one."""
        document = read_object(body)
        seed = blake2b(serial.encode(), digest_size=16).digest()
        if "id" in document:
            document["id"] = str(uuid.UUID(bytes=seed, version=4))
        if "analysis_id" in document:
            document["analysis_id"] = f"anl_{seed.hex()}"
        if grow_to and (missing := grow_to - len(_encode(document))) > 0:
            _grow(document, missing)
        return _encode(document)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the request that CallCov would send with `body`, proven by the first secret and the first token."""
        token, headers = self._door.sign(body, now)
        return SignedRequest(token=token, headers=((b"content-type", b"application/json"), *headers), body=body)


class _Head(msgspec.Struct, gc=False):
    """What identifies a delivery; transcript and results stay the bytes that they are."""

    id: Any = None
    analysis_id: Any = None
    status: Any = None
    transcript: msgspec.Raw = msgspec.Raw()
    results: msgspec.Raw = msgspec.Raw()
    analysis: msgspec.Raw = msgspec.Raw()


_read_head = msgspec.json.Decoder(_Head).decode
_encode = msgspec.json.Encoder().encode


def _digest(value: bytes) -> str:
    return blake2b(value, digest_size=16).hexdigest()


def _job_id(body: Table) -> str:
    job_id = first(identifier, (body, "id"), (body, "analysis_id"))
    if job_id is None:
        have = [f"{key} is {json_name(body[key])}" for key in ("id", "analysis_id") if key in body]
        raise Unreadable(f"neither id nor analysis_id identifies it: {', '.join(have) or 'both are absent'}")
    return job_id


def _direction(value: Any) -> Literal["inbound", "outbound"] | None:
    return value if value in ("inbound", "outbound") else None


def _duration(call: Table, audio: Table) -> float | None:
    seconds = first(number, (call, "duration_seconds"), (audio, "duration_seconds"))
    milliseconds = number(call.get("duration_ms"))
    if milliseconds is None or (seconds is not None and abs(milliseconds / 1000 - seconds) >= 0.0005):
        return seconds
    del call["duration_ms"]
    return milliseconds / 1000 if seconds is None else seconds


def _segments(spoken: Table) -> tuple[tuple[Segment, ...], list[Insight]]:
    """Take the segments out of a transcript; members that a segment has no place for become insights."""
    items = spoken.get("segments")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return (), []
    segments = tuple(_segment(item) for item in spoken.pop("segments"))
    oddities = [
        Insight(name=f"segment.{key}", value=value, speaker=segment.speaker, start=segment.start, end=segment.end)
        for segment, item in zip(segments, items, strict=True)
        for key, value in item.items()
        if value is not None
    ]
    return segments, oddities


def _segment(item: Table) -> Segment:
    return Segment(
        start=first(number, (item, "start")),
        end=first(number, (item, "end")),
        speaker=first(identifier, (item, "speaker")),
        text=first(text, (item, "text")),
        confidence=first(number, (item, "confidence")),
    )


def _results(body: Table) -> Any:
    return body.pop("results" if body.get("results") is not None else "analysis", None)


def _analysis(results: Any, oddities: list[Insight]) -> Analysis | None:
    if not isinstance(results, dict):
        found = (*insights("results", results), *oddities)
        return Analysis(insights=found, raw=results) if found else None
    left = dict(results)
    flags, more = _flags(table(left, "compliance"))
    return Analysis(
        summary=first(text, (left, "summary")),
        sentiment=_sentiment(left),
        topics=first(texts, (left, "topics")) or (),
        action_items=first(texts, (left, "action_items")) or (),
        flags=flags,
        insights=(*insights("compliance", more), *(one for key in left for one in insights(key, left[key])), *oddities),
        raw=results,
    )


def _sentiment(left: Table) -> Sentiment | None:
    """Read a recognisable word; one that says more than ours is left over."""
    word = left.get("sentiment")
    sentiment = _SENTIMENTS.get(word.lower().replace("_", " ")) if isinstance(word, str) else None
    if word == sentiment:
        left.pop("sentiment", None)
    return sentiment


def _flags(compliance: Table) -> tuple[tuple[Flag, ...], Table]:
    """Return a flag for each check that is known, and the other members."""
    known = {key: value for key, value in compliance.items() if key in _CHECKS and value and isinstance(value, dict)}
    others = {key: value for key, value in compliance.items() if key not in known}
    return tuple(_flag(key, dict(check)) for key, check in known.items()), others


def _flag(key: str, check: Table) -> Flag:
    good, bad = _CHECKS[key]
    said = [check[member] for member in good if isinstance(check.get(member), bool)]
    said += [not check[member] for member in bad if isinstance(check.get(member), bool)]
    said += [False for member in bad if isinstance(check.get(member), list) and check[member]]
    at = first(number, (check, "timestamp"))
    detail = {member: value for member, value in check.items() if value is not None}
    return Flag(name=key, ok=all(said) if said else None, detail=detail, at=at)


def _error(body: Table, own: Table) -> ResultError | None:
    """Take the error out of the three places that have been documented: metadata (S4), top level (S1), `error` (S0)."""
    error = table(body, "error")
    code = first(identifier, (error, "code"))
    message = first(text, (own, "error_message"), (body, "error_message"), (body, "error"), (error, "message"))
    if error:
        body["error"] = error
    return ResultError(code=code, message=message) if code or message else None


def _left_over(body: Table, own: Table, parts: Mapping[str, Table]) -> Table:
    """Return what has no place of its own: CallCov's or the submitter's metadata, and the rest under its path."""
    kept = {key: value for key, value in (own or table(body, "metadata")).items() if key != "webhook_url"}
    rest = {f"{part}.{key}": value for part, members in parts.items() for key, value in members.items()}
    for key, value in {**rest, **body}.items():
        if key != "webhook_url" and (key, value) != ("object", "analysis"):
            kept[f"callcov.{key}" if key in kept else key] = value
    return {key: value for key, value in kept.items() if value is not None}


def _grow(document: Table, missing: int) -> None:
    spoken = document.get("transcript")
    if isinstance(spoken, dict) and isinstance(spoken.get("segments"), list) and spoken["segments"]:
        spoken["segments"] *= missing // (len(_encode(spoken["segments"])) - 1) + 2
