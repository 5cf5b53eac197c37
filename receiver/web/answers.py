"""What the admin API answers with, as types: the document that describes it is made of them."""

from typing import Any, Generic, Literal, TypeVar

import msgspec

from receiver.contract.model import Call, DeliveryState, ReceiptState, SinkState, Verdict
from receiver.contract.proof import Check
from receiver.pipeline.operating.reprocess import Ending, Summary
from receiver.store.jobs import JobState
from receiver.store.shapes import Status

ItemT = TypeVar("ItemT")


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: an object with these members, and no others."""


class PageOf(Answer, Generic[ItemT], frozen=True, kw_only=True):
    """A page of a list, newest first; `next` is the cursor of what follows, null at the end."""

    items: list[ItemT]
    next: str | None


class ReceiptItem(Answer, frozen=True, kw_only=True):
    """A proven callback, without its body; values of headers that could be secrets are masked."""

    id: str
    source: str
    provider: str
    verdict: Verdict
    state: ReceiptState
    tries: int
    received_at: str
    size: int
    reason: str | None
    outcome: Any
    checks: list[Check]
    headers: list[tuple[str, str]]


class TranscriptItem(Answer, frozen=True, kw_only=True):
    """What routes a transcript, without what it says."""

    id: str
    version: int
    kind: Literal["transcript", "analysis"]
    source: str
    provider: str
    operation: str
    job_id: str
    call_id: str
    status: Status
    received_at: str


class VersionItem(Answer, frozen=True, kw_only=True):
    """Where a version of a transcript comes from."""

    version: int
    receipt_id: str
    created_at: str
    normalizer: str


class AnswerItem(Answer, frozen=True, kw_only=True):
    """A question about a transcript, and what its source answered."""

    version: int
    source: str
    asked_at: str
    question: str
    answer: str


class CallItem(Call, frozen=True, kw_only=True):
    """A call, with everything known of it, and when it was first and last heard of."""

    created_at: str
    updated_at: str


class CallWhole(CallItem, frozen=True, kw_only=True):
    """A call with what routes its transcripts."""

    transcripts: list[TranscriptItem]


class DeliveryItem(Answer, frozen=True, kw_only=True):
    """An event on its way to a sink."""

    id: str
    sink: str
    event_id: str
    type: str
    source: str
    state: DeliveryState
    attempts: int
    next_at: str | None
    detail: str | None
    created_at: str
    updated_at: str


class AttemptItem(Answer, frozen=True, kw_only=True):
    """One try of a delivery; its duration in seconds."""

    id: str
    number: int
    started_at: str
    duration: float
    outcome: str
    detail: str | None


class DeliveryWhole(DeliveryItem, frozen=True, kw_only=True):
    """A delivery with its attempts, oldest first."""

    attempts_made: list[AttemptItem]


class EventItem(Answer, frozen=True, kw_only=True):
    """What happened; `data` is a transcript for `transcript.*` and `analysis.*`."""

    id: str
    type: str
    source: str
    time: str
    subject: str
    call_id: str | None
    data: Any


class EventWhole(EventItem, frozen=True, kw_only=True):
    """An event with its deliveries."""

    deliveries: list[DeliveryItem]


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as sinks are sent it."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: str
    subject: str
    datacontenttype: Literal["application/json"]
    data: Any
    dataschema: str | msgspec.UnsetType = msgspec.UNSET


class JobItem(Answer, frozen=True, kw_only=True):
    """Work that a provider was asked to do; `late` in seconds."""

    id: str
    source: str
    provider: str
    operation: str
    job_id: str | None
    state: JobState
    file: str | None
    recording: str | None
    has_recording: bool
    size: int | None
    call: Call | None
    language: str | None
    metadata: dict[str, Any]
    options: dict[str, Any]
    adopted: bool
    created_at: str
    submitted_at: str | None
    result_at: str | None
    deadline: str | None
    late: float | None
    next_poll: str | None
    polls: int
    detail: str | None


class SinkItem(Answer, frozen=True, kw_only=True):
    """A sink: its state, and how many deliveries of each state wait; `kind` null is configured no more."""

    name: str
    kind: str | None
    state: SinkState
    failures: int
    reason: str | None
    probe_at: str | None
    backlog: dict[DeliveryState, int]
    oldest_pending: str | None
    updated_at: str | None


class SourceItem(Answer, frozen=True, kw_only=True):
    """A source: when it was heard, and how many of its receipts are not normalized."""

    name: str
    provider: str | None
    last_receipt: str | None
    last_24h: int
    received: int
    confirming: int
    unreadable: int
    oldest_waiting: str | None


class SegmentItem(Answer, frozen=True, kw_only=True):
    """A segment with words in it; `marks` are pairs of from and to in the snippet, in characters."""

    transcript_id: str
    call_id: str
    source: str
    provider: str
    operation: str
    job_id: str
    status: Status
    received_at: str
    segment: int | None
    start: float | None
    end: float | None
    speaker: str | None
    label: str | None
    role: str | None
    sentiment: str | None
    snippet: str
    marks: list[tuple[int, int]]


class FoundSegments(PageOf[SegmentItem], frozen=True, kw_only=True):
    """What was found; where the best come first, how many of the newest matches were ranked, and whether that is all."""

    ranked: int | msgspec.UnsetType = msgspec.UNSET
    all_ranked: bool | msgspec.UnsetType = msgspec.UNSET


class ChangeItem(Answer, frozen=True, kw_only=True):
    """What reading a receipt again changes; `differences` have a path, and what was there and is there now."""

    subject: str
    event: str | None
    version: int | None
    differences: list[dict[str, Any]]


class RedoneItem(Answer, frozen=True, kw_only=True):
    """What became of one receipt that was read again."""

    id: str
    source: str
    result: Ending
    normalizer: str
    reason: str | None
    changes: list[ChangeItem]
    deliveries: int


class Reprocessed(Answer, frozen=True, kw_only=True):
    """What reading receipts again came to; `items` are the first that differ."""

    summary: Summary
    items: list[RedoneItem]


class QuarantinedItem(Answer, frozen=True, kw_only=True):
    """A refused request."""

    id: str
    source: str
    reason: str
    received_at: str
    size: int
    checks: list[Check]


class QuarantinedWhole(Answer, frozen=True, kw_only=True):
    """A refused request with what can be compared with the sender's own notes."""

    id: str
    received_at: str
    source: str
    reason: str
    checks: list[Check]
    body: str
    url_token: str
    headers: list[tuple[str, str]]


class Admitted(Answer, frozen=True, kw_only=True):
    """What became of a refused request: its receipt, or why it still does not prove."""

    id: str
    receipt: str | None
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET
    why: str | None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was not done (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | msgspec.UnsetType = msgspec.UNSET
    needed: str | msgspec.UnsetType = msgspec.UNSET
