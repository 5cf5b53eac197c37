"""Replan: what receipts that are read again lead to; as `outbox`, but for what they said before."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.model import Notice, Outcome, ReceiptState, Result, Verdict
from receiver.pipeline.comparing import compared, content, only_lacks, without_volatile
from receiver.pipeline.joining import KnownJobs
from receiver.pipeline.outbox import Key, Outbox, Plan
from receiver.store.ids import EVENT, TRANSCRIPT, decode, encode
from receiver.store.records import KnownCall, KnownTranscript, StoredReceipt

_SUPERSEDED = "older"


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt was before it is read again."""

    id: int
    state: str
    outcome: str | None
    reason: str | None

    def events(self) -> list[str]:
        """Return the ids of the events that it became, but for those about transcripts."""
        became = msgspec.json.decode(self.outcome) if self.outcome else []
        return [one["event"] for one in became if "event" in one]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A new version of a transcript, or an event: its type, and the JSON of it before (None: there was none) and now."""

    subject: str
    event: str
    version: int | None
    before: bytes | None
    after: bytes


class Replan(Plan):
    """The rows of one step."""

    def __init__(
        self,
        outbox: Outbox,
        now: int,
        known: Iterable[KnownTranscript],
        calls: Iterable[KnownCall],
        *,
        events: Mapping[int, tuple[str, bytes]],
        jobs: KnownJobs | None = None,
    ) -> None:
        """`events`: type and data of the events that the step's receipts became before."""
        super().__init__(outbox, now, known, calls, jobs)
        self._events = events
        self._changes: list[Change] = []
        self._sent: list[str] = []
        self._last: dict[tuple[str, str], Result] = {}

    def again(
        self, receipt: StoredReceipt, before: Before, normalizer: str, outcomes: Sequence[Outcome]
    ) -> tuple[Change, ...]:
        """Add what one receipt says now; return what that changes. Nothing is written where nothing does."""
        self._changes = []
        self._sent = before.events()
        self._last = {(one.operation, one.job_id): one for one in outcomes if isinstance(one, Result)}
        became = [self._outcome(receipt, normalizer, outcome) for outcome in outcomes]
        if self._changes or before.state != ReceiptState.NORMALIZED:
            self._redone(before, ReceiptState.NORMALIZED, msgspec.json.encode(became).decode(), None)
        return tuple(self._changes)

    def still_unreadable(self, before: Before, reason: str) -> None:
        """Add why a receipt still cannot be read, where that is another reason."""
        if reason != before.reason:
            self._redone(before, ReceiptState.UNREADABLE, None, reason)

    def left(self, key: Key) -> KnownTranscript:
        """Return a transcript as the plan leaves it."""
        return self._known[key]

    def _redone(self, before: Before, state: ReceiptState, outcome: str | None, reason: str | None) -> None:
        row = {"id": before.id, "state": state, "outcome": outcome, "reason": reason}
        self.writes.redone.append({**row, "was_state": before.state, "was_outcome": before.outcome})

    def _notice(self, receipt: StoredReceipt, notice: Notice) -> dict[str, Any]:
        """Keep the event that says the same; else make one."""
        event_type = f"{receipt.provider}.{notice.name}"
        data = msgspec.json.encode({"provider": receipt.provider, "name": notice.name, "body": notice.body})
        for place, sent in enumerate(self._sent):
            if _same_event(self._events.get(decode(EVENT, sent)), event_type, data):
                return {"event": self._sent.pop(place)}
        became = super()._notice(receipt, notice)
        if "event" in became:
            self._changes.append(
                Change(subject=became["event"], event=event_type, version=None, before=None, after=data)
            )
        return became

    def _judged(self, known: KnownTranscript, receipt: StoredReceipt, result: Result, digest: bytes) -> str:
        """The receipt whose words are current replaces them; one before it never does; one after it as usual."""
        if receipt.id < known.receipt_id or self._last[result.operation, result.job_id] is not result:
            return _SUPERSEDED
        if receipt.id > known.receipt_id:
            judged = compared(known, result, digest, fetched=receipt.verdict == Verdict.FETCHED)
            return "version" if judged == "more" else judged  # it was no news then, but another release reads it
        return "same" if known.digest == digest or _says_the_same(known, result) else "version"

    def _add_version(
        self, receipt: StoredReceipt, normalizer: str, result: Result, digest: bytes, place: tuple[int, int]
    ) -> None:
        key = (receipt.source, result.operation, result.job_id)
        before = self._known.get(key)
        super()._add_version(receipt, normalizer, result, digest, place)
        change = Change(
            subject=encode(TRANSCRIPT, place[0]),
            event=self.writes.events[-1][2],
            version=place[1],
            before=before.doc if before else None,
            after=self._known[key].doc or b"{}",
        )
        self._changes.append(change)


def _same_event(sent: tuple[str, bytes] | None, event_type: str, data: bytes) -> bool:
    return (
        sent is not None and sent[0] == event_type and bool(msgspec.json.decode(sent[1]) == msgspec.json.decode(data))
    )


def _says_the_same(known: KnownTranscript, result: Result) -> bool:
    """Compare what is said, not its digest: another release may write the same otherwise."""
    if known.doc is None:
        return False
    old = msgspec.json.decode(known.doc)
    new = content(result)
    kept = without_volatile(old, new.keys(), result)
    call = {} if result.call is None else msgspec.json.decode(msgspec.json.encode(result.call))
    return only_lacks(new, kept) and only_lacks(kept, new) and only_lacks(call, old.get("call"))
