"""Trial: an `ops.test` event to one sink only, by the way of every delivery, and what came of it."""

import asyncio
import time

import msgspec

from receiver.contract.errors import UsageError
from receiver.contract.model import DeliveryState, SinkState
from receiver.contract.times import from_ms
from receiver.store.ids import DELIVERY, EVENT, encode
from receiver.store.records import SinkRow, Writes
from receiver.store.store import Row, Store

WITHIN = 30.0
"""Seconds that a trial waits where nobody says otherwise."""
LONGEST = 300.0
_LOOK = 0.1
_OPEN = (DeliveryState.PENDING, DeliveryState.IN_FLIGHT)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How a trial ended: `state` is the delivery's, `detail` what its last try said, `seconds` how long it took."""

    sink: str
    arrived: bool
    state: str
    detail: str | None
    attempts: int
    seconds: float
    delivery: str
    event: str


async def try_out(store: Store, sink: str, within: float = WITHIN) -> Trial:
    """Send a test event to a configured sink and wait `within` seconds; what has not gone out by then is given up.

    Raises UsageError where the sink is paused.
    """
    row = (await store.sinks()).get(sink)
    if row is not None and row.state == SinkState.PAUSED:
        raise UsageError(f"{sink} is paused: `hookscribe sinks resume {sink}` first")
    began = time.monotonic()
    event_id, delivery_id = await _put(store, sink)
    found = await _look(store, delivery_id)
    while found[5] in _OPEN and time.monotonic() - began < within:
        await asyncio.sleep(_LOOK)
        found = await _look(store, delivery_id)
    if found[5] == DeliveryState.PENDING:
        waiting = {"ids": [delivery_id], "states": [DeliveryState.PENDING.value], "now": store.now_ms()}
        await store.engine.write("discard_deliveries", {**waiting, "detail": "a test that did not arrive in time"})
    attempts = await store.engine.rows("delivery_attempts", {"id": delivery_id})
    untried = None if attempts or found[6] else _why_untried((await store.sinks()).get(sink))
    return Trial(
        sink=sink,
        arrived=found[5] == DeliveryState.DELIVERED,
        state=found[5],
        detail=attempts[-1][5] if attempts else untried,
        attempts=found[6],
        seconds=round(time.monotonic() - began, 3),
        delivery=encode(DELIVERY, delivery_id),
        event=encode(EVENT, event_id),
    )


def _why_untried(row: SinkRow | None) -> str:
    if row is None or row.state != SinkState.TRIPPED:
        return "nobody tried: is `hookscribe serve` running?"
    why = f": {row.reason}" if row.reason else ""
    return f"nobody tried, because the sink failed again and again{why}; `hookscribe sinks resume {row.name}` tries at once"


async def _put(store: Store, sink: str) -> tuple[int, int]:
    event_id, delivery_id, now = store.ids.next(), store.ids.next(), store.now_ms()
    data = msgspec.json.encode({"sink": sink, "text": "A test of this sink, on an operator's word."})
    event: Row = (event_id, "", "ops.test", from_ms(now), sink, None, None, None, data)
    delivery: Row = (delivery_id, sink, event_id, None, DeliveryState.PENDING, now, now)
    await store.write(Writes(events=[event], deliveries=[delivery]))
    return event_id, delivery_id


async def _look(store: Store, delivery_id: int) -> Row:
    (found,) = await store.engine.rows("list_deliveries", {"id": delivery_id, "limit": 1}, ["d.id = :id"])
    return found
