"""Activity: how much came in, went out, was refused or late in stretches of time; counted a little at a time."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from receiver.store.ids import at
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.store import Engine

COUNTED = 5000
"""A stretch of time is counted up to here."""
_REMEMBERED = 5000
_SETTLES_MS = 10_000
"""After this time a stretch of the past does not change any more: ids are times, and commits take no longer."""
_HOUR_MS = 3_600_000
_SEEN = 1000
"""Refused requests that are looked at for the last hour; the quarantine holds no more of them for long."""

Count = Callable[[int, int], Awaitable[int]]


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of equal stretches of time, the oldest first; the last one is not over. Times are Unix milliseconds."""

    starts: tuple[int, ...]
    received: tuple[int, ...]
    delivered: tuple[int, ...]
    refused: tuple[int, ...]
    late: tuple[int, ...]


class Activity:
    """Counts what happened; what is over is counted once."""

    def __init__(self, engine: Engine, quarantine: Quarantine) -> None:
        self._engine = engine
        self._quarantine = quarantine
        self._known: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    async def over(self, sources: Sequence[str], now: int, step: int, steps: int) -> Stretch:
        """Return the counts of `steps` stretches of `step` milliseconds, of which the last one holds `now`."""
        last = now // step * step
        starts = tuple(last - step * back for back in range(steps - 1, -1, -1))
        received = [await self._counted(f"in {name}", self._received(name), starts, step, now) for name in sources]
        return Stretch(
            starts=starts,
            received=tuple(sum(column) for column in zip(*received, strict=True)) or (0,) * steps,
            delivered=tuple(await self._counted("out", self._delivered, starts, step, now)),
            refused=await self._refused(starts, step),
            late=tuple(await self._counted("late", self._late, starts, step, now)),
        )

    async def _counted(self, name: str, count: Count, starts: Sequence[int], step: int, now: int) -> list[int]:
        found = []
        for start in starts:
            key = (name, start, step)
            if key not in self._known:
                value = await count(at(start), at(start + step))
                if start + step + _SETTLES_MS > now:
                    found.append(value)
                    continue
                self._known[key] = value
            found.append(self._known[key])
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _received(self, source: str) -> Count:
        async def count(since: int, until: int) -> int:
            return await self._one("receipts_between", source=source, since=since, until=until)

        return count

    async def _delivered(self, since: int, until: int) -> int:
        return await self._one("attempts_between", since=since, until=until)

    async def _late(self, since: int, until: int) -> int:
        return await self._one("events_between", type="job.overdue", since=since, until=until)

    async def _one(self, query: str, **params: int | str) -> int:
        ((count,),) = await self._engine.rows(query, {**params, "most": COUNTED})
        return int(count)

    async def _refused(self, starts: Sequence[int], step: int) -> tuple[int, ...]:
        """Return what was refused: by the hour as it was counted, by less as it is kept."""
        found = dict.fromkeys(starts, 0)
        if step >= _HOUR_MS:
            for one in await self._quarantine.refusals(len(starts)):
                if one.hour * _HOUR_MS in found:
                    found[one.hour * _HOUR_MS] += one.count
        else:
            for row in await self._quarantine.newest(_SEEN, since=starts[0]):
                if row.received_at // step * step in found:
                    found[row.received_at // step * step] += 1
        return tuple(found.values())
