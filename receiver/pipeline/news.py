"""News: what becomes of a sink and its deliveries is an event for the other sinks."""

import contextlib
from typing import Any

from receiver.contract.errors import StoreError
from receiver.pipeline.outbox import Outbox
from receiver.store.ids import DELIVERY, EVENT, encode
from receiver.store.records import DueDelivery, Tried
from receiver.store.store import Store


class News:
    """Tells of one sink."""

    def __init__(self, sink: str, store: Store, outbox: Outbox) -> None:
        self._sink = sink
        self._store = store
        self._outbox = outbox

    async def tripped(self, reason: str | None) -> None:
        """Nothing more is sent to it than a probe now and then."""
        await self._tell("ops.sink_tripped", self._sink, {"sink": self._sink, "reason": reason})

    async def dead(self, row: DueDelivery, one: Tried) -> None:
        """A delivery is tried no more; that of an event of this kind is told to nobody.

        Two sinks that refuse everything would tell each other for ever.
        """
        if row.type.startswith("ops."):
            return
        delivery = encode(DELIVERY, row.id)
        data = {"id": delivery, "sink": self._sink, "event": encode(EVENT, row.event_id), "type": row.type}
        more = {"attempts": one.number, "reason": one.detail}
        await self._tell("ops.delivery_dead", delivery, {**data, **more}, row.source)

    async def _tell(self, event_type: str, subject: str, data: dict[str, Any], source: str = "") -> None:
        """Write the event; one about a sink never goes to that sink."""
        plan = self._outbox.plan(self._store.now_ms())
        plan.event(event_type, source, subject, data=data, never_to=self._sink)
        with contextlib.suppress(StoreError):
            await self._store.write(plan.writes)
