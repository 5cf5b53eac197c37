"""Rows to put into a store under test, and the clock it goes by."""

from collections.abc import Sequence
from typing import Any

import msgspec

from receiver.contract.model import DeliveryState, ReceiptState, Verdict
from receiver.store.records import NewReceipt, Tried, Writes, pack_headers, redelivery_key
from receiver.store.store import Store

DAY_MS = 86_400_000
NOON = 20_000 * DAY_MS + DAY_MS // 2
"""Some noon, Unix milliseconds."""
MIB = 1 << 20


class Clock:
    """A clock that a test sets, in Unix milliseconds."""

    def __init__(self, ms: int = NOON) -> None:
        self.ms = ms

    def __call__(self) -> float:
        """Return Unix time in seconds."""
        return self.ms / 1000


def a_receipt(store: Store, message_key: bytes, **changes: Any) -> NewReceipt:
    """Return a receipt to keep, of now, with the key of a message."""
    source = changes.get("source", "acme")
    now = changes.pop("received_at", store.now_ms())
    key, key_rest = redelivery_key(source, message_key)
    body = changes.pop("body", b"{}")
    made = NewReceipt(
        id=store.ids.next(),
        source=source,
        provider="acme",
        day=now // DAY_MS,
        key=key,
        key_rest=key_rest,
        verdict=Verdict.TOKEN,
        state=ReceiptState.RECEIVED,
        received_at=now,
        size=len(body),
        checks=None,
        headers=pack_headers(((b"content-type", b"application/json"),)),
        body=body,
    )
    return msgspec.structs.replace(made, **changes)


def a_tried(delivery_id: int, state: DeliveryState, **changes: Any) -> Tried:
    """Return how a first attempt ended."""
    made = Tried(
        delivery_id=delivery_id, number=1, started_at=NOON, duration=5, outcome="said", detail=None, state=state
    )
    return msgspec.structs.replace(made, **changes)


async def put_events(
    store: Store, calls: Sequence[int | None], sink: str = "archive", data: bytes = b"{}"
) -> list[int]:
    """Write one event with a delivery for each call id; return the deliveries' ids."""
    writes = Writes()
    made = []
    for call_id in calls:
        event, delivery = store.ids.next(), store.ids.next()
        made.append(delivery)
        writes.events.append((event, "acme", "acme.said", "2026-01-01T00:00:00Z", "rcp_x", call_id, None, None, data))
        now = store.now_ms()
        writes.deliveries.append((delivery, sink, event, call_id, DeliveryState.PENDING, now, now))
    await store.write(writes)
    return made
