"""Indexing: puts what was said into the full-text index, after its event is written, in batches that let others through.

What waits is a table, written with each version; so a crash loses nothing, and nothing is indexed twice.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from receiver.contract.errors import StoreError
from receiver.store.listing import fitting
from receiver.store.search import forget_words, tag
from receiver.store.shapes import Status
from receiver.store.store import Row, Store, Tx

log = structlog.get_logger()

PIECE = 2000
"""Characters of one row: a longer text is cut at blanks, so that finding in it stays quick."""
_TRANSCRIPTS = 200
_BYTES = 1024 * 1024
_ROWS = 200
"""Rows that one transaction takes, so that who waits for it waits some milliseconds; a longer transcript takes several, and
waits until the last of them."""
_IDLE = 0.25
_REST = 9.0
"""Nine tenths of the time are for others: callbacks are kept by the same writer."""
_AGAIN = 5.0
_PURGE_MS = 86_400_000
"""How long words that retention removed may stand in the index's pages; rewriting all of it costs too much each time."""
_DAY_MS = 86_400_000
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


class _Speaker(msgspec.Struct, gc=False):
    id: str
    label: str | None = None
    role: str | None = None


class _Segment(msgspec.Struct, gc=False):
    start: float | None
    end: float | None
    speaker: str | None
    text: str | None
    sentiment: str | None = None


class _Doc(msgspec.Struct):
    """As much of a transcript as is indexed."""

    text: str | None
    speakers: list[_Speaker]
    segments: list[_Segment]


_decode = msgspec.json.Decoder(_Doc).decode


class Indexing:
    """The one runner of a store: of several workers one leads it."""

    def __init__(self, store: Store, rest: float = _REST) -> None:
        """`rest` is how much longer the pause after a transaction is than the transaction was: others write meanwhile."""
        self._store = store
        self._rest = rest

    async def run(self) -> None:
        """Index what comes, again and again, until cancelled."""
        while True:
            try:
                busy = await self._store.leads("indexing") and (bool(await self.step()) or await self.purge())
            except StoreError as error:
                log.warning("indexing.store_failed", why=str(error))
                await asyncio.sleep(_AGAIN)
                continue
            except Exception:
                log.exception("indexing.failed")
                await asyncio.sleep(_AGAIN)
                continue
            await asyncio.sleep(0 if busy else _IDLE)

    async def step(self) -> int:
        """Index the next batch; return how many transcripts were dealt with."""
        engine = self._store.engine
        waiting = await engine.rows("list_unindexed", {"limit": _TRANSCRIPTS})
        ids = [row[0] for row in waiting[: fitting([row[2] for row in waiting], _BYTES)]]
        if not ids:
            return 0
        docs = await engine.rows("to_index", {"ids": ids})
        versions = {row[0]: row[1] for row in docs}
        gone = [_Part(row[0], row[1], 0, None) for row in waiting[: len(ids)] if row[0] not in versions]
        made = await asyncio.to_thread(lambda: [part for row in docs for part in _parts(row)])
        for parts in _together([*gone, *made]):
            began = time.monotonic()
            async with engine.transaction() as tx:
                await self._write(tx, parts)
            await asyncio.sleep(self._rest * (time.monotonic() - began))
        return len(ids)

    async def _write(self, tx: Tx, parts: list["_Part"]) -> None:
        """Write parts of transcripts that still say what was read: other words, or their end, may have come."""
        ids = {"ids": [one.id for one in parts]}
        still = {(row[0], row[1]) for row in await tx.rows("still_unindexed", ids)}
        receipts: dict[int, int] = dict(await tx.rows("said_by", ids))
        parts = [one for one in parts if (one.id, one.version) in still and receipts.get(one.id) == one.receipt]
        await forget_words(tx, [one.id for one in parts if one.first], waiting=True)
        ((last,),) = await tx.rows("last_segment")
        rows: list[Row] = []
        days: dict[int, tuple[int, int]] = {}
        for one in parts:
            if one.rows:
                first = last + len(rows) + 1
                rows += [(first + place, *row) for place, row in enumerate(one.rows)]
                days[one.day] = (days.get(one.day, (first, 0))[0], last + len(rows))
        if rows:
            await tx.insert("add_segments", self._store.engine.indexed(rows))
            await tx.run("add_words", {"after": last})
            bounds = [{"day": day, "first": first, "last": end} for day, (first, end) in days.items()]
            await tx.run_many("put_segment_day", bounds)
        await tx.run("drop_unindexed", {"ids": [one.id for one in parts if one.last]})

    async def purge(self, wait_ms: int = _PURGE_MS) -> bool:
        """Write over removed words that have waited long enough, a few pages; say whether there is more to do."""
        engine = self._store.engine
        rows = await engine.rows("removed_words")
        if not rows or rows[0][0] > self._store.now_ms() - wait_ms:
            return False
        began = time.monotonic()
        done = await engine.purge()
        if done:
            await engine.write("words_purged", {"times": rows[0][1]})
        await asyncio.sleep(self._rest * (time.monotonic() - began))
        return not done


class _Part(NamedTuple):
    """Some of a transcript's rows of the index, but for their ids; `first` and `last` of its parts, where it is whole both."""

    id: int
    version: int
    day: int
    receipt: int | None
    """Whose words they are."""
    rows: Sequence[Row] = ()
    first: bool = True
    last: bool = True


def _parts(row: Row) -> list[_Part]:
    number, version, *_, received_at, _, receipt = row
    rows = _rows(row)
    starts = range(0, max(1, len(rows)), _ROWS)
    return [
        _Part(number, version, received_at // _DAY_MS, receipt, rows[at : at + _ROWS], at == 0, at == starts[-1])
        for at in starts
    ]


def _together(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Yield as many parts at a time as one transaction takes."""
    taken: list[_Part] = []
    for part in parts:
        if taken and sum(len(one.rows) for one in taken) + len(part.rows) > _ROWS:
            yield taken
            taken = []
        taken.append(part)
    yield taken


def _rows(row: Row) -> list[Row]:
    number, _, source, provider, operation, status, _, doc, _ = row
    said = _decode(doc)
    whole = " ".join((tag("source", source), tag("provider", provider), tag("operation", operation)))
    whole += f" {tag('status', status)}" if status == Status.FAILED else ""
    known = {speaker.id: speaker for speaker in said.speakers}
    segments = said.segments or [_Segment(start=None, end=None, speaker=None, text=said.text)]
    return [
        (number, place if said.segments else 0, one.start, one.end, *who, one.sentiment, f"{whole}{tags}", text)
        for place, one in enumerate(segments, 1)
        for who, tags in [_who(one, known.get(one.speaker or ""))]
        for text in _pieces(one.text or "")
    ]


def _who(segment: _Segment, speaker: _Speaker | None) -> tuple[tuple[Any, ...], str]:
    label, role = (speaker.label, speaker.role) if speaker else (None, None)
    names = {name.casefold() for name in (segment.speaker, label) if name}
    tags = [tag("voice", name) for name in sorted(names)]
    tags += [tag(kind, value) for kind, value in (("role", role), ("mood", segment.sentiment)) if value]
    return (segment.speaker, label, role), "".join(f" {one}" for one in tags)


def _pieces(text: str) -> Iterator[str]:
    text = _STEERS.sub(" ", text).strip()
    while len(text) > PIECE:
        cut = text.rfind(" ", 1, PIECE)
        cut = PIECE if cut < 0 else cut
        yield text[:cut]
        text = text[cut:].lstrip()
    if text:
        yield text
