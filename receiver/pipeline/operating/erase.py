"""Erase: one call, transcript or receipt goes at once, with everything that stems from it, whatever its source keeps.

What tells a redelivery and a second copy of a result stays, in rows without content: what was erased does not come back
by itself. What sinks were sent is theirs.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import ReceiptState
from receiver.pipeline.uploaded import place
from receiver.store.gone import missing
from receiver.store.ids import CALL, DELIVERY, EVENT, JOB, RECEIPT, TRANSCRIPT, decode, encode
from receiver.store.jobs import drop_jobs
from receiver.store.records import pack_headers
from receiver.store.search import forget_words
from receiver.store.store import Store, Tx

_PAGE = 1000
_MOST = 100_000
"""Transcripts of one call."""
_OPEN = (ReceiptState.RECEIVED, ReceiptState.CONFIRMING)


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """What goes: ids of each kind."""

    transcripts: tuple[int, ...]
    receipts: tuple[int, ...]
    calls: tuple[int, ...]
    events: tuple[int, ...]
    jobs: tuple[int, ...]


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each went or would go."""

    transcripts: int
    receipts: int
    calls: int
    events: int
    jobs: int = 0


class Erase:
    """Finds what belongs to one thing, and removes it."""

    def __init__(self, store: Store, recordings: Path | None = None) -> None:
        """`recordings` is where those are that were sent to us."""
        self._store = store
        self._recordings = recordings
        self._engine = store.engine

    async def find(self, public_id: str) -> Meant:
        """Return what goes with a call, a transcript or a receipt. Raises NotFound, Gone or UsageError."""
        if public_id.startswith(CALL):
            return await self._call(decode(CALL, public_id), public_id)
        if public_id.startswith(TRANSCRIPT):
            return await self._transcript(decode(TRANSCRIPT, public_id), public_id)
        if public_id.startswith(RECEIPT):
            return await self._receipt(decode(RECEIPT, public_id), public_id)
        raise NotFound(f"{public_id[:40]!r} is no id of a call, a transcript or a receipt")

    async def erase(self, meant: Meant) -> Erased:
        """Remove it, in one transaction; the worker writes over the words' places next. Raises UsageError or StoreError."""
        async with self._engine.transaction() as tx:
            transcripts, events, calls = list(meant.transcripts), list(meant.events), list(meant.calls)
            await self._blank(tx, list(meant.receipts))
            if events:
                ((last,),) = await tx.rows("last_delivery", {"ids": events})
                await tx.run("put_retention", {"thing": DELIVERY, "until": last or 0})
                for name in ("drop_attempts", "drop_deliveries", "drop_events"):
                    await tx.run(name, {"ids": events})
            for prefix, ids in ((EVENT, events), (CALL, calls), (JOB, meant.jobs)):
                if ids:
                    await tx.run("put_retention", {"thing": prefix, "until": max(ids)})
            await forget_words(tx, transcripts)
            await tx.run("words_removed", {"now": 0})
            await tx.run("drop_answers", {"ids": transcripts})
            await tx.run("drop_versions", {"ids": transcripts})
            await tx.run("drop_calls", {"ids": calls})
            await drop_jobs(tx, meant.jobs)
        if self._recordings is not None:
            for job in meant.jobs:
                place(self._recordings, job).unlink(missing_ok=True)
        return counted(meant)

    async def _blank(self, tx: Tx, ids: list[int]) -> None:
        for state in {row[1] for row in await tx.rows("receipt_states", {"ids": ids})}:
            if state in _OPEN:
                raise UsageError("a receipt of it is being worked on: wait until it is normalized")
            await tx.run("receipts_gone", {"ids": ids, "state": state, "headers": pack_headers(())})

    async def _call(self, number: int, public_id: str) -> Meant:
        if not await self._engine.rows("which_calls", {"ids": [number]}):
            raise await missing(self._engine, CALL, number, public_id)
        rows = await self._engine.rows("call_transcripts", {"id": number, "limit": _MOST})
        return await self._with(transcripts=[row[0] for row in rows], calls=[number])

    async def _transcript(self, number: int, public_id: str) -> Meant:
        if not await self._engine.rows("transcripts_by_id", {"ids": [number]}):
            raise await missing(self._engine, TRANSCRIPT, number, public_id)
        return await self._with(transcripts=[number])

    async def _receipt(self, number: int, public_id: str) -> Meant:
        rows = await self._engine.rows("receipt_states", {"ids": [number]})
        if not rows:
            raise await missing(self._engine, RECEIPT, number, public_id)
        names = _named(rows[0][2])
        return await self._with(
            transcripts=[decode(TRANSCRIPT, name) for name in names if name.startswith(TRANSCRIPT)],
            events=[decode(EVENT, name) for name in names if name.startswith(EVENT)],
            receipts=[number],
        )

    async def _with(
        self,
        *,
        transcripts: Sequence[int],
        calls: Sequence[int] = (),
        events: Sequence[int] = (),
        receipts: Sequence[int] = (),
    ) -> Meant:
        """Add what hangs on it: calls and jobs of which nothing else is left, events, and the receipts that became any of it."""
        alone = await self._engine.rows("calls_of_only", {"ids": [*transcripts]})
        gone = {*calls, *(row[0] for row in alone)}
        about = await self._engine.rows("events_about", {"ids": [*transcripts], "calls": [*gone]})
        told = {*events, *(row[0] for row in about)}
        jobs = await self._engine.rows("jobs_about", {"ids": [*transcripts], "calls": [*gone]})
        became = await self._became([*transcripts], [*told])
        return Meant(
            transcripts=tuple(transcripts),
            receipts=tuple(sorted({*receipts, *became})),
            calls=tuple(sorted(gone)),
            events=tuple(sorted(told)),
            jobs=tuple(sorted(row[0] for row in jobs)),
        )

    async def _became(self, transcripts: list[int], events: list[int]) -> list[int]:
        """Return the receipts that became any of these, a copy that made no version too: a look through their sources."""
        names = [*(encode(TRANSCRIPT, one) for one in transcripts), *(encode(EVENT, one) for one in events)]
        found: list[int] = []
        for (source,) in await self._engine.rows("sources_of", {"ids": transcripts, "events": events}):
            after: int | None = 0
            while after is not None:
                params = {"source": source, "names": names, "after": after, "limit": _PAGE}
                rows = await self._engine.rows("receipts_naming", params)
                found += [row[0] for row in rows if row[1]]
                after = rows[-1][0] if len(rows) == _PAGE else None
        return found


def counted(meant: Meant) -> Erased:
    """Return how much is meant."""
    return Erased(**{name: len(getattr(meant, name)) for name in Erased.__struct_fields__})


def _named(outcome: str | None) -> list[str]:
    """Return the ids in what a receipt became."""
    return [str(value) for one in msgspec.json.decode(outcome or "[]") for value in one.values()]
