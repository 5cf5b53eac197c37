"""How attempts ended, beside the sends: one group at a time, each of all that ended meanwhile."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from pipeline_fakes import until, world

from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import DeliveryState
from receiver.pipeline.endings import Ending, Endings
from receiver.store.records import DueDelivery, Tried
from receiver.store.store import Store
from receiver.testing.rows import put_events


class Slow(Store):
    """The same store, in which `tried` waits for a gate, or fails."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine, store._now)
        self.start, self.ids = store.start, store.ids
        self.gate = asyncio.Event()
        self.groups: list[int] = []
        self.error: Exception | None = None

    async def tried(self, results: Sequence[Tried]) -> None:
        self.groups.append(len(results))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        await super().tried(results)


def ended(row: DueDelivery, state: DeliveryState) -> Ending:
    """Return that a first attempt came to a state."""
    made = Tried(
        delivery_id=row.id, number=1, started_at=0, duration=3, outcome="delivered", detail="done", state=state
    )
    return row, made


async def test_a_group_is_all_that_ended_while_the_one_before_was_written(tmp_path: Path) -> None:
    """One transaction at a time; the dead are told of once they are on disk; a failure is raised once, and loses nothing."""
    async with world(tmp_path) as one:
        store, buried, woken = Slow(one.store), [], asyncio.Event()
        done: list[Ending] = []

        async def bury(row: DueDelivery, _: Tried) -> None:
            buried.append((row.id, one.sql("SELECT state FROM deliveries WHERE id = ?", row.id)))

        made = await put_events(one.store, [None] * 5, "archive")
        rows = await one.store.due("archive", 5, in_order=False, max_bytes=1000)
        endings = Endings(store, buried=bury, written=done.extend, wake=woken.set, busy=lambda: False)
        endings.add([ended(rows[0], DeliveryState.DELIVERED)])
        await until(lambda: store.groups == [1])
        for row in rows[1:4]:
            endings.add([ended(row, DeliveryState.DELIVERED)])
        assert (store.groups, len(endings), endings.busy) == ([1], 3, True)
        store.gate.set()
        await until(lambda: not endings.busy)
        assert (store.groups, woken.is_set()) == ([1, 3], True)
        store.error = StoreUnavailable("disk full")
        endings.add([ended(rows[4], DeliveryState.DEAD)])
        await until(lambda: len(store.groups) == 3 and len(endings) == 1)
        store.error = None
        with pytest.raises(StoreUnavailable):
            endings.again()
        endings.again()
        await endings.flush()
        assert one.sql("SELECT state FROM deliveries ORDER BY id") == [("delivered",)] * 4 + [("dead",)]
        assert one.sql("SELECT count(*) FROM attempts") == [(5,)]
        assert buried == [(made[4], [("dead",)])]
        assert [row.id for row, _ in done] == made


async def test_while_there_is_much_to_send_a_group_grows(tmp_path: Path) -> None:
    """What ends is written together where nobody waits for it, at last after a moment, and at once where somebody does."""
    async with world(tmp_path) as one:
        store, busy = Slow(one.store), [True]
        store.gate.set()

        async def bury(row: DueDelivery, _: Tried) -> None:
            raise AssertionError(row)

        await put_events(one.store, [None] * 200, "archive")
        rows = await one.store.due("archive", 200, in_order=False, max_bytes=1000)
        endings = Endings(store, buried=bury, written=lambda _: None, wake=lambda: None, busy=lambda: busy[0])
        endings.add([ended(rows[0], DeliveryState.DELIVERED)])
        await asyncio.sleep(0)
        for row in rows[1:150]:
            endings.add([ended(row, DeliveryState.DELIVERED)])
        await until(lambda: not endings.busy)
        assert store.groups == [150]
        busy[0] = False
        store.groups.clear()
        endings.add([ended(rows[150], DeliveryState.DELIVERED)])
        await endings.flush()
        assert store.groups == [1]
