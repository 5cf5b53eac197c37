"""The values that travel the path, one type a step: InboundRequest, Receipt, Result, Event, Delivery, Attempt."""

import hashlib
from enum import StrEnum
from typing import Any, Literal

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]
"""Header names in lower case and values, as they came."""


class TokenDigest(msgspec.Struct, frozen=True, gc=False):
    """What is kept of the token of a refused request: enough to compare it later, not to use it."""

    digest: bytes
    """SHA-256 of its UTF-8."""
    length: int
    """In characters."""

    @classmethod
    def of(cls, token: str) -> "TokenDigest":
        """Return what is kept of a token."""
        return cls(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), len(token))


class JobToken(msgspec.Struct, frozen=True, gc=False):
    """Stands for a token that the engine made for one job, and knows again."""

    job: str
    """`job_…`"""
    late: bool = False
    """A result came by it already, or the job was lost: what comes now counts once it is confirmed."""


class InboundRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request to the public listener: nobody knows yet who sent it."""

    source: str
    token: str | TokenDigest | JobToken | None
    """As the URL had it; its digest where the request comes from the quarantine; what it stands for where it is a job's."""
    headers: Headers
    body: bytes
    received_at: int
    """Milliseconds since 1970, UTC, by our clock."""
    method: str = "POST"
    """Something else only where a handshake may be answered: nothing but a POST is ever kept."""
    query: bytes = b""
    """What followed the `?` of the URL, as it came; for handshakes, never proof."""

    def header(self, name: str) -> str | None:
        """Return the first value of a header (name in lower case), or None."""
        wanted = name.encode("latin-1", "replace")
        for key, value in self.headers:
            if key == wanted:
                return value.decode("latin-1")
        return None


def kept_token(request: InboundRequest) -> TokenDigest | None:
    """Return what is kept of a refused request's token."""
    if isinstance(request.token, str):
        return TokenDigest.of(request.token)
    return request.token if isinstance(request.token, TokenDigest) else None


JOB_HEADER = b"@job"
"""Under this name a receipt keeps which job of ours its token was made for; no request can have a header of that name."""
LATE_HEADER = b"@late"
"""It came by a token that had brought a result before, or whose job was lost."""


class Verdict(StrEnum):
    """How a receipt was proven."""

    SIGNATURE = "signature"
    TOKEN = "token"  # noqa: S105 -- a word, not a secret
    CONFIRMED = "confirmed"
    FETCHED = "fetched"
    UNVERIFIED = "unverified"


class ReceiptState(StrEnum):
    """What became of a receipt."""

    RECEIVED = "received"
    CONFIRMING = "confirming"
    NORMALIZED = "normalized"
    UNREADABLE = "unreadable"
    GONE = "gone"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A proven request, byte for byte."""

    id: str
    source: str
    provider: str
    verdict: Verdict
    received_at: int
    headers: Headers
    body: bytes
    tries: int = 0


class Word(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One word of a segment; seconds from the start of the recording."""

    start: float | None
    end: float | None
    text: str
    confidence: float | None = None
    speaker: str | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What one speaker said without a break; seconds from the start, null where the provider gives no times."""

    start: float | None
    end: float | None
    speaker: str | None
    channel: int | str | None = None
    text: str | None
    confidence: float | None = None
    sentiment: str | None = None
    words: tuple[Word, ...] | None = None


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """One voice; `talk_time` in seconds, given or summed from segments."""

    id: str
    label: str | None = None
    role: Literal["agent", "customer"] | None = None
    talk_time: float | None = None


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """A check that the provider made: passed or not, where, and with what detail."""

    name: str
    ok: bool | None
    detail: Any = None
    at: float | None = None


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """A finding by name; `value` is the provider's own, any JSON."""

    name: str
    value: Any
    speaker: str | None = None
    start: float | None = None
    end: float | None = None
    confidence: float | None = None


Sentiment = Literal["positive", "negative", "neutral", "mixed"]


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider concluded; `raw` is its own words, any JSON."""

    summary: str | None = None
    sentiment: Sentiment | None = None
    topics: tuple[str, ...] = ()
    action_items: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    insights: tuple[Insight, ...] = ()
    raw: Any = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What several results are about; a provider leaves `id` empty, the engine gives it."""

    id: str | None = None
    external_id: str | None = None
    started_at: str | None = None
    direction: Literal["inbound", "outbound"] | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    agent_id: str | None = None
    contact_id: str | None = None
    recording_id: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Work that we asked a provider to do."""

    id: str
    recording: str | None = None
    metadata: dict[str, Any] = {}


class ResultError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the provider failed, in its own words."""

    code: str | None
    message: str | None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a transcript comes from: receipt, proof, and the normalizer with its version."""

    receipt_id: str
    verdict: Verdict
    normalizer: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt says, in our words: a transcript or an analysis, before it has an id and a version.

    `kind` chooses the event: `transcript.completed` or `analysis.completed` (`.failed`, `.updated`).
    `volatile` names members of `metadata` that may differ between copies of one result (signed URLs, processing
    times); they do not count when results are compared. Times are RFC 3339 UTC, durations seconds.
    """

    kind: Literal["transcript", "analysis"]
    operation: str
    job_id: str
    status: Literal["completed", "failed"] = "completed"
    call: Call | None = None
    language: str | None = None
    duration: float | None = None
    created_at: str | None = None
    completed_at: str | None = None
    text: str | None = None
    speakers: tuple[Speaker, ...] = ()
    segments: tuple[Segment, ...] = ()
    analysis: Analysis | None = None
    error: ResultError | None = None
    metadata: dict[str, Any] = {}
    volatile: frozenset[str] = frozenset()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's event that is no result: passed on as `<provider>.<name>`; `name` is `[A-Za-z0-9_.]+`."""

    name: str
    body: Any
    call: Call | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The provider is still at it: the job is touched, no event goes out."""

    job_id: str
    status: str


Outcome = Result | Notice | Progress
"""What a receipt can turn into; a provider returns a tuple of them."""


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """A result with its id and version: the public shape, in events, API and exports."""

    id: str
    version: int
    source: str
    provider: str
    operation: str
    job_id: str
    job: Job | None
    call: Call | None
    status: Literal["completed", "failed"]
    language: str | None
    duration: float | None
    received_at: str
    created_at: str | None
    completed_at: str | None
    text: str | None
    speakers: tuple[Speaker, ...]
    segments: tuple[Segment, ...]
    analysis: Analysis | None
    error: ResultError | None
    metadata: dict[str, Any]
    provenance: Provenance


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What happened, as CloudEvents attributes; `data` is JSON text, `call_id` orders events of one call."""

    id: str
    source: str
    """`<public_url>/sources/<name>`."""
    source_name: str
    type: str
    time: str
    subject: str
    call_id: str | None
    data: bytes
    dataschema: str | None = None

    def attributes(self) -> dict[str, str]:
        """Return the CloudEvents context attributes, in their usual order."""
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "subject": self.subject,
            "datacontenttype": "application/json",
        }
        if self.dataschema:
            attributes["dataschema"] = self.dataschema
        return attributes

    def cloudevent(self) -> bytes:
        """Return the event in CloudEvents' structured JSON form; the data is spliced in, not parsed."""
        return b'%b,"data":%b}' % (msgspec.json.encode(self.attributes())[:-1], self.data)


class DeliveryState(StrEnum):
    """What became of an event on its way to one sink."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"


class SinkState(StrEnum):
    """Whether a sink is sent to."""

    RUNNING = "running"
    PAUSED = "paused"
    TRIPPED = "tripped"


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event on its way to one sink; `attempt` counts from 1 and is written down before the send starts."""

    id: str
    sink: str
    attempt: int
    event: Event
