"""Replay: deliver stored events again, give deliveries up or to another sink, pause sinks - on an operator's word.

A replay is a new delivery with an id of its own for the same event, so a sink sees the same event id again. The old
delivery stays as history; a dead one becomes `discarded` with a pointer to the new one, so that the list of the dead
holds what still needs somebody. A sink that keeps a call's events in order sends by delivery id: replayed events come
in their old order, behind what waits already. What is under way to a sink is not doubled.

A move changes the sink of a delivery and keeps its id, so that it stands before what its new sink got since.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

import msgspec

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import DeliveryState, SinkState
from receiver.pipeline.condition import Happened
from receiver.pipeline.operating.chosen import MISSING, Chosen, Move, Where, of_deliveries, of_events
from receiver.pipeline.operating.trial import WITHIN, Trial, try_out
from receiver.pipeline.outbox import Route
from receiver.store.gone import missing
from receiver.store.ids import DELIVERY, EVENT, decode, encode
from receiver.store.records import DueDelivery, SinkRow
from receiver.store.store import Row, Store, Tx

STEP = 500
"""Deliveries that are written in one transaction; between two of them, others write."""
REPLAYABLE = (DeliveryState.DEAD, DeliveryState.DISCARDED, DeliveryState.DELIVERED)
DISCARDABLE = (DeliveryState.DEAD, DeliveryState.PENDING)

_NEWEST = (
    "NOT EXISTS (SELECT 1 FROM deliveries AS newer"
    " WHERE newer.event_id = d.event_id AND newer.sink = d.sink AND newer.id > d.id)"
)


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """How many were found, and how many were changed; on a dry run none."""

    matched: int
    changed: int


class Moved(msgspec.Struct, kw_only=True):
    """How many were found that the new sink takes, and moved; how many of them it had already, and how many it does
    not take, which stay where they are.
    """

    matched: int = 0
    changed: int = 0
    doubled: int = 0
    stay: int = 0


class Replay:
    """The operator's verbs."""

    def __init__(self, store: Store, routes: Sequence[Route], *, prefix: str = "", step: int = STEP) -> None:
        """`routes` are those of the configured sinks, `prefix` the settings' `event_prefix`."""
        self._store = store
        self._routes = {route.sink: route for route in routes}
        self._prefix = prefix
        self._step = step

    async def replay(self, chosen: Chosen, *, dry_run: bool = False) -> Changed:
        """Send again what a filter finds: of each event the newest delivery to each sink, where it is in the state.

        State `missing` needs a sink, and finds the events that it takes and that never were on their way to it.
        Raises NotFound for a sink that is not configured, and UsageError.
        """
        self._check(chosen, (*REPLAYABLE, MISSING))
        end = self._store.ids.next()
        if chosen.state == MISSING:
            sink = chosen.sink or ""
            where = await of_events(self._store.engine, chosen, end)
            await self._takes(where, sink)
            send = partial(self._send_events, sink=sink)
            return await self._walk("events", where, send, dry_run=dry_run, to=self._routes[sink])
        where = await of_deliveries(self._store.engine, chosen, end)
        where.among("d.sink", "route", self._routes)
        where.add(_NEWEST)
        return await self._walk("deliveries", where, lambda ids: self._send_again(ids, [chosen.state]), dry_run=dry_run)

    async def discard(self, chosen: Chosen, *, dry_run: bool = False) -> Changed:
        """Give up what a filter finds, dead or pending; the sink may be one that is configured no more."""
        self._check(msgspec.structs.replace(chosen, sink=None), DISCARDABLE)
        where = await of_deliveries(self._store.engine, chosen, self._store.ids.next())
        return await self._walk("deliveries", where, lambda ids: self._give_up(ids, [chosen.state]), dry_run=dry_run)

    async def move(self, move: Move, *, dry_run: bool = False) -> Moved:
        """Give what waits for a sink, configured or not, to another that takes it, oldest first.

        An event that the other has already is not doubled: its delivery is discarded. Raises NotFound where the other
        is not configured, and UsageError.
        """
        self._known(move.to)
        if move.from_ == move.to:
            raise UsageError("to: it is the sink that they come from")
        moved, end = Moved(), self._store.ids.next()
        for state in (DeliveryState.DEAD, DeliveryState.PENDING) if move.dead else (DeliveryState.PENDING,):
            where = await of_deliveries(self._store.engine, move.chosen(state), end)
            all_ = await self._walk("deliveries", where, _nothing, dry_run=True)
            await self._takes(where, move.to)
            hand_over = partial(self._hand_over, move, state, moved)
            done = await self._walk("deliveries", where, hand_over, dry_run=dry_run, to=self._routes[move.to])
            moved.matched += done.matched
            moved.changed += done.changed
            moved.stay += max(0, all_.matched - done.matched)
        return moved

    async def replay_deliveries(self, public_ids: Sequence[str]) -> Changed:
        """Send these again, whatever became of them. Raises NotFound, Gone, and UsageError for what is on its way anyway."""
        rows = await self._deliveries(public_ids, REPLAYABLE)
        for sink in {row[1] for row in rows}:
            self._known(sink)
        return Changed(matched=len(rows), changed=await self._send_again([row[0] for row in rows], REPLAYABLE))

    async def discard_deliveries(self, public_ids: Sequence[str]) -> Changed:
        """Give these up. Raises NotFound, Gone, and UsageError for what has arrived, is under way or given up already."""
        rows = await self._deliveries(public_ids, DISCARDABLE)
        return Changed(matched=len(rows), changed=await self._give_up([row[0] for row in rows], DISCARDABLE))

    async def replay_event(self, public_id: str, sink: str | None = None) -> Changed:
        """Send one event again: to one sink, or to all that it went to and that are still there.

        Raises NotFound or Gone.
        """
        self._known(sink)
        number = decode(EVENT, public_id)
        if not await self._store.engine.rows("events_matching", {"id": number, "limit": 1}, ["e.id = :id"]):
            raise await missing(self._store.engine, EVENT, number, public_id)
        went = [row[0] for row in await self._store.engine.rows("event_sinks", {"id": number})]
        names = [sink] if sink else [name for name in went if name in self._routes]
        changed = [await self._send_events([number], name) for name in names]
        return Changed(matched=len(names), changed=sum(changed))

    async def pause(self, sink: str) -> None:
        """Send nothing more to a sink until `resume`; its deliveries wait. Raises NotFound."""
        self._known(sink)
        await self._store.put_sink(SinkRow(name=sink, state=SinkState.PAUSED, reason="paused by an operator"))

    async def resume(self, sink: str) -> None:
        """Send to a sink again, as if it had never failed. Raises NotFound."""
        self._known(sink)
        await self._store.put_sink(SinkRow(name=sink, state=SinkState.RUNNING))

    async def test(self, sink: str, within: float = WITHIN) -> Trial:
        """Send a test event to a sink, and wait `within` seconds for what comes of it. Raises NotFound and UsageError."""
        self._known(sink)
        return await try_out(self._store, sink, within)

    def _known(self, sink: str | None) -> None:
        if sink is not None and sink not in self._routes:
            known = ", ".join(self._routes) or "none"
            raise NotFound(f"no sink has the name {sink[:40]!r}; configured are {known}")

    def _check(self, chosen: Chosen, states: Collection[str]) -> None:
        self._known(chosen.sink)
        if chosen.state not in states:
            raise UsageError(f"state: expected one of {', '.join(states)}")

    async def _takes(self, where: Where, sink: str) -> None:
        """Narrow events to those that a sink takes."""
        route = self._routes[sink]
        engine = self._store.engine
        types = [row[0] for row in await engine.rows("event_types")]
        sources = [row[0] for row in await engine.rows("event_sources")]
        where.among("e.type", "taken", [one for one in types if route.takes(one, "", self._prefix)])
        anything = msgspec.structs.replace(route, events=("*",))
        where.among("e.source", "from", [one for one in sources if anything.takes("", one, "")])

    async def _deliveries(self, public_ids: Sequence[str], states: Collection[str]) -> list[Row]:
        rows = []
        for public_id in dict.fromkeys(public_ids):
            params = {"id": decode(DELIVERY, public_id), "limit": 1}
            found = await self._store.engine.rows("list_deliveries", params, ["d.id = :id"])
            if not found:
                raise await missing(self._store.engine, DELIVERY, params["id"], public_id)
            if found[0][5] not in states:
                raise UsageError(f"{public_id} is {found[0][5]}; expected one that is {' or '.join(states)}")
            rows += found
        return rows

    async def _walk(
        self,
        things: str,
        where: Where,
        change: Callable[[list[int]], Awaitable[int]],
        *,
        dry_run: bool,
        to: Route | None = None,
    ) -> Changed:
        """Change what is found, step by step, oldest first; on a dry run only count.

        `to` is the sink that events are for; those for which its condition does not hold are left out.
        """
        conditional = to is not None and to.where is not None
        if dry_run and not conditional:
            ((count,),) = await self._store.engine.rows(f"count_{things}_matching", where.params, where.conditions)
            return Changed(matched=count, changed=0)
        matched = changed = after = 0
        conditions = [*where.conditions, f"{where.column} > :after"]
        while True:
            params = {**where.params, "after": after, "limit": self._step}
            rows = await self._store.engine.rows(f"{things}_matching", params, conditions)
            if not rows:
                return Changed(matched=matched, changed=changed)
            began = time.monotonic()
            ids = [row[0] for row in rows if to is None or await self._holds(to, row[1])]
            changed += 0 if dry_run else await change(ids)
            matched += len(ids)
            after = rows[-1][0]
            await asyncio.sleep(time.monotonic() - began)  # half of the time is for who waits to write

    async def _holds(self, to: Route, event_id: int) -> bool:
        """Say whether a sink's condition holds for a stored event; one of which nothing is left goes nowhere."""
        if to.where is None:
            return True
        rows = await self._store.engine.rows("event_rows", {"ids": [event_id]})
        return bool(rows) and rows[0][-1] is not None and to.holds(Happened(DueDelivery(*rows[0])))

    async def _send_again(self, ids: list[int], states: Collection[str]) -> int:
        async with self._store.engine.transaction(alone=True) as tx:
            found = await tx.rows("replayable", {"ids": ids, "states": [*states]})
            rows = list({(row[1], row[2]): row for row in found}.values())
            made = await self._add(tx, [(sink, event_id, call_id) for _, sink, event_id, call_id, _ in rows])
            now = self._store.now_ms()
            await tx.run_many(
                "delivery_replayed",
                [
                    {"id": row[0], "detail": f"replayed as {encode(DELIVERY, new)}", "now": now}
                    for row, new in zip(rows, made, strict=True)
                    if row[4] == DeliveryState.DEAD
                ],
            )
        return len(made)

    async def _send_events(self, ids: list[int], sink: str) -> int:
        async with self._store.engine.transaction(alone=True) as tx:
            rows = await tx.rows("events_for_replay", {"ids": ids, "sink": sink})
            return len(await self._add(tx, [(sink, event_id, call_id) for event_id, call_id in rows]))

    async def _add(self, tx: Tx, wanted: Sequence[tuple[str, int, int | None]]) -> list[int]:
        now = self._store.now_ms()
        made = [self._store.ids.next() for _ in wanted]
        rows = [
            (new, sink, event_id, call_id, DeliveryState.PENDING, now, now)
            for new, (sink, event_id, call_id) in zip(made, wanted, strict=True)
        ]
        if rows:
            await tx.insert("add_deliveries", rows)
        return made

    async def _hand_over(self, move: Move, state: str, moved: Moved, ids: list[int]) -> int:
        params = {"ids": ids, "from": move.from_, "to": move.to, "states": [state]}
        going: list[int] = []
        doubled: list[int] = []
        events: set[int] = set()
        async with self._store.engine.transaction(alone=True) as tx:
            for number, event_id, there in await tx.rows("movable", params):
                (doubled if there or event_id in events else going).append(number)
                events.add(event_id)
            detail = {"now": self._store.now_ms(), "detail": f"moved from {move.from_}"}
            await tx.run("move_deliveries", {**detail, "ids": going, "to": move.to})
            detail["detail"] = f"{move.to} has its event already"
            await tx.run("discard_deliveries", {**detail, "ids": doubled, "states": [state]})
        moved.doubled += len(doubled)
        return len(going)

    async def _give_up(self, ids: list[int], states: Collection[str]) -> int:
        params = {"ids": ids, "states": [*states], "now": self._store.now_ms()}
        return await self._store.engine.write("discard_deliveries", {**params, "detail": "discarded by an operator"})


async def _nothing(_: list[int]) -> int:
    return 0
