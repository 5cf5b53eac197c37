"""Rows as the steps hand them to the store and get them back; ids are integers here, text outside."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from receiver.contract.model import Headers, ReceiptState, Verdict

_HALVES = struct.Struct(">qq")


class NewReceipt(msgspec.Struct, frozen=True, gc=False):
    """A proven request about to be kept."""

    id: int
    source: str
    provider: str
    day: int
    key: int
    key_rest: int
    verdict: Verdict
    state: ReceiptState
    received_at: int
    size: int
    checks: str | None
    headers: bytes
    body: bytes


class Kept(msgspec.Struct, frozen=True, gc=False):
    """The answer to keeping: the receipt's id, or that of the first copy."""

    id: int
    duplicate: bool


class StoredReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt on its way to be normalized."""

    id: int
    source: str
    provider: str
    verdict: str
    received_at: int
    tries: int
    headers: bytes
    body: bytes


class KnownTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript as it stands, before another receipt changes it."""

    source: str
    operation: str
    job_id: str
    id: int
    kind: str
    call_id: int
    status: str
    version: int
    digest: bytes
    dated: str | None
    doc: bytes | None
    """None where its retention has passed."""
    call_key: str | None
    call_doc: bytes | None
    receipt_id: int = 0
    """Whose words the newest version holds."""


class KnownCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it stands; without a key, results join it only by their transcript."""

    key: str | None
    id: int
    doc: bytes


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a receipt ended: its state, what it became (JSON), and why it is unreadable."""

    id: int
    state: ReceiptState
    outcome: str | None
    reason: str | None


class Writes(msgspec.Struct, kw_only=True):
    """Everything that a batch of receipts leads to, written in one transaction."""

    calls: list[tuple[Any, ...]] = []
    changed_calls: list[dict[str, Any]] = []
    transcripts: dict[tuple[str, str, str], tuple[Any, ...]] = {}
    versions: list[tuple[Any, ...]] = []
    amended: dict[tuple[int, int], dict[str, Any]] = {}
    """Versions that say more than before, by transcript and number: the parameters of `amend_version`, `amend_transcript`."""
    events: list[tuple[Any, ...]] = []
    deliveries: list[tuple[Any, ...]] = []
    done: list[Done] = []
    redone: list[dict[str, Any]] = []
    """Receipts that were read again: what they are now, and `was_state` and `was_outcome`."""
    ended_jobs: list[dict[str, Any]] = []
    """Jobs whose results are in: `id`, `state`, `job_id`, `at`."""
    submitted_jobs: list[dict[str, Any]] = []
    """Jobs that the provider took: the parameters of `job_submitted` but for the time."""
    became_jobs: list[dict[str, Any]] = []
    """Jobs in another state: the parameters of `job_became` but for the time."""
    touched_jobs: list[dict[str, Any]] = []
    """Jobs that the provider says it is at: `id`, `job_id`, `next_poll`."""


class Step(NamedTuple):
    """A statement of a transaction that asks nothing of the others: run once, for each of some parameters, or for rows."""

    name: str
    params: Mapping[str, Any] | None = None
    each: Sequence[Mapping[str, Any]] = ()
    rows: Sequence[tuple[Any, ...]] = ()


class DueDelivery(msgspec.Struct, array_like=True, gc=False):
    """A delivery whose time has come, with its event; of a large one the store may know the size only at first."""

    id: int
    attempts: int
    event_id: int
    source: str
    type: str
    time: str
    subject: str
    call_id: int | None
    data: bytes
    size: int = 0
    inline: int = 1
    """1 where `data` is there, 0 where it must be read yet."""
    follows: int = 0
    """1 where earlier deliveries of its call are this process's and not done."""
    place: int = 0
    """What a call's deliveries go by; 0 where that is `id`."""
    taken_at: float = 0.0
    """When it was taken, by `time.monotonic`."""


class Tried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one attempt ended. `next_at` None with `state` pending never occurs; `give_back` 1 returns the attempt."""

    delivery_id: int
    number: int
    started_at: int
    duration: int
    outcome: str
    detail: str | None
    state: str
    next_at: int = 0
    give_back: int = 0


class SinkRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a sink."""

    name: str
    state: str
    failures: int = 0
    reason: str | None = None
    probe_at: int = 0
    updated_at: int = 0


def redelivery_key(source: str, message_key: bytes, salt: int = 0) -> tuple[int, int]:
    """Return the two 64-bit halves of a message key's digest: the indexed one, and the one compared on a hit.

    `salt` is raised where the first halves of two different keys meet, so that neither callback is lost.
    """
    digest = hashlib.blake2b(b"%s\0%d\0%s" % (source.encode(), salt, message_key), digest_size=16).digest()
    high, low = _HALVES.unpack(digest)
    return high, low


def pack_headers(headers: Headers) -> bytes:
    """Write headers as they are kept: `name:value`, a line each; neither can hold a line end."""
    return b"\n".join([name + b":" + value for name, value in headers])


def unpack_headers(stored: bytes) -> Headers:
    """Read headers as they are kept."""
    pairs = (line.partition(b":") for line in stored.split(b"\n") if line)
    return tuple((name, value) for name, _, value in pairs)
