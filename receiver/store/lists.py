"""Looking at what is kept: every list page by page, and one of each; read by API, page and command line.

Parameters are texts, as they stand in a URL. Each list knows its own, refuses others, and never reads a whole table.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from heapq import merge
from itertools import islice
from typing import Any

import msgspec

from receiver.contract.errors import NotFound
from receiver.contract.model import DeliveryState, ReceiptState, SinkState, Verdict
from receiver.contract.times import from_ms
from receiver.store import shapes
from receiver.store.answers import answers_of
from receiver.store.gone import gone, missing
from receiver.store.ids import CALL, DELIVERY, EVENT, RECEIPT, TRANSCRIPT, at, decode, moment
from receiver.store.jobs import JobRow, job_row
from receiver.store.listing import MOST, Asked, Listing, call_named, equal, fitting, of_call, one_of, since, until, word
from receiver.store.records import SinkRow
from receiver.store.search import Search
from receiver.store.shapes import Shape
from receiver.store.store import Engine, Row

PAGE_BYTES = 4 * 1024 * 1024
"""What transcripts and events of one page say together, but for a larger one, which comes alone."""
COUNTED = 10_000
"""Receipts are counted up to here."""
_WINDOW = 10_000
_DAY_MS = 86_400_000


def _same(value: int) -> int:
    return value


RECEIPTS = Listing(
    name="receipts",
    order=("id",),
    filters={
        "source": equal("source", "source"),
        "state": word("state", ReceiptState, ReceiptState.NORMALIZED),
        "verdict": word("verdict", Verdict),
        "since": since("id"),
        "until": until("id"),
    },
)
TRANSCRIPTS = Listing(
    name="transcripts",
    order=("t.received_at", "t.id"),
    filters={
        "source": equal("t.source", "source"),
        "provider": equal("t.provider", "provider"),
        "job_id": equal("t.job_id", "job_id"),
        "call": of_call("t.call_id"),
        "status": word("t.status", shapes.Status),
        "since": since("t.received_at", _same),
        "until": until("t.received_at", _same),
    },
)
CALLS = Listing(name="calls", order=("id",), filters={"since": since("id"), "until": until("id")})
EVENTS = Listing(
    name="events",
    order=("e.id",),
    filters={
        "type": equal("e.type", "type"),
        "source": equal("e.source", "source"),
        "call": of_call("e.call_id"),
        "since": since("e.id"),
        "until": until("e.id"),
    },
)
DELIVERIES = Listing(
    name="deliveries",
    order=("d.id",),
    filters={
        "sink": equal("d.sink", "sink"),
        "state": word("d.state", DeliveryState, DeliveryState.DELIVERED),
        "event": one_of("d.event_id", "event", EVENT),
        "since": since("d.id"),
        "until": until("d.id"),
    },
)


class Page(msgspec.Struct, frozen=True):
    """A part of a list, newest first; `next` is the cursor of what follows, None at the end.

    It may hold fewer rows than were asked for, and yet go on.
    """

    items: Sequence[Any]
    next: str | None


class Lists:
    """Reads the store for people and programs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.search = Search(engine)

    async def job_rows(self, ids: Sequence[int]) -> list[JobRow]:
        """Return jobs by id, oldest first."""
        return [job_row(row) for row in await self._engine.rows("jobs_by_id", {"ids": [*ids]})] if ids else []

    async def receipts(self, given: Mapping[str, str]) -> Page:
        """Return receipts; `since` and `until` go by when they were kept."""
        asked = RECEIPTS.read(given)
        end = await self._window(asked) if "verdict" in given else None
        rows = await self._engine.rows("list_receipts", asked.params, asked.where)
        page = _page(RECEIPTS, rows, rows[: asked.limit], shapes.receipt)
        return Page(page.items, page.next or (RECEIPTS.cursor([end]) if end else None))

    async def receipt(self, public_id: str) -> Shape:
        """Return one receipt. Raises NotFound."""
        (row,) = await self._one("list_receipts", RECEIPT, public_id, "id")
        return shapes.receipt(row)

    async def body(self, public_id: str) -> bytes:
        """Return the exact bytes of a receipt. Raises NotFound or Gone."""
        rows = await self._engine.rows("receipt_body", {"id": decode(RECEIPT, public_id)})
        found, state = _found(rows, public_id)
        if state == ReceiptState.GONE:
            raise gone(f"the body of {public_id}")
        assert isinstance(found, bytes)
        return found

    async def transcripts(self, given: Mapping[str, str], *, whole: bool = True) -> Page:
        """Return transcripts by when they were received: whole, as JSON (`msgspec.Raw`), or only what routes them.

        With `q` or `speaker` those in which that is found, by when they were indexed.
        """
        if {"q", "speaker"} & given.keys():
            return await self._searched(given, whole=whole)
        asked = TRANSCRIPTS.read(given)
        await call_named(self._engine, asked.params)
        rows = await self._engine.rows("list_transcripts", asked.params, asked.where)
        if not whole:
            return _page(TRANSCRIPTS, rows, rows[: asked.limit], shapes.transcript, (9, 0))
        shown = rows[: min(asked.limit, fitting([row[-1] for row in rows], PAGE_BYTES))]
        return Page(await self._docs(shown), _page(TRANSCRIPTS, rows, shown, lambda row: row, (9, 0)).next)

    async def _searched(self, given: Mapping[str, str], *, whole: bool) -> Page:
        seen, more = await self.search.transcripts(given)
        place = {number: place for place, number in enumerate(seen)}
        found = await self._engine.rows("transcripts_by_id", {"ids": [*seen]})
        rows = sorted(found, key=lambda row: place[row[0]])
        shown = rows[: fitting([row[-1] for row in rows], PAGE_BYTES)] if whole else rows
        items = await self._docs(shown) if whole else [shapes.transcript(row) for row in shown]
        if not seen or not (more or len(shown) < len(rows)):
            return Page(items, None)
        last = shown[-1][0] if len(shown) < len(rows) else [*seen][-1]
        return Page(items, await self.search.after(last, seen[last]))

    async def transcript(self, public_id: str, version: int | None = None) -> msgspec.Raw:
        """Return one transcript as JSON, the newest version where none is named. Raises NotFound."""
        params = {"id": decode(TRANSCRIPT, public_id), "version": version}
        name = public_id if version is None else f"version {version} of {public_id}"
        rows = await self._engine.rows("one_transcript", params)
        if not rows and not await self._engine.rows("transcript_versions", {"id": params["id"]}):
            raise await missing(self._engine, TRANSCRIPT, decode(TRANSCRIPT, public_id), name)
        return msgspec.Raw(_found(rows, name)[0])

    async def versions(self, public_id: str) -> list[Shape]:
        """Return where each version of a transcript comes from, oldest first. Raises NotFound."""
        number = decode(TRANSCRIPT, public_id)
        rows = await self._engine.rows("transcript_versions", {"id": number})
        if not rows:
            raise await missing(self._engine, TRANSCRIPT, number, public_id)
        return [shapes.version(row) for row in rows]

    async def answers(self, public_id: str) -> list[Shape]:
        """Return what was asked about a transcript, oldest first. Raises NotFound."""
        await self.versions(public_id)
        return await answers_of(self._engine, public_id)

    async def calls(self, given: Mapping[str, str]) -> Page:
        """Return calls by when they were first heard of."""
        asked = CALLS.read(given)
        rows = await self._engine.rows("list_calls", asked.params, asked.where)
        return _page(CALLS, rows, rows[: asked.limit], shapes.call)

    async def call(self, public_id: str) -> Shape:
        """Return one call, with what routes its transcripts. Raises NotFound."""
        (row,) = await self._one("list_calls", CALL, public_id, "id")
        transcripts = await self._engine.rows("call_transcripts", {"id": row[0], "limit": MOST})
        return {**shapes.call(row), "transcripts": [shapes.transcript(one) for one in transcripts]}

    async def events(self, given: Mapping[str, str], *, whole: bool = True) -> Page:
        """Return events, with their data as JSON (`msgspec.Raw`) or without; `type` may be a glob."""
        asked = EVENTS.read(given)
        await call_named(self._engine, asked.params)
        rows = await self._events(asked, given.get("type"))
        if not whole:
            return _page(EVENTS, rows, rows[: asked.limit], shapes.event)
        shown = rows[: min(asked.limit, fitting([row[-1] for row in rows], PAGE_BYTES))]
        data = await self._blobs("event_data", shown)
        return _page(EVENTS, rows, shown, lambda row: {**shapes.event(row), "data": data[row[0]]})

    async def event(self, public_id: str) -> Shape:
        """Return one event with its data and its deliveries. Raises NotFound."""
        (row,) = await self._one("list_events", EVENT, public_id, "e.id")
        data = await self._blobs("event_data", [row])
        deliveries = await self.deliveries({"event": public_id, "limit": str(MOST)})
        return {**shapes.event(row), "data": data[row[0]], "deliveries": deliveries.items}

    async def deliveries(self, given: Mapping[str, str]) -> Page:
        """Return deliveries."""
        asked = DELIVERIES.read(given)
        rows = await self._engine.rows("list_deliveries", asked.params, asked.where)
        return _page(DELIVERIES, rows, rows[: asked.limit], shapes.delivery)

    async def delivery(self, public_id: str) -> Shape:
        """Return one delivery with its attempts, oldest first. Raises NotFound."""
        (row,) = await self._one("list_deliveries", DELIVERY, public_id, "d.id")
        attempts = await self._engine.rows("delivery_attempts", {"id": row[0]})
        return {**shapes.delivery(row), "attempts_made": [shapes.attempt(one) for one in attempts]}

    async def sinks(self, kinds: Mapping[str, str]) -> list[Shape]:
        """Return every sink by name, configured (`kinds`: name and kind) or with something left in the store."""
        states = {row[0]: _sink_row(row) for row in await self._engine.rows("sink_states")}
        backlogs: dict[str, dict[str, tuple[int, int]]] = {}
        for name, state, count, oldest in await self._engine.rows("sink_backlogs"):
            backlogs.setdefault(name, {})[state] = (count, oldest)
        return [
            _sink(states.get(name), name, kinds.get(name), backlogs.get(name, {}))
            for name in sorted({*kinds, *states, *backlogs})
        ]

    async def sources(self, providers: Mapping[str, str], now: float) -> list[Shape]:
        """Return every source by name, configured (`providers`: name and provider) or once heard; `now` Unix seconds.

        `last_24h` and the counts of what is not normalized end at `COUNTED`.
        """
        params = {"since": at(int(now * 1000) - _DAY_MS)}
        heard = {row[0]: row for row in await self._engine.rows("last_receipts", params)}
        waiting: dict[str, dict[str, int]] = {}
        oldest: dict[str, int] = {}
        for name, state, count, first in await self._engine.rows("receipt_counts"):
            waiting.setdefault(name, {})[state] = count
            oldest[name] = min(first, oldest.get(name, first))
        return [
            {
                "name": name,
                "provider": providers.get(name),
                "last_receipt": from_ms(moment(heard[name][1])) if name in heard else None,
                "last_24h": heard[name][2] if name in heard else 0,
                **{
                    state: waiting.get(name, {}).get(state, 0)
                    for state in ReceiptState
                    if state not in (ReceiptState.NORMALIZED, ReceiptState.GONE)
                },
                "oldest_waiting": from_ms(moment(oldest[name])) if name in oldest else None,
            }
            for name in sorted({*providers, *heard})
        ]

    async def _window(self, asked: Asked) -> int | None:
        """Let a filter without an index look at so many rows and no more; return where it goes on, or None."""
        where = [condition for condition in asked.where if not condition.startswith("verdict")]
        ((end, count),) = await self._engine.rows("receipt_window", {**asked.params, "window": _WINDOW}, where)
        if count < _WINDOW:
            return None
        asked.where.append("id >= :end")
        asked.params["end"] = end
        return int(end)

    async def _events(self, asked: Asked, wanted: str | None) -> list[Row]:
        """Ask for each type by itself, so that the index serves a glob too, and merge what comes."""
        if wanted is None or not set(wanted) & set("*?["):
            return await self._engine.rows("list_events", asked.params, asked.where)
        types = [row[0] for row in await self._engine.rows("event_types") if fnmatchcase(row[0], wanted)]
        found = [await self._engine.rows("list_events", {**asked.params, "type": one}, asked.where) for one in types]
        return list(islice(merge(*found, key=lambda row: -row[0]), asked.limit + 1))

    async def _one(self, query: str, prefix: str, public_id: str, column: str) -> list[Row]:
        number = decode(prefix, public_id)
        rows = await self._engine.rows(query, {"id": number, "limit": 1}, [f"{column} = :id"])
        if not rows:
            raise await missing(self._engine, prefix, number, public_id)
        return [rows[0]]

    async def _docs(self, rows: Sequence[Row]) -> list[msgspec.Raw]:
        """Return transcripts as JSON, without those that went since they were found."""
        found: dict[int, bytes] = dict(await self._engine.rows("transcript_docs", {"ids": [row[0] for row in rows]}))
        return [msgspec.Raw(found[row[0]]) for row in rows if found.get(row[0])]

    async def _blobs(self, query: str, rows: Sequence[Row]) -> dict[int, msgspec.Raw]:
        found = await self._engine.rows(query, {"ids": [row[0] for row in rows]})
        docs = {row[0]: msgspec.Raw(b"null") for row in rows}
        return docs | {number: msgspec.Raw(blob) for number, blob in found if blob}


def _page(
    listing: Listing,
    rows: Sequence[Row],
    shown: Sequence[Row],
    shape: Callable[[Row], Any],
    place: tuple[int, ...] = (0,),
) -> Page:
    """Make a page of the rows `shown`; `place` are the columns of the listing's order."""
    more = len(rows) > len(shown)
    return Page(
        [shape(row) for row in shown], listing.cursor([shown[-1][column] for column in place]) if more else None
    )


def _found(rows: Sequence[Row], name: str) -> Row:
    if not rows:
        raise NotFound(f"there is no {name}")
    return rows[0]


def _sink(row: SinkRow | None, name: str, kind: str | None, backlog: Mapping[str, tuple[int, int]]) -> Shape:
    row = row or SinkRow(name=name, state=SinkState.RUNNING)
    counts = {state: count for state, (count, _) in backlog.items()}
    oldest = backlog.get(DeliveryState.PENDING)
    return shapes.sink(row, kind, counts, oldest[1] if oldest else None)


def _sink_row(row: Row) -> SinkRow:
    return SinkRow(**dict(zip(SinkRow.__struct_fields__, row, strict=True)))


def part(name: str, things: Sequence[Shape], given: Mapping[str, str]) -> Page:
    """Return a page of a list that is whole in memory. Raises UsageError."""
    listing = Listing(name=name, order=("place",), filters={})
    asked = listing.read(given)
    start = asked.params["before0"] if "cursor" in given else 0
    end = start + asked.limit
    return Page(things[start:end], listing.cursor([end]) if end < len(things) else None)


def named(things: Sequence[Shape], name: str, word: str) -> Shape:
    """Return the sink or source of a name. Raises NotFound, which lists those that there are."""
    for thing in things:
        if thing["name"] == name:
            return thing
    raise NotFound(f"there is no {word} {name[:40]!r}; known are {', '.join(one['name'] for one in things) or 'none'}")
