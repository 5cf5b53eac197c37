"""Gauges: what waits in the store, and since when, read without looking at more rows than wait."""

from collections.abc import Mapping, Sequence

import msgspec

from receiver.contract.model import ReceiptState, SinkState
from receiver.store.ids import moment
from receiver.store.jobs import counts_by_source, late_jobs
from receiver.store.store import Engine

COUNTED = 10_000
"""Receipts of a state are counted up to here."""


class Waits(msgspec.Struct, frozen=True):
    """How many wait, and since when the oldest does: Unix milliseconds, None where nothing waits."""

    count: int
    since: int | None


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What waits: `receipts` by state, `deliveries` by sink and state; when each sink's oldest delivery fell due."""

    receipts: dict[str, Waits]
    deliveries: dict[tuple[str, str], Waits]
    due: dict[str, int]
    """Unix milliseconds; no entry where nothing is due."""
    sinks: dict[str, str]
    """The state of each sink that was ever sent to."""
    jobs: Mapping[tuple[str, str], int]
    """How many jobs each source has in each state; of one operation, up to 10,000 are counted."""
    late: dict[str, tuple[int, float]]
    """Of each source, how many jobs' results came after their deadline, and by how many seconds the latest."""


async def read_gauges(engine: Engine, sinks: Sequence[str], now: int) -> Gauges:
    """Read what waits; `now` in Unix milliseconds. Raises StoreError."""
    states = [state for state in ReceiptState if state is not ReceiptState.NORMALIZED]
    receipts = await engine.rows("open_receipts", {"states": states, "most": COUNTED})
    deliveries = await engine.rows("open_deliveries")
    due = await engine.rows("oldest_pending", {"sinks": list(sinks)})
    known = {row[0]: SinkState.RUNNING for row in due} | {row[0]: row[1] for row in await engine.rows("sink_states")}
    return Gauges(
        receipts={state: Waits(count, moment(oldest) if oldest else None) for state, count, oldest in receipts},
        deliveries={(sink, state): Waits(count, moment(oldest)) for sink, state, count, oldest in deliveries},
        due={sink: at for sink, at in due if at is not None and at <= now},
        sinks=known,
        jobs=await counts_by_source(engine),
        late=await _late(engine),
    )


async def _late(engine: Engine) -> dict[str, tuple[int, float]]:
    found: dict[str, tuple[int, float]] = {}
    for (source, _), (late, latest) in (await late_jobs(engine)).items():
        known, longest = found.get(source, (0, 0.0))
        found[source] = (known + late, max(longest, latest))
    return found
