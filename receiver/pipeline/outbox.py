"""Outbox: what a batch of normalized receipts leads to, planned as rows and written in one transaction.

Pure: it is given what the store knows and returns what is to be written.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.model import (
    Call,
    DeliveryState,
    Notice,
    Outcome,
    Provenance,
    ReceiptState,
    Result,
    Transcript,
    Verdict,
)
from receiver.contract.times import from_ms
from receiver.pipeline.wanted import Wanted
from receiver.store.ids import CALL, EVENT, RECEIPT, TRANSCRIPT, Ids, encode
from receiver.store.records import Done, KnownCall, KnownTranscript, StoredReceipt, Writes

_json = msgspec.json.Encoder().encode
_MEMBERS = (
    "status",
    "call",
    "language",
    "duration",
    "created_at",
    "completed_at",
    "text",
    "speakers",
    "segments",
    "analysis",
    "error",
    "metadata",
)
"""What of a transcript says something about the call; the rest is ours."""
_LONGEST_NAME = 1000

Key = tuple[str, str, str]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a sink takes, and how long a first delivery waits (milliseconds)."""

    sink: str
    events: tuple[str, ...]
    sources: tuple[str, ...]
    first_wait: int = 0

    def takes(self, event_type: str, source: str, prefix: str) -> bool:
        """Say whether an event goes here; globs may be written with or without the prefix.

        An event of no source, such as one about a sink, passes whatever `sources` says.
        """
        full = f"{prefix}.{event_type}" if prefix else event_type
        wanted = any(fnmatchcase(event_type, glob) or fnmatchcase(full, glob) for glob in self.events)
        return wanted and (not source or any(fnmatchcase(source, glob) for glob in self.sources))


class Outbox:
    """Knows the sinks and what each source's callbacks become, and plans batch after batch."""

    def __init__(
        self, routes: Sequence[Route], ids: Ids, prefix: str = "", wanted: Mapping[str, Wanted] | None = None
    ) -> None:
        """`wanted` says by source which events are made; all, where it says nothing."""
        self.ids = ids
        self._wanted: dict[str, Wanted] = {}
        self.change(routes, prefix, wanted or {})

    def change(self, routes: Sequence[Route], prefix: str, wanted: Mapping[str, Wanted]) -> None:
        """Go by other settings from the next event on; a source that is left out is read as it was."""
        self._wanted |= wanted
        self._routes = tuple(routes)
        self._prefix = prefix
        self._chosen: dict[tuple[str, str], tuple[Route, ...]] = {}

    def routes(self, event_type: str, source: str) -> tuple[Route, ...]:
        """Return the sinks that an event goes to."""
        key = (event_type, source)
        if key not in self._chosen:
            if len(self._chosen) > 10_000:
                self._chosen.clear()
            self._chosen[key] = tuple(route for route in self._routes if route.takes(*key, self._prefix))
        return self._chosen[key]

    def makes(self, event_type: str, source: str) -> bool:
        """Say whether an event is made of a callback of a source."""
        wanted = self._wanted.get(source)
        return wanted is None or wanted.makes(event_type, self._prefix)

    def plan(self, now: int, known: Iterable[KnownTranscript] = (), calls: Iterable[KnownCall] = ()) -> "Plan":
        """Start a batch; `now` in Unix milliseconds, `known` and `calls` what the store has of its results."""
        return Plan(self, now, known, calls)


class Plan:
    """The rows of one batch."""

    def __init__(self, outbox: Outbox, now: int, known: Iterable[KnownTranscript], calls: Iterable[KnownCall]) -> None:
        self.writes = Writes()
        self._outbox = outbox
        self._now = now
        self._known: dict[Key, KnownTranscript] = {(one.source, one.operation, one.job_id): one for one in known}
        self._calls: dict[int, KnownCall] = {}
        self._call_ids: dict[str, int] = {}
        self._lost = {one.call_id for one in self._known.values() if one.call_doc is None}
        for one in self._known.values():
            self._note(KnownCall(key=one.call_key, id=one.call_id, doc=one.call_doc or b"{}"))
        for call in calls:
            self._note(call)

    def receipt(self, receipt: StoredReceipt, normalizer: str, outcomes: Sequence[Outcome]) -> None:
        """Add what one receipt became; where this raises, an outcome cannot be written, and the plan is spoiled."""
        became = [self._outcome(receipt, normalizer, outcome) for outcome in outcomes]
        done = Done(id=receipt.id, state=ReceiptState.NORMALIZED, outcome=_json(became).decode(), reason=None)
        self.writes.done.append(done)

    def unreadable(self, receipt: StoredReceipt, reason: str) -> None:
        """Add that a receipt cannot be read; it is kept, and people are told."""
        self.writes.done.append(Done(id=receipt.id, state=ReceiptState.UNREADABLE, outcome=None, reason=reason))
        summary = {
            "id": encode(RECEIPT, receipt.id),
            "source": receipt.source,
            "provider": receipt.provider,
            "received_at": from_ms(receipt.received_at),
            "size": len(receipt.body),
            "reason": reason,
        }
        self.event("ops.receipt_unreadable", receipt.source, encode(RECEIPT, receipt.id), data=summary)

    def event(
        self,
        event_type: str,
        source: str,
        subject: str,
        *,
        data: Any = None,
        time: str | None = None,
        call_id: int | None = None,
        transcript: tuple[int, int] | None = None,
        never_to: str | None = None,
    ) -> int:
        """Add an event and a delivery for each sink that takes it; return its id.

        `data` is any JSON, or `transcript` names the id and version that it is about.
        """
        number = self._outbox.ids.next()
        about, version = transcript or (None, None)
        body = None if transcript else _json(data)
        when = time or from_ms(self._now)
        self.writes.events.append((number, source, event_type, when, subject, call_id, about, version, body))
        for route in self._outbox.routes(event_type, source):
            if route.sink != never_to:
                delivery = self._outbox.ids.next()
                due = self._now + route.first_wait
                row = (delivery, route.sink, number, call_id, DeliveryState.PENDING, due, self._now)
                self.writes.deliveries.append(row)
        return number

    def _outcome(self, receipt: StoredReceipt, normalizer: str, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome, Result):
            return self._result(receipt, normalizer, outcome)
        if isinstance(outcome, Notice):
            return self._notice(receipt, outcome)
        return {"progress": outcome.job_id, "status": outcome.status}

    def _notice(self, receipt: StoredReceipt, notice: Notice) -> dict[str, Any]:
        event_type = f"{receipt.provider}.{notice.name}"
        if not self._outbox.makes(event_type, receipt.source):
            return {"ignored": event_type}
        keyed = notice.call is not None and notice.call.external_id is not None
        call_id = self._call(receipt.source, notice.call)[0] if keyed else None
        number = self.event(
            event_type,
            receipt.source,
            encode(RECEIPT, receipt.id),
            data={"provider": receipt.provider, "name": notice.name, "body": notice.body},
            time=from_ms(receipt.received_at),
            call_id=call_id,
        )
        return {"event": encode(EVENT, number)}

    def _result(self, receipt: StoredReceipt, normalizer: str, result: Result) -> dict[str, Any]:
        known = self._known.get((receipt.source, result.operation, result.job_id))
        digest = result_digest(result)
        kept_as = "new" if known is None else self._judged(known, receipt, result, digest)
        if known is not None and kept_as != "version":
            return {"transcript": encode(TRANSCRIPT, known.id), "version": known.version, "as": kept_as}
        event_type = f"{result.kind}.{_what_happened(known, result)}"
        if not self._outbox.makes(event_type, receipt.source):
            return {"ignored": event_type}
        number = known.id if known else self._outbox.ids.next()
        version = known.version + 1 if known else 1
        self._add_version(receipt, normalizer, result, digest, (number, version))
        return {"transcript": encode(TRANSCRIPT, number), "version": version, "as": kept_as}

    def _judged(self, known: KnownTranscript, receipt: StoredReceipt, result: Result, digest: bytes) -> str:  # noqa: ARG002
        """Say what a result is for a transcript that is there: `version`, or why it is none."""
        return compared(known, result, digest)

    def _add_version(
        self, receipt: StoredReceipt, normalizer: str, result: Result, digest: bytes, place: tuple[int, int]
    ) -> None:
        key = (receipt.source, result.operation, result.job_id)
        known = self._known.get(key)
        call_id, call = self._call(receipt.source, result.call, known.call_id if known else None)
        number, version = place
        doc = _json(_transcript(receipt, normalizer, result, call, place))
        self.writes.versions.append((number, version, receipt.id, self._now, normalizer, doc))
        self.writes.transcripts[key] = (
            *(number, receipt.source, receipt.provider, result.operation, result.job_id, result.kind, call_id),
            *(result.status, version, digest, result.completed_at, receipt.received_at),
        )
        self.event(
            f"{result.kind}.{_what_happened(known, result)}",
            receipt.source,
            encode(TRANSCRIPT, number),
            time=result.completed_at or from_ms(receipt.received_at),
            call_id=call_id,
            transcript=place,
        )
        self._known[key] = KnownTranscript(
            source=receipt.source,
            operation=result.operation,
            job_id=result.job_id,
            id=number,
            kind=result.kind,
            call_id=call_id,
            status=result.status,
            version=version,
            digest=digest,
            dated=result.completed_at,
            doc=doc,
            call_key=self._calls[call_id].key,
            call_doc=self._calls[call_id].doc,
            receipt_id=receipt.id,
        )

    def _call(self, source: str, facts: Call | None, belongs_to: int | None = None) -> tuple[int, Call]:
        """Return the call that a result is about, with everything known of it; make it where it is new.

        A result that names no call stays with the call that its transcript `belongs_to`; one that names a call takes
        along a call that had no name so far.
        """
        facts = facts or Call()
        key = call_key(source, facts)
        number = self._call_ids.get(key) if key else None
        if number is None and belongs_to is not None and (not key or not self._calls[belongs_to].key):
            number = belongs_to
        if number is not None:
            return number, self._learn(self._calls[number], key, facts)
        number = self._outbox.ids.next()
        call = msgspec.structs.replace(facts, id=encode(CALL, number))
        doc = _json(call)
        self.writes.calls.append((number, key, self._now, self._now, doc))
        self._note(KnownCall(key=key, id=number, doc=doc))
        return number, call

    def _learn(self, known: KnownCall, key: str | None, facts: Call) -> Call:
        before = msgspec.json.decode(known.doc, type=Call)
        news = {name: value for name, value in msgspec.structs.asdict(facts).items() if value is not None}
        call = msgspec.structs.replace(before, **news, id=encode(CALL, known.id))
        if call != before:
            doc, key = _json(call), known.key or key
            self._note(KnownCall(key=key, id=known.id, doc=doc))
            if known.id in self._lost:
                self._lost.discard(known.id)
                self.writes.calls.append((known.id, key, self._now, self._now, doc))
            else:
                change = {"id": known.id, "now": self._now, "doc": doc, "key": key, "before": known.doc}
                self.writes.changed_calls.append(change)
        return call

    def _note(self, call: KnownCall) -> None:
        self._calls[call.id] = call
        if call.key:
            self._call_ids[call.key] = call.id


def checked(said: Any) -> tuple[Outcome, ...]:
    """Return what a provider's code returned, where it is what it should be. Raises Unreadable.

    Names must be such that they are found again: SQLite ends texts in JSON at a NUL, and an index has its limits.
    """
    if not isinstance(said, tuple) or not all(isinstance(outcome, Outcome) for outcome in said):
        raise Unreadable("the normalizer returned something else than a tuple of outcomes")
    for outcome in said:
        for member, name in _names(outcome):
            if not isinstance(name, str) or "\0" in name or len(name) > _LONGEST_NAME:
                raise Unreadable(f"{member} is no text, holds a NUL, or is longer than {_LONGEST_NAME} characters")
    return said


def _names(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    if isinstance(outcome, Notice):
        yield "name", outcome.name
    else:
        yield "job_id", outcome.job_id
    if isinstance(outcome, Result):
        yield "operation", outcome.operation
    if isinstance(outcome, Result | Notice) and outcome.call is not None:
        yield "call.external_id", outcome.call.external_id or ""


def call_key(source: str, call: Call | None) -> str | None:
    """Return what results of one call have in common, or None where the provider names none."""
    return f"{source}:{call.external_id}" if call is not None and call.external_id else None


def result_digest(result: Result) -> bytes:
    """Return the digest by which copies of one result are recognised: without what may differ between copies."""
    steady = {name: value for name, value in result.metadata.items() if name not in result.volatile}
    same = msgspec.structs.replace(result, metadata=steady, volatile=frozenset())
    return hashlib.blake2b(_json(same), digest_size=16).digest()


def only_lacks(new: Any, old: Any) -> bool:
    """Say whether `new` says nothing that `old` does not: equal, but for things that are missing or empty."""
    if new is None or new in ("", [], {}):
        return True
    if isinstance(new, dict):
        return isinstance(old, dict) and all(only_lacks(value, old.get(name)) for name, value in new.items())
    if isinstance(new, list):
        return isinstance(old, list) and len(new) == len(old) and all(map(only_lacks, new, old))
    return bool(new == old)


def compared(known: KnownTranscript, result: Result, digest: bytes) -> str:
    """Say what another result for a known transcript is: `same`, `older`, `less` (it only lacks things), `version`."""
    if known.digest == digest:
        return "same"
    if known.dated and result.completed_at and _is_before(result.completed_at, known.dated):
        return "older"
    if known.doc is None:
        return "version"
    return "less" if only_lacks(content(result), msgspec.json.decode(known.doc)) else "version"


def content(result: Result) -> dict[str, Any]:
    """Return what a result says of its own as JSON has it: without its call, and without what differs between copies."""
    said = msgspec.json.decode(_json(result))
    said["metadata"] = {name: value for name, value in said["metadata"].items() if name not in result.volatile}
    return {name: said[name] for name in _MEMBERS if name != "call"}


def _is_before(one: str, other: str) -> bool:
    """Compare two times as the public shape has them, with a fraction of the second or without."""
    return one.removesuffix("Z") < other.removesuffix("Z")


def _what_happened(known: KnownTranscript | None, result: Result) -> str:
    first = known is None or (known.status == "failed" and result.status == "completed")
    return result.status if first else "updated"


def _transcript(
    receipt: StoredReceipt, normalizer: str, result: Result, call: Call, place: tuple[int, int]
) -> Transcript:
    content = {name: getattr(result, name) for name in _MEMBERS if name != "call"}
    return Transcript(
        id=encode(TRANSCRIPT, place[0]),
        version=place[1],
        source=receipt.source,
        provider=receipt.provider,
        operation=result.operation,
        job_id=result.job_id,
        job=None,
        call=call,
        received_at=from_ms(receipt.received_at),
        provenance=Provenance(
            receipt_id=encode(RECEIPT, receipt.id), verdict=Verdict(receipt.verdict), normalizer=normalizer
        ),
        **content,
    )
