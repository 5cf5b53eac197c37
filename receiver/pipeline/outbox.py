"""Outbox: what a batch of normalized receipts leads to, planned as rows and written in one transaction.

Pure: it is given what the store knows and returns what is to be written.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

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
from receiver.pipeline.comparing import MEMBERS, compared, result_digest
from receiver.pipeline.condition import Condition, Happened
from receiver.pipeline.joining import KnownJobs, call_key, change, joined_to
from receiver.pipeline.wanted import Wanted
from receiver.store.ids import CALL, EVENT, RECEIPT, TRANSCRIPT, Ids, encode
from receiver.store.jobs import JobRow
from receiver.store.records import Done, DueDelivery, KnownCall, KnownTranscript, StoredReceipt, Writes

_json = msgspec.json.Encoder().encode
_ASK_AGAIN_MS = 300_000
"""After which a job is asked about of which nothing was known but that the provider is at it."""

Key = tuple[str, str, str]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a sink takes, and how long a first delivery waits (milliseconds)."""

    sink: str
    events: tuple[str, ...]
    sources: tuple[str, ...]
    first_wait: int = 0
    where: Condition | None = None

    def takes(self, event_type: str, source: str, prefix: str) -> bool:
        """Say whether an event goes here; globs may be written with or without the prefix.

        An event of no source, such as one about a sink, passes whatever `sources` says.
        """
        full = f"{prefix}.{event_type}" if prefix else event_type
        wanted = any(fnmatchcase(event_type, glob) or fnmatchcase(full, glob) for glob in self.events)
        return wanted and (not source or any(fnmatchcase(source, glob) for glob in self.sources))

    def holds(self, happened: Happened) -> bool:
        """Say whether an event that the globs let through goes here."""
        return self.where is None or self.where.holds(happened, self.sink)


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

    def plan(
        self,
        now: int,
        known: Iterable[KnownTranscript] = (),
        calls: Iterable[KnownCall] = (),
        jobs: KnownJobs | None = None,
    ) -> "Plan":
        """Start a batch; `now` in Unix milliseconds, the rest is what the store has of its results."""
        return Plan(self, now, known, calls, jobs)


class Plan:
    """The rows of one batch."""

    def __init__(
        self,
        outbox: Outbox,
        now: int,
        known: Iterable[KnownTranscript],
        calls: Iterable[KnownCall],
        jobs: KnownJobs | None = None,
    ) -> None:
        self.writes = Writes()
        self._jobs = jobs or KnownJobs()
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
        transcript: tuple[int, int, bytes] | None = None,
        never_to: str | None = None,
    ) -> int:
        """Add an event and a delivery for each sink that takes it; return its id.

        `data` is any JSON, or `transcript` gives the id, the version and the JSON of what it is about.
        """
        number = self._outbox.ids.next()
        about, version, doc = transcript or (None, None, _json(data))
        body = None if transcript else doc
        when = time or from_ms(self._now)
        self.writes.events.append((number, source, event_type, when, subject, call_id, about, version, body))
        happened = Happened(DueDelivery(0, 0, number, source, event_type, when, subject, call_id, doc))
        for route in self._outbox.routes(event_type, source):
            if route.sink != never_to and route.holds(happened):
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
        if (job := self._jobs.of(receipt, outcome)) is not None:
            ask = self._now + _ASK_AGAIN_MS
            self.writes.touched_jobs.append({"id": job.id, "job_id": outcome.job_id, "next_poll": ask})
        return {"progress": outcome.job_id, "status": outcome.status}

    def _notice(self, receipt: StoredReceipt, notice: Notice) -> dict[str, Any]:
        event_type = f"{receipt.provider}.{notice.name}"
        if not self._outbox.makes(event_type, receipt.source):
            return {"ignored": event_type}
        keyed = notice.call is not None and notice.call.external_id is not None
        call_id = self.call(call_key(receipt.source, notice.call), notice.call)[0] if keyed else None
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
        joined = self._jobs.joined(receipt, result)
        became = self._transcribed(receipt, normalizer, result)
        if joined.job is not None:
            self.writes.ended_jobs.append(change(joined.job, receipt, result))
            if self._jobs.ended(joined.job, result.status):
                self.call_completed(receipt.source, joined.key, joined.call)
        return became

    def _transcribed(self, receipt: StoredReceipt, normalizer: str, result: Result) -> dict[str, Any]:
        known = self._known.get((receipt.source, result.operation, result.job_id))
        digest = result_digest(result)
        kept_as = "new" if known is None else self._judged(known, receipt, result, digest)
        if known is not None and kept_as == "more":
            now = self._said(receipt, normalizer, result, digest, (known.id, known.version))
            self._amend(known, now, normalizer, receipt.received_at)
        if known is not None and kept_as != "version":
            return {"transcript": encode(TRANSCRIPT, known.id), "version": known.version, "as": kept_as}
        event_type = f"{result.kind}.{_what_happened(known, result)}"
        if not self._outbox.makes(event_type, receipt.source):
            return {"ignored": event_type}
        number = known.id if known else self._outbox.ids.next()
        version = known.version + 1 if known else 1
        self._add_version(receipt, normalizer, result, digest, (number, version))
        return {"transcript": encode(TRANSCRIPT, number), "version": version, "as": kept_as}

    def _judged(self, known: KnownTranscript, receipt: StoredReceipt, result: Result, digest: bytes) -> str:
        """Say what a result is for a transcript that is there: `version`, `more`, or why it is neither."""
        return compared(known, result, digest, fetched=receipt.verdict == Verdict.FETCHED)

    def _add_version(
        self, receipt: StoredReceipt, normalizer: str, result: Result, digest: bytes, place: tuple[int, int]
    ) -> None:
        key = (receipt.source, result.operation, result.job_id)
        happened = _what_happened(self._known.get(key), result)
        now = self._said(receipt, normalizer, result, digest, place)
        doc = now.doc or b"{}"
        self.writes.versions.append((*place, receipt.id, self._now, normalizer, doc))
        self.writes.transcripts[key] = (
            *(now.id, receipt.source, receipt.provider, result.operation, result.job_id, result.kind, now.call_id),
            *(result.status, now.version, digest, result.completed_at, receipt.received_at),
        )
        self.event(
            f"{result.kind}.{happened}",
            receipt.source,
            encode(TRANSCRIPT, now.id),
            time=result.completed_at or from_ms(receipt.received_at),
            call_id=now.call_id,
            transcript=(*place, doc),
        )

    def _said(
        self, receipt: StoredReceipt, normalizer: str, result: Result, digest: bytes, place: tuple[int, int]
    ) -> KnownTranscript:
        """Note what a transcript says from now on; return it."""
        key = (receipt.source, result.operation, result.job_id)
        known = self._known.get(key)
        joined = self._jobs.joined(receipt, result)
        call_id, call = self.call(joined.key, joined.call, known.call_id if known else None)
        made = _transcript(receipt, normalizer, result, call, place)
        self._known[key] = KnownTranscript(
            source=receipt.source,
            operation=result.operation,
            job_id=result.job_id,
            id=place[0],
            kind=result.kind,
            call_id=call_id,
            status=result.status,
            version=place[1],
            digest=digest,
            dated=result.completed_at,
            doc=_json(msgspec.structs.replace(made, job=joined.public)),
            call_key=self._calls[call_id].key,
            call_doc=self._calls[call_id].doc,
            receipt_id=receipt.id,
        )
        return self._known[key]

    def adopted(self, known: KnownTranscript, job: JobRow) -> None:
        """A job is known now whose result was here before: the transcript names it, and joins its call; that is no event."""
        said = msgspec.json.decode(known.doc, type=Transcript) if known.doc else None
        if said is None or said.job is not None:
            return
        call = msgspec.structs.replace(said.call, id=None) if said.call else None
        joined = joined_to(job, known.source, call)
        call_id, call = self.call(joined.key, joined.call, known.call_id)
        doc = _json(msgspec.structs.replace(said, job=joined.public, call=call))
        now = msgspec.structs.replace(known, doc=doc, call_id=call_id)
        self._amend(known, now, said.provenance.normalizer, None)

    def _amend(self, known: KnownTranscript, now: KnownTranscript, normalizer: str, received_at: int | None) -> None:
        """Have a version say more than before, under its number and without an event."""
        key = (known.source, known.operation, known.job_id)
        place = (now.id, now.version)
        if key in self.writes.transcripts:  # it was made in this very batch
            row = self.writes.transcripts[key]
            self.writes.transcripts[key] = (*row[:6], now.call_id, *row[7:9], now.digest, now.dated, received_at)
            rows = self.writes.versions
            at = next(number for number, row in enumerate(rows) if row[:2] == place)
            rows[at] = (*place, now.receipt_id, self._now, normalizer, now.doc)
            return
        before = self.writes.amended.get(place, {"was": known.receipt_id})
        self.writes.amended[place] = {
            **before,
            **dict(zip(("id", "version"), place, strict=True)),
            **{name: getattr(now, name) for name in ("receipt_id", "doc", "call_id", "digest", "dated")},
            "normalizer": normalizer,
            "received_at": received_at,
        }

    def call_completed(self, source: str, key: str | None, facts: Call | None) -> None:
        """Add that nothing more is waited for of a call's jobs."""
        if self._outbox.makes("call.completed", source):
            number, call = self.call(key, facts)
            self.event("call.completed", source, encode(CALL, number), data=call, call_id=number)

    def call(self, key: str | None, facts: Call | None, belongs_to: int | None = None) -> tuple[int, Call]:
        """Return the call of a key, with everything known of it and the facts added; make it where it is new.

        A result that names no call stays with the call that its transcript `belongs_to`; one that names a call takes
        along a call that had no name so far.
        """
        facts = facts or Call()
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


def _what_happened(known: KnownTranscript | None, result: Result) -> str:
    first = known is None or (known.status == "failed" and result.status == "completed")
    return result.status if first else "updated"


def _transcript(
    receipt: StoredReceipt, normalizer: str, result: Result, call: Call, place: tuple[int, int]
) -> Transcript:
    content = {name: getattr(result, name) for name in MEMBERS if name != "call"}
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
