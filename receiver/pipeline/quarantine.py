"""Refusals: counted in memory, told in few log lines, some kept for a while; never in the way of what proves."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from receiver.config import QuarantineSettings
from receiver.contract.errors import StoreError
from receiver.contract.model import InboundRequest, kept_token
from receiver.contract.proof import Refused
from receiver.contract.provider import Provider
from receiver.pipeline.refusals import Held, Kind, Waiting, cost, in_turns
from receiver.pipeline.verify import explained
from receiver.store.ids import QUARANTINED, Ids, encode
from receiver.store.quarantine.quarantine import Quarantine, is_broken
from receiver.store.quarantine.records import NewQuarantined, RefusalCount
from receiver.store.records import pack_headers

log = structlog.get_logger()

UNKNOWN_SOURCE = "unknown_source"
FLUSH_EVERY = 1.0
TOLD_EVERY = 5.0
COUNTED_EVERY = 10.0
TRIMMED_EVERY = 600.0
"""Seconds after which a quarantine that gets nothing new is looked through for what is too old."""
EXPLAINED = 10
"""Explanations a flush."""
EXPLAINING = 0.1
"""Seconds of explaining a flush; what takes longer uses up the time of the next ones."""
EXPLAINED_BYTES = 1024 * 1024


class QuarantineWriter:
    """Takes notice of refusals on the hot path, and writes them down beside it."""

    def __init__(
        self,
        sources: Mapping[str, Provider[Any]],
        store: Quarantine,
        settings: QuarantineSettings,
        *,
        ids: Ids,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` counts seconds and never steps back. With `enabled` off, nothing is written to disk."""
        self.change(sources, settings)
        self._store = store
        self._ids = ids
        self._clock = clock
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._waiting = Waiting()
        self._spent = 0.0
        self._count_at = clock() + COUNTED_EVERY
        self._noted = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._failing = False
        self.kept = 0
        """Requests written to the quarantine since the start."""
        self.passed_over = 0
        """Refusals since the start of which the quarantine took only the count: too many, too large, or no disk."""

    def change(self, sources: Mapping[str, Provider[Any]], settings: QuarantineSettings) -> None:
        """Go by other settings from the next refusal on."""
        self._sources = sources
        self._settings = settings
        self._kept_of = {name for name, one in sources.items() if settings.enabled and one.settings.quarantine}

    def note(self, request: InboundRequest, refused: Refused) -> None:
        """Take notice of a refused request; quick, and never raises."""
        try:
            kind = self._kind(request.source, refused.reason)
            number = self._hold(kind, request, refused) if request.source in self._kept_of else None
            self._count(kind, refused.checks[0].detail if refused.checks else None, number)
        except Exception as error:  # noqa: BLE001 -- the answer to the sender does not depend on this
            log.error("refusal.not_noted", error=type(error).__name__)

    def unknown(self) -> None:
        """Count a request for a source that is not ours."""
        self._count(self._kind("", UNKNOWN_SOURCE), None, None)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many were refused since the start, by source (empty for unknown ones) and reason."""
        return {key: kind.count for key, kind in self._kinds.items()}

    async def run(self) -> None:
        """Write what was noted, at most once in `FLUSH_EVERY` seconds, until cancelled."""
        await self._trim()
        while True:
            try:
                async with asyncio.timeout(TRIMMED_EVERY):
                    await self._noted.wait()
            except TimeoutError:
                await self._trim()
                continue
            self._noted.clear()
            await self._flush()
            await asyncio.sleep(FLUSH_EVERY)
            if any(kind.untold or (kind.uncounted and self._settings.enabled) for kind in self._kinds.values()):
                self._noted.set()

    async def close(self) -> None:
        """Write and tell everything that is left; the file stays open to whoever else uses it."""
        self._count_at = float("-inf")
        for kind in self._kinds.values():
            kind.tell_at = float("-inf")
        await self._flush()

    def _kind(self, source: str, reason: str) -> Kind:
        kind = self._kinds.get((source, reason))
        if kind is None:
            kind = self._kinds[source, reason] = Kind(source, reason)
        return kind

    def _count(self, kind: Kind, detail: str | None, number: int | None) -> None:
        kind.count += 1
        kind.uncounted += 1
        kind.untold += 1
        kind.detail = detail
        if self._clock() >= kind.tell_at:
            self._tell(kind, number)
        if not self._noted.is_set():
            self._noted.set()

    def _tell(self, kind: Kind, number: int | None = None) -> None:
        told, kind.untold = kind.untold, 0
        kind.tell_at = self._clock() + TOLD_EVERY
        fields = {"quarantined": encode(QUARANTINED, number)} if number is not None else {}
        log.warning(
            "receipt.refused", source=kind.source or None, reason=kind.reason, count=told, detail=kind.detail, **fields
        )

    def _hold(self, kind: Kind, request: InboundRequest, refused: Refused) -> int | None:
        size = cost(request)
        if len(request.body) <= self._settings.max_bytes and self._waiting.has_room(kind, size):
            number = self._ids.next()
            self._waiting.add(Held(number, kind, request, refused.checks, size))
            return number
        self.passed_over += 1
        return None

    async def _flush(self) -> None:
        async with self._flushing:
            for kind in self._kinds.values():
                if kind.untold and self._clock() >= kind.tell_at:
                    self._tell(kind)
            if self._waiting:
                await self._write(self._waiting.all())
            if self._settings.enabled and self._clock() >= self._count_at:
                self._count_at = self._clock() + COUNTED_EVERY
                await self._write_counts()

    async def _write(self, batch: list[Held]) -> None:
        """Write a batch, which waits until it is written or given up, so that a stop in between loses nothing."""
        try:
            rows = await asyncio.to_thread(self._rows, batch)
            await self._store.put(rows, self._settings)
        except Exception as error:  # noqa: BLE001 -- a full disk, a file gone: refusals are counted all the same
            self.passed_over += len(batch)
            await self._failed(error)
        else:
            self.kept += len(batch)
            self._recovered()
        self._waiting.done(batch)

    async def _write_counts(self) -> None:
        hour = self._store.hour()
        counted = [(kind, kind.uncounted) for kind in self._kinds.values() if kind.uncounted]
        if not counted:
            return
        try:
            await self._store.count([RefusalCount(hour, kind.source, kind.reason, count) for kind, count in counted])
        except Exception as error:  # noqa: BLE001 -- they stay in memory until the disk is back
            await self._failed(error)
        else:
            self._recovered()
            for kind, count in counted:
                kind.uncounted -= count

    async def _trim(self) -> None:
        async with self._flushing:
            try:
                if self._store.there():
                    await self._store.trim(self._settings)
            except Exception as error:  # noqa: BLE001 -- the next time may do
                await self._failed(error)

    async def _failed(self, error: Exception) -> None:
        if not self._failing:
            log.error("quarantine.failed", error=error)
        self._failing = True
        if isinstance(error, StoreError) and is_broken(error):
            log.error("quarantine.begun_anew", path=self._store.path)
            with contextlib.suppress(OSError):
                await self._store.remake()

    def _recovered(self) -> None:
        if self._failing:
            log.info("quarantine.writes_again", passed_over=self.passed_over)
        self._failing = False

    def _rows(self, batch: list[Held]) -> list[NewQuarantined]:
        self._explain(batch)
        return [_row(one) for one in batch]

    def _explain(self, batch: list[Held]) -> None:
        """Add what would have matched, one of each kind first, as long as time allows."""
        self._spent = max(0.0, self._spent - EXPLAINING)
        for one in in_turns(batch)[:EXPLAINED]:
            if self._spent >= EXPLAINING:
                return
            provider = self._sources.get(one.request.source)
            if provider is not None and len(one.request.body) <= EXPLAINED_BYTES:
                start = time.perf_counter()
                more = explained(provider, one.request, one.request.received_at / 1000)
                one.checks = tuple(dict.fromkeys((*one.checks, *more)))
                self._spent += time.perf_counter() - start


def _row(one: Held) -> NewQuarantined:
    request = one.request
    token = kept_token(request)
    return NewQuarantined(
        id=one.id,
        source=request.source,
        reason=one.kind.reason,
        received_at=request.received_at,
        size=len(request.body),
        checks=msgspec.json.encode(one.checks).decode(),
        token_digest=token.digest if token else None,
        token_length=token.length if token else None,
        headers=pack_headers(request.headers),
        body=request.body,
    )
