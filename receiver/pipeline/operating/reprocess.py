"""Reprocess: today's handler over stored bytes, on an operator's word, beside running work; shown before it is written.

Which receipt counts: the newest version of a transcript holds the words of one receipt, and only that one is current.
What the current receipt says now replaces what it said before, also where it says less. A receipt received before it
never supersedes it; one received after it goes by the rules for results that come (`comparing.compared`). A normalizer
that says the same under another version makes no version.

Every step is one transaction, and a receipt whose words did not change is not written; so it may be stopped at any
time, and begun again. Where a worker writes the same transcript meanwhile, the step is planned again.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from receiver.contract.errors import Conflict, NotFound, Unreadable, UsageError
from receiver.contract.model import ReceiptState, Result
from receiver.contract.provider import Provider
from receiver.pipeline.normalize import Normalize, Read
from receiver.pipeline.operating.differences import Shown, differences
from receiver.pipeline.operating.replan import Before, Change, Replan
from receiver.pipeline.outbox import Key, Outbox, Route
from receiver.pipeline.wanted import Wanted
from receiver.store.gone import gone
from receiver.store.ids import EVENT, RECEIPT, at, decode, encode
from receiver.store.listing import fitting, is_state, milliseconds
from receiver.store.records import KnownTranscript
from receiver.store.store import Store

STEP = 100
"""Receipts that are read and written together."""
_STEP_BYTES = 4 * 1024 * 1024
_CONFLICTS = 10
_REMEMBERED = 1000
"""Transcripts that a dry run remembers as it would have left them."""
_READ_ONCE = (ReceiptState.NORMALIZED, ReceiptState.UNREADABLE)


class Meant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which receipts are meant: by id, or by a filter; times as texts, by when the receipt was made."""

    ids: tuple[str, ...] = ()
    source: str | None = None
    provider: str | None = None
    state: str | None = None
    since: str | None = None
    until: str | None = None


class Ending(StrEnum):
    """What reading a receipt again comes to."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    READABLE = "readable"
    """It could not be read before."""
    UNREADABLE = "unreadable"
    """It still cannot be read."""
    WORSE = "worse"
    """It was read before, and today's handler cannot: it is left as it was."""


class Redone(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt: what became of it, and what it changes; on a dry run, what would."""

    id: str
    source: str
    result: Ending
    normalizer: str
    reason: str | None = None
    changes: tuple[Change, ...] = ()
    deliveries: int = 0


class Summary(msgspec.Struct, kw_only=True):
    """How many receipts came to what, and what that makes; `written` is false on a dry run."""

    written: bool
    receipts: int = 0
    unchanged: int = 0
    changed: int = 0
    readable: int = 0
    unreadable: int = 0
    worse: int = 0
    versions: int = 0
    events: int = 0
    deliveries: int = 0

    def add(self, one: Redone) -> None:
        """Count a receipt."""
        self.receipts += 1
        setattr(self, one.result, getattr(self, one.result) + 1)
        self.versions += sum(change.version is not None for change in one.changes)
        self.events += len(one.changes)
        self.deliveries += one.deliveries


class Reprocess:
    """Reads receipts again."""

    def __init__(
        self,
        store: Store,
        normalize: Normalize,
        routes: Sequence[Route],
        *,
        prefix: str = "",
        wanted: Mapping[str, Wanted] | None = None,
        step: int = STEP,
    ) -> None:
        """`routes` are those of the configured sinks, `prefix` the settings' `event_prefix`, `wanted` as for the outbox."""
        self._store = store
        self._normalize = normalize
        self._step = step
        self._go_by(routes, prefix, wanted)

    def change(
        self, sources: Mapping[str, Provider[Any]], routes: Sequence[Route], prefix: str, wanted: Mapping[str, Wanted]
    ) -> None:
        """Go by other settings from the next run on."""
        self._normalize.change(sources)
        self._go_by(routes, prefix, wanted)

    def _go_by(self, routes: Sequence[Route], prefix: str, wanted: Mapping[str, Wanted] | None) -> None:
        self._routes = {route.sink: route for route in routes}
        self._prefix = prefix
        self._wanted = wanted

    async def run(self, meant: Meant, *, write: bool = False, deliver: Sequence[str] = ()) -> AsyncIterator[Redone]:
        """Read again what is meant, oldest first; yield every receipt once its step is written, or planned.

        `deliver` names the sinks that get the events which they take; without it, nobody does.
        Raises NotFound and UsageError before anything is done, and Conflict where others write all the time.
        """
        chosen = [self._route(name) for name in dict.fromkeys(deliver)]
        outbox = Outbox(chosen, self._store.ids, self._prefix, self._wanted)
        where, params = await self._where(meant)
        remembered: OrderedDict[Key, KnownTranscript] = OrderedDict()
        after = 0
        while befores := await self._befores(where, {**params, "after": after, "limit": self._step}):
            began = time.monotonic()
            for one in await self._stepped(outbox, befores, None if write else remembered):
                yield one
            after = befores[-1].id
            await asyncio.sleep(time.monotonic() - began if write else 0)  # half of the time is for who waits to write

    def _route(self, sink: str) -> Route:
        if sink not in self._routes:
            known = ", ".join(self._routes) or "none"
            raise NotFound(f"no sink has the name {sink[:40]!r}; configured are {known}")
        return self._routes[sink]

    async def _where(self, meant: Meant) -> tuple[list[str], dict[str, Any]]:
        if meant.ids:
            if meant != Meant(ids=meant.ids):
                raise UsageError("ids: they stand alone, without a filter")
            ids = [decode(RECEIPT, one) for one in dict.fromkeys(meant.ids)]
            await self._check(ids)
            where, params = _among(ids)
            return ["id > :after", *where], params
        where, params = ["id > :after", "id < :end", _state(meant.state)], {"end": self._store.ids.next()}
        for name in ("source", "provider"):
            if (value := getattr(meant, name)) is not None:
                where.append(f"{name} = :{name}")
                params[name] = value
        for name, compares in (("since", ">="), ("until", "<")):
            if (text := getattr(meant, name)) is not None:
                where.append(f"id {compares} :{name}")
                params[name] = _moment(name, text)
        return where, params

    async def _check(self, ids: list[int]) -> None:
        where, params = _among(ids)
        found = await self._store.engine.rows("receipts_to_reprocess", params, where)
        states = {row[0]: row[2] for row in found}
        for number in ids:
            if number not in states:
                raise NotFound(f"there is no {encode(RECEIPT, number)}")
            if states[number] == ReceiptState.GONE:
                raise gone(encode(RECEIPT, number))
            if states[number] not in _READ_ONCE:
                raise UsageError(f"{encode(RECEIPT, number)} is {states[number]}: it is about to be normalized anyway")

    async def _befores(self, where: Sequence[str], params: Mapping[str, Any]) -> list[Before]:
        rows = await self._store.engine.rows("receipts_to_reprocess", params, where)
        count = fitting([row[1] for row in rows], _STEP_BYTES)
        return [Before(id=row[0], state=row[2], outcome=row[3], reason=row[4]) for row in rows[:count]]

    async def _stepped(
        self, outbox: Outbox, befores: Sequence[Before], remembered: OrderedDict[Key, KnownTranscript] | None
    ) -> list[Redone]:
        """Read a step's receipts, plan what follows, and write it; on a dry run, remember it instead."""
        ids = [one.id for one in befores]
        read = [
            await self._normalize.read(place, receipt) for place, receipt in enumerate(await self._store.receipts(ids))
        ]
        for _ in range(_CONFLICTS):
            plan, done = await self._plan(outbox, read, {one.id: one for one in befores}, remembered or {})
            if remembered is not None:
                _remember(remembered, plan)
                return done
            try:
                if plan.writes.redone:
                    await self._store.write(plan.writes)
            except Conflict:
                befores = await self._befores(*_among(ids))
                continue
            return done
        raise Conflict(f"{encode(RECEIPT, ids[0])} and those after it: others write the same all the time; try again")

    async def _plan(
        self, outbox: Outbox, read: list[Read], befores: Mapping[int, Before], remembered: Mapping[Key, KnownTranscript]
    ) -> tuple[Replan, list[Redone]]:
        """Plan a step; a receipt that cannot be written becomes unreadable, and the rest goes on."""
        known, calls, jobs = await self._normalize.known(read)
        known = [remembered.get((one.source, one.operation, one.job_id), one) for one in known]
        known += [remembered[key] for key in _keys(read) & remembered.keys() - _keys_of(known)]
        events = await self._events(befores.values())
        while True:
            plan = Replan(outbox, self._store.now_ms(), known, calls, events=events, jobs=jobs.fresh())
            done: list[Redone] = []
            for place, (receipt, normalizer, found) in enumerate(read):
                try:
                    done.append(_redone(plan, befores[receipt.id], (receipt, normalizer, found)))
                except Exception as error:  # noqa: BLE001 -- a plugin's outcome, as in normalize
                    told = f"what it says cannot be written: {type(error).__name__}"
                    read[place] = (receipt, normalizer, Unreadable(told))
                    break
            else:
                return plan, done

    async def _events(self, befores: Collection[Before]) -> dict[int, tuple[str, bytes]]:
        ids = [decode(EVENT, text) for one in befores for text in one.events()]
        rows = await self._store.engine.rows("event_contents", {"ids": ids}) if ids else []
        return {row[0]: (row[1], row[2]) for row in rows}


def _among(ids: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
    """Return the condition that a receipt is one of these, as every engine reads it, with its parameters."""
    params = {f"id{place}": number for place, number in enumerate(ids)}
    return [f"id IN ({', '.join(':' + name for name in params)})"], {**params, "limit": len(ids)}


def _redone(plan: Replan, before: Before, read: Read) -> Redone:
    receipt, normalizer, found = read
    readable = before.state == ReceiptState.NORMALIZED
    fields: dict[str, Any] = {"id": encode(RECEIPT, receipt.id), "source": receipt.source, "normalizer": normalizer}
    if isinstance(found, Unreadable):
        reason = str(found).encode("utf-8", "replace").decode()
        if not readable:
            plan.still_unreadable(before, reason)
        return Redone(**fields, result=Ending.WORSE if readable else Ending.UNREADABLE, reason=reason)
    deliveries = len(plan.writes.deliveries)
    changes = plan.again(receipt, before, normalizer, found)
    result = Ending.CHANGED if changes else Ending.UNCHANGED
    return Redone(
        **fields,
        result=result if readable else Ending.READABLE,
        reason=None if readable else before.reason,
        changes=changes,
        deliveries=len(plan.writes.deliveries) - deliveries,
    )


def as_row(one: Redone, shown: Shown) -> dict[str, Any]:
    """Return one receipt as programs see it: what became of it, and where documents differ."""
    changes = [
        {
            "subject": change.subject,
            "event": change.event,
            "version": change.version,
            "differences": differences(change.before, change.after, shown),
        }
        for change in one.changes
    ]
    return {**msgspec.structs.asdict(one), "changes": changes}


def _remember(remembered: OrderedDict[Key, KnownTranscript], plan: Replan) -> None:
    for key in plan.writes.transcripts:
        remembered[key] = plan.left(key)
        remembered.move_to_end(key)
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


def _keys(read: Sequence[Read]) -> set[Key]:
    said = [(receipt.source, one) for receipt, _, found in read if isinstance(found, tuple) for one in found]
    return {(source, one.operation, one.job_id) for source, one in said if isinstance(one, Result)}


def _keys_of(known: Sequence[KnownTranscript]) -> set[Key]:
    return {(one.source, one.operation, one.job_id) for one in known}


def _state(state: str | None) -> str:
    if state is None:
        return f"state IN ({', '.join(repr(str(one)) for one in _READ_ONCE)})"
    if state not in _READ_ONCE:
        raise UsageError(f"state: expected one of {', '.join(_READ_ONCE)}")
    return is_state("state", state, ReceiptState.NORMALIZED)


def _moment(name: str, text: str) -> int:
    try:
        return at(milliseconds(text))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}: {error}") from None
