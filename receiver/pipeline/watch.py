"""Watch: tells people what goes wrong slowly - a source that fell silent, refusals of a source that rise.

Each is told once. Whether it was told, and whether it is over, is read from what the store has: events, receipts and the
counts of refusals by the hour. So a restart neither repeats nor forgets.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import structlog

from receiver.contract.errors import StoreError
from receiver.contract.provider import Provider
from receiver.contract.times import from_ms
from receiver.pipeline.outbox import Outbox, Plan
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.signs import Signs
from receiver.store.store import Store

log = structlog.get_logger()

SILENT = "ops.source_silent"
RISING = "ops.refusals_rising"
MANY = 20
"""Refusals in this hour and the one before from which on they rise, if they are also `SHARE` of what was accepted."""
SHARE = 0.1
FEW = 10
"""Refusals of a whole hour below which it was a quiet one; so is one where they are less than half of `SHARE`."""
LOOK_BACK = 48
"""Hours in which a quiet one is looked for."""
SETTLES = 300.0
"""Seconds after a start in which nobody is called silent: what was sent while nothing ran here comes again first."""
_HOUR_MS = 3_600_000

Hours = Mapping[tuple[int, str], Counter[str]]
"""Refusals by hour of Unix time and source: how many for each reason."""


class Watch:
    """Looks at every source, now and then."""

    def __init__(
        self,
        store: Store,
        quarantine: Quarantine,
        sources: Mapping[str, Provider[Any]],
        outbox: Outbox,
        *,
        counts: bool,
    ) -> None:
        """`counts` says whether refusals are counted on disk."""
        self._store = store
        self._quarantine = quarantine
        self._sources = sources
        self._outbox = outbox
        self._counts = counts
        self._signs = Signs(store.engine)
        self._started = store.now_ms()

    def change(self, sources: Mapping[str, Provider[Any]]) -> None:
        """Look at other sources from now on."""
        self._sources = sources

    async def step(self) -> int:
        """Look once; return how many events that made. Raises StoreError."""
        plan = self._outbox.plan(self._store.now_ms())
        for name, provider in self._sources.items():
            if (seconds := provider.settings.silent_after) is not None:
                await self._silence(plan, name, provider, seconds)
        if self._counts and self._quarantine.there():
            hours = await self._hours()
            for name in sorted({source for _, source in hours} & {*self._sources}):
                await self._refusals(plan, name, hours)
        made = len(plan.writes.events)
        if made:
            await self._store.write(plan.writes)
        return made

    async def _silence(self, plan: Plan, source: str, provider: Provider[Any], seconds: float) -> None:
        """Tell of a source that was heard before and is not now; hearing it again ends that."""
        heard = await self._signs.heard(source)
        now = self._store.now_ms()
        settled = now - self._started >= 1000 * min(seconds, SETTLES)
        if heard is None or not settled or now - heard < seconds * 1000:
            return
        if await self._signs.told(source, SILENT, heard):
            return
        log.warning("source.silent", source=source, seconds=(now - heard) // 1000)
        data = {"source": source, "provider": provider.name, "last_receipt": from_ms(heard), "silent_after": seconds}
        plan.event(SILENT, source, source, data=data)

    async def _hours(self) -> Hours:
        found: dict[tuple[int, str], Counter[str]] = {}
        with contextlib.suppress(StoreError):  # the quarantine may break; who writes it says so
            for one in await self._quarantine.refusals(LOOK_BACK):
                found.setdefault((one.hour, one.source), Counter())[one.reason] += one.count
        return found

    async def _refusals(self, plan: Plan, source: str, hours: Hours) -> None:
        """Tell of refusals that rise; a quiet hour after that ends it."""
        hour = self._quarantine.hour()
        reasons = hours.get((hour, source), Counter()) + hours.get((hour - 1, source), Counter())
        if (refused := reasons.total()) < MANY:
            return
        accepted = await self._signs.kept(source, (hour - 1) * _HOUR_MS, (hour + 1) * _HOUR_MS)
        if refused < SHARE * accepted or await self._is_told(source, hour, hours):
            return
        log.warning("source.refusals_rising", source=source, refused=refused, accepted=accepted)
        data = {
            "source": source,
            "provider": self._sources[source].name,
            "since": from_ms((hour - 1) * _HOUR_MS),
            "refused": refused,
            "accepted": accepted,
            "reasons": dict(reasons),
        }
        plan.event(RISING, source, source, data=data)

    async def _is_told(self, source: str, hour: int, hours: Hours) -> bool:
        """Say whether people were told of this trouble: since then no whole hour was quiet."""
        told = await self._signs.told(source, RISING, 0)
        if told is None:
            return False
        for past in range(hour - 1, max(told // _HOUR_MS, hour - LOOK_BACK), -1):
            if await self._quiet(source, past, hours):
                return False
        return True

    async def _quiet(self, source: str, hour: int, hours: Hours) -> bool:
        refused = hours.get((hour, source), Counter()).total()
        if refused < FEW:
            return True
        return refused < SHARE / 2 * await self._signs.kept(source, hour * _HOUR_MS, (hour + 1) * _HOUR_MS)
