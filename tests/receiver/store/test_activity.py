"""Activity: what came, went, was refused and late, by stretches of time."""

from pathlib import Path

from kept import kept_in, normalized, notice

from receiver.contract.model import DeliveryState
from receiver.store.activity import Activity
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import RefusalCount
from receiver.testing.store import MIB, Clock, a_tried

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


async def test_what_happened_is_counted_where_it_happened(tmp_path: Path) -> None:
    """In its stretch of time; what is over is not counted again, the running one is."""
    clock = Clock()
    clock.ms = clock.ms // HOUR_MS * HOUR_MS + 30 * MINUTE_MS
    async with kept_in(tmp_path / "store.db", clock) as store:
        quarantine = Quarantine(tmp_path / "quarantine.db", clock)
        await normalized(store, [notice("a"), notice("b")], source="acme")
        due = await store.due("archive", 9, in_order=False, max_bytes=MIB)
        await store.tried(
            [a_tried(due[0].id, DeliveryState.DELIVERED, outcome="delivered"), a_tried(due[1].id, DeliveryState.DEAD)]
        )
        await quarantine.count([RefusalCount(quarantine.hour(), "acme", "token_unknown", 7)])
        activity = Activity(store.engine, quarantine)
        for _ in range(2):
            hour = await activity.over(["acme", "none"], clock.ms, MINUTE_MS, 60)
            assert (hour.received[-1], sum(hour.received)) == (2, 2)
            assert (hour.delivered[-1], sum(hour.delivered)) == (1, 1)
            assert hour.starts[-1] == clock.ms
        day = await activity.over(["acme"], clock.ms, HOUR_MS, 24)
        assert (day.received[-1], day.refused[-1], sum(day.late)) == (2, 7, 0)
        clock.ms += 5 * MINUTE_MS
        await normalized(store, [notice("c")], source="acme")
        later = await activity.over(["acme"], clock.ms, MINUTE_MS, 60)
        assert (later.received[-1], later.received[-6]) == (1, 2)
        assert await activity.over([], clock.ms, MINUTE_MS, 3) is not None
        await quarantine.close()
