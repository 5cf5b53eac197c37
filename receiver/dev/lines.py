"""One readable line for every callback: how it was answered, what came of it, where that went. No words of calls."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.model import DeliveryState, InboundRequest, ReceiptState, Verdict
from receiver.contract.proof import Reason, Refused
from receiver.store.ids import EVENT, RECEIPT, TRANSCRIPT, decode, encode
from receiver.store.records import Kept
from receiver.store.store import Row, Store

PATIENCE = 5.0
"""Seconds after which the line of a callback is printed, whatever its deliveries still wait for."""
_MOST = 500
"""Callbacks that wait for their line; of more, only the number is told."""
_LOOK = 0.1
_BATCH = 100

Say = Callable[[str], None]


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted callback whose line is still to come."""

    id: int
    source: str
    since: float


class Narrator:
    """Is told of every answer, looks what came of it, and says so."""

    def __init__(self, store: Store, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._say = say
        self._clock = clock
        self._open: deque[Open] = deque()
        self._lines: deque[tuple[int, str]] = deque()
        self._skipped = 0
        self._wake = asyncio.Event()

    def answered(self, request: InboundRequest, result: Kept | Refused) -> None:
        """Take notice; quick, and never raises."""
        self._wake.set()
        if len(self._open) + len(self._lines) >= _MOST:
            self._skipped += 1
        elif isinstance(result, Refused):
            self._lines.append((0, _line(request.source, "refused", _refused(result))))
        elif result.duplicate:
            said = f"{encode(RECEIPT, result.id)} was here already: no second event"
            self._lines.append((result.id, _line(request.source, "duplicate", said)))
        else:
            self._open.append(Open(id=result.id, source=request.source, since=self._clock()))

    async def run(self) -> None:
        """Say a line for each, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._open:
                await self._look()
            self._say_ready()
            if self._open:
                self._wake.set()
                await asyncio.sleep(_LOOK)

    def _say_ready(self) -> None:
        """Say what needs no look; of a duplicate only after the first copy has its line."""
        open_ones = {one.id for one in self._open}
        waiting = deque(pair for pair in self._lines if pair[0] in open_ones)
        for receipt, line in self._lines:
            if receipt not in open_ones:
                self._say(line)
        self._lines = waiting
        skipped, self._skipped = self._skipped, 0
        if skipped:
            self._say(f"{_clock()}  … and {skipped} more callbacks")

    async def _look(self) -> None:
        batch = [self._open[place] for place in range(min(_BATCH, len(self._open)))]
        ends = await endings(self._store, [one.id for one in batch])
        for one in batch:
            end = ends[one.id]
            if end.done or self._clock() - one.since > PATIENCE:
                self._open.remove(one)
                self._say(_line(one.source, "accepted", f"{encode(RECEIPT, one.id)} {end}"))


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one receipt so far."""

    done: bool
    verdict: str = ""
    became: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"by {self.verdict}" if self.verdict != Verdict.UNVERIFIED else "UNVERIFIED"] if self.verdict else []
        parts += [f"→ {', '.join(self.became)}"] if self.became else ["→ waits to be normalized"]
        parts += [f"→ {', '.join(self.sinks)}"] if self.sinks else []
        return " ".join(parts)


async def endings(store: Store, ids: Sequence[int]) -> dict[int, Ending]:
    """Read what came of receipts."""
    rows = store.engine.rows
    given = "IN (SELECT value FROM json_each(:ids))"
    receipts = await rows("list_receipts", {"ids": [*ids], "limit": len(ids)}, [f"id {given}"])
    about = {subject for receipt in receipts for subject in _subjects(receipt)}
    params = {"low": min(ids), "subjects": sorted(about), "limit": 10 * _BATCH}
    conditions = ["e.id > :low", "e.subject IN (SELECT value FROM json_each(:subjects))"]
    events = await rows("list_events", params, conditions) if about else []
    numbers = [event[0] for event in events]
    params = {"ids": numbers, "limit": 100 * _BATCH}
    deliveries = await rows("list_deliveries", params, [f"d.event_id {given}"]) if numbers else []
    waiting = {number: Ending(done=False) for number in ids}
    return waiting | {receipt[0]: _ending(receipt, events, deliveries) for receipt in receipts}


def _ending(receipt: Row, events: Sequence[Row], deliveries: Sequence[Row]) -> Ending:
    state, verdict, reason = receipt[4], receipt[3], receipt[8]
    if state == ReceiptState.RECEIVED:
        return Ending(done=False, verdict=verdict)
    if state == ReceiptState.CONFIRMING:
        return Ending(done=False, verdict=verdict, became=("waits for the provider to confirm it",))
    mine = dict(_mine(receipt, events))
    sent = [delivery for delivery in deliveries if delivery[2] in mine]
    unfinished = any(delivery[5] in (DeliveryState.PENDING, DeliveryState.IN_FLIGHT) for delivery in sent)
    became = (f"unreadable: {reason}",) if state == ReceiptState.UNREADABLE else tuple(_became(receipt, mine))
    return Ending(done=not unfinished, verdict=verdict, became=became, sinks=tuple(_where(sent)))


def _outcomes(receipt: Row) -> list[dict[str, Any]]:
    return json.loads(receipt[9]) if receipt[9] else []


def _subjects(receipt: Row) -> Iterator[str]:
    yield encode(RECEIPT, receipt[0])
    yield from (one["transcript"] for one in _outcomes(receipt) if "transcript" in one)


def _mine(receipt: Row, events: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    """Yield the events of a receipt: those about itself, and of each transcript the one of the version it made."""
    outcomes = _outcomes(receipt)
    made = {one["transcript"]: one["version"] for one in outcomes if one.get("as") in ("new", "version")}
    named = {decode(EVENT, one["event"]) for one in outcomes if "event" in one}
    own = encode(RECEIPT, receipt[0])
    for event in events:
        if event[0] in named or event[4] == own:
            yield event[0], event
    for transcript, version in made.items():
        later = sorted(event for event in events if event[4] == transcript and event[0] > receipt[0])
        place = version - 1 if decode(TRANSCRIPT, transcript) > receipt[0] else 0
        yield from ((event[0], event) for event in later[place : place + 1])


def _became(receipt: Row, mine: Mapping[int, Row]) -> Iterator[str]:
    """Yield what a receipt turned into, in words: types of events, with what they are about."""
    for event in mine.values():
        yield f"{event[2]} {event[4]}" if event[4].startswith(TRANSCRIPT) else event[2]
    for one in _outcomes(receipt):
        if one.get("as") in ("same", "less", "older"):
            yield f"no event: {one['transcript']} says {'more' if one['as'] == 'less' else 'it'} already"
        elif one.get("as") == "more":
            yield f"no event: {one['transcript']} was told before, and says more now"
        elif "progress" in one:
            yield f"no event: the job is {one['status']}"
        elif "ignored" in one:
            yield f"no event: {one['ignored']} is ignored by the source's settings"


def _where(sent: Sequence[Row]) -> Iterator[str]:
    """Yield each sink once: its name, and what is wrong there, if anything is."""
    troubles: dict[str, str] = {}
    for delivery in sorted(sent):
        sink, state, detail = delivery[1], delivery[5], delivery[8]
        trouble = "" if state == DeliveryState.DELIVERED else f" {_TROUBLE[state]}{f' ({detail})' if detail else ''}"
        troubles[sink] = trouble or troubles.get(sink, "")
    yield from (f"{sink}{trouble}" for sink, trouble in troubles.items())


_TROUBLE = {
    DeliveryState.PENDING: "waits",
    DeliveryState.IN_FLIGHT: "waits",
    DeliveryState.DEAD: "GAVE UP",
    DeliveryState.DISCARDED: "discarded",
}


def _refused(refused: Refused) -> str:
    status = 404 if refused.reason is Reason.TOKEN_UNKNOWN else 401
    detail = f": {refused.checks[0].detail}" if refused.checks else ""
    return f"{status} {refused.reason}{detail}"


def _line(source: str, word: str, rest: str) -> str:
    return f"{_clock()}  {source:<12}  {word:<9}  {rest}"


def _clock() -> str:
    return time.strftime("%H:%M:%S")
