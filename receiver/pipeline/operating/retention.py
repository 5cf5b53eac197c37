"""Retention: what was kept long enough goes, in steps so small that receiving does not notice.

What still waits stays, whatever its age: receipts that are not normalized, events that a sink has not taken. Keys stay
too, in rows without content: an old redelivery stays a redelivery, and an old result makes no second event. There is no
list of what is done: what went is not found again, so a restart goes on where the last one ended.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from receiver.contract.errors import StoreError
from receiver.contract.model import ReceiptState
from receiver.contract.provider import Provider
from receiver.pipeline.uploaded import Uploaded
from receiver.store.audit import Trail
from receiver.store.ids import CALL, DELIVERY, EVENT, JOB, at
from receiver.store.jobs import ENDED, drop_jobs
from receiver.store.listing import fitting
from receiver.store.records import pack_headers
from receiver.store.search import forget_words
from receiver.store.store import Row, Store

log = structlog.get_logger()

DEFAULT_KEEP = "90d"
_UNITS = {"h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_EVERY = 600.0
_LOOK = 1000
"""Rows that are looked at with one query."""
_MOST = 500
"""Rows that one transaction takes at most; how many it does depends on how long the last one took."""
_MOST_BYTES = 4 * 1024 * 1024
_LONG, _SHORT = 0.020, 0.005
"""Seconds: a transaction longer than the one is followed by a smaller, one shorter than the other by a larger."""
_REST = 4
"""How much longer the pause after a transaction is than the transaction was: others write meanwhile."""


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How many milliseconds a source's things are kept, done and failed; None is forever."""

    done: int | None
    failed: int | None

    @classmethod
    def read(cls, keep: str, keep_failed: str | None = None) -> "Keep":
        """Read what settings say."""
        return cls(done=_milliseconds(keep), failed=_milliseconds(keep if keep_failed is None else keep_failed))


class _Ends(msgspec.Struct, frozen=True):
    """The moments before which a source's things go, Unix milliseconds; 0 where none goes."""

    done: int
    failed: int

    @property
    def last(self) -> int:
        return max(self.done, self.failed)


def keeps(sources: Mapping[str, Provider[Any]]) -> dict[str, Keep]:
    """Return how long each source's things are kept."""
    return {name: Keep.read(one.settings.keep, one.settings.keep_failed) for name, one in sources.items()}


class Retention:
    """The one runner of a store, inside its one worker."""

    def __init__(
        self, store: Store, keeps: Mapping[str, Keep], audit_keep: str = "forever", recordings: Path | None = None
    ) -> None:
        """`keeps` are those of the configured sources; what belongs to no source of now stays.

        `audit_keep` is how long the audit trail is kept, `recordings` where those are that were sent to us.
        """
        self._recordings = recordings
        self._audit = _milliseconds(audit_keep)
        self._store = store
        self._marks: dict[tuple[str, str], tuple[int, int]] = {}
        self._keeps: Mapping[str, Keep] = {}
        self._rows = 50
        self.change(keeps)

    def change(self, keeps: Mapping[str, Keep]) -> None:
        """Go by other settings from the next round on, and look at everything again."""
        self._keeps = {"": Keep.read(DEFAULT_KEEP), **keeps}
        self._marks = {}

    async def run(self) -> None:
        """Take what has passed, again and again, until cancelled."""
        while True:
            try:
                taken = await self.once() if await self._store.leads("retention") else {}
                if any(taken.values()):
                    log.info("retention.took", **taken)
            except StoreError as error:
                log.warning("retention.store_failed", why=str(error))
            except OSError as error:
                log.warning("retention.recordings_not_read", why=str(error))
            await asyncio.sleep(_EVERY)

    async def once(self) -> dict[str, int]:
        """Take everything that has passed by now; return how much of what."""
        taken = {"receipts": 0, "events": 0, "transcripts": 0, "jobs": 0, "calls": 0}
        now = self._store.now_ms()
        for source, keep in tuple(self._keeps.items()):
            ends = _Ends(*(0 if one is None else max(0, now - one) for one in (keep.done, keep.failed)))
            taken["receipts"] += await self._receipts(source, ends)
            taken["events"] += await self._events(source, ends)
            taken["transcripts"] += await self._transcripts(source, ends)
            taken["jobs"] += await self._jobs(source, ends)
        kept = [one for keep in self._keeps.values() for one in (keep.done, keep.failed) if one is not None]
        taken["calls"] = await self._calls(now - min(kept))
        if self._recordings is not None:
            await Uploaded(self._store, self._recordings).sweep()
        trimmed = await self._trail(now)
        return {**taken, "audit": trimmed} if trimmed else taken

    async def _trail(self, now: int) -> int:
        """Trim the audit trail."""
        if self._audit is None:
            return 0
        trail, taken = Trail(self._store), 0
        while True:
            began = time.monotonic()
            went = await trail.trim(now - self._audit)
            taken += went
            await self._rest(began)
            if not went:
                return taken

    async def _receipts(self, source: str, ends: _Ends) -> int:
        """Blank receipts; the row with its key stays."""
        mark = ("receipts", source)
        taken, (_, after) = 0, self._marks.get(mark, (0, 0))
        async for rows in self._walk("expired_receipts", after, source=source, before=at(ends.done)):
            taken += await self._blank([row for row in rows if row[2] == ReceiptState.NORMALIZED])
            self._marks[mark] = (0, rows[-1][0])
        async for rows in self._walk("expired_unreadable", 0, source=source, before=at(ends.failed)):
            taken += await self._blank(rows)
        return taken

    async def _blank(self, rows: list[Row]) -> int:
        taken = 0
        while rows:
            part = rows[: min(self._rows, fitting([row[1] for row in rows], _MOST_BYTES))]
            params = {"ids": [row[0] for row in part], "state": part[0][2], "headers": pack_headers(())}
            began = time.monotonic()
            taken += await self._store.engine.write("receipts_gone", params)
            await self._rest(began)
            rows = rows[len(part) :]
        return taken

    async def _events(self, source: str, ends: _Ends) -> int:
        """Delete events with their deliveries and attempts, where nothing waits for a sink."""
        bounds = {"before": at(ends.done), "before_failed": at(ends.failed)}
        taken = 0
        async for rows in self._walk("expired_events", 0, source=source, before=at(ends.last)):
            taken += await self._drop("events", [row[0] for row in rows], bounds, EVENT)
        return taken

    async def _transcripts(self, source: str, ends: _Ends) -> int:
        """Delete what transcripts said, where no event is about them; the row with the result key stays."""
        mark = ("transcripts", source)
        bounds = {"done_ms": ends.done, "failed_ms": ends.failed}
        place, taken, held = self._marks.get(mark, (0, 0)), 0, False
        while True:
            params = {"source": source, "after_ms": place[0], "after": place[1], "before_ms": ends.last}
            rows = await self._store.engine.rows("expired_transcripts", {**params, "limit": _LOOK})
            if not rows:
                return taken
            left = [row[0] for row in rows if row[2]]
            went = await self._drop("transcripts", left, bounds)
            taken, held = taken + went, held or went < len(left)
            place = (rows[-1][1], rows[-1][0])
            if not held:  # what had to stay is looked at again, and all behind it
                self._marks[mark] = place

    async def _jobs(self, source: str, ends: _Ends) -> int:
        """Delete jobs that ended, once nothing is left of their results; their tokens stay known."""
        bounds, taken = {"done_ms": ends.done, "failed_ms": ends.failed}, 0
        for state in ENDED:
            async for rows in self._walk("expired_jobs", 0, source=source, state=state, before=at(ends.last)):
                taken += await self._drop("jobs", [row[0] for row in rows], bounds, JOB)
        return taken

    async def _calls(self, before_ms: int) -> int:
        """Delete calls that nothing is left of."""
        taken = 0
        async for rows in self._walk("expired_calls", 0, before=at(before_ms)):
            taken += await self._drop("calls", [row[0] for row in rows], {"before_ms": before_ms}, CALL)
        return taken

    async def _walk(self, query: str, after: int, **params: Any) -> AsyncIterator[list[Row]]:
        """Yield rows by id, oldest first."""
        while rows := await self._store.engine.rows(query, {**params, "after": after, "limit": _LOOK}):
            yield rows
            after = rows[-1][0]

    async def _drop(self, things: str, ids: list[int], bounds: Mapping[str, int], prefix: str = "") -> int:
        """Delete of these what is settled, transaction by transaction; whether it is, is asked inside each."""
        taken = start = 0
        while start < len(ids):
            part = ids[start : start + self._rows]
            start += len(part)
            began = time.monotonic()
            async with self._store.engine.transaction(alone=True) as tx:
                found = [row[0] for row in await tx.rows(f"settled_{things}", {"ids": part, **bounds})]
                if found and prefix == EVENT:
                    ((last,),) = await tx.rows("last_delivery", {"ids": found})
                    await tx.run("put_retention", {"thing": DELIVERY, "until": last or 0})
                    await tx.run("drop_attempts", {"ids": found})
                    await tx.run("drop_deliveries", {"ids": found})
                if found and prefix:
                    await tx.run("put_retention", {"thing": prefix, "until": max(found)})
                if found and things == "transcripts":
                    await forget_words(tx, found)
                    await tx.run("words_removed", {"now": self._store.now_ms()})
                    await tx.run("drop_answers", {"ids": found})
                if found and things == "jobs":
                    await drop_jobs(tx, found)
                elif found:
                    await tx.run("drop_versions" if things == "transcripts" else f"drop_{things}", {"ids": found})
            taken += len(found)
            await self._rest(began)
        return taken

    async def _rest(self, began: float) -> None:
        """Let others write, and choose how many rows the next transaction takes."""
        took = time.monotonic() - began
        if took > _LONG:
            self._rows = max(1, self._rows // 2)
        elif took < _SHORT:
            self._rows = min(_MOST, self._rows * 2)
        await asyncio.sleep(_REST * took)


def _milliseconds(text: str) -> int | None:
    return None if text == "forever" else int(text[:-1]) * _UNITS[text[-1]]
