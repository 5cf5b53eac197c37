"""Deliveries: by sink and state, one with its attempts, and replay and discard of one or of all that a filter finds."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.contract.errors import UsageError
from receiver.contract.model import DeliveryState
from receiver.pipeline.operating.chosen import Chosen
from receiver.pipeline.operating.replay import DISCARDABLE, REPLAYABLE, Changed, Replay
from receiver.store.lists import Lists
from receiver.web.pages.frame import Frame, asked_for, back

FILTERS = ("sink", "state", "event", "since", "until")
CHOSEN = ("sink", "state", "source", "event", "type", "since", "until")
_VERBS = {"replay": ("replayed", REPLAYABLE), "discard": ("discarded", DISCARDABLE)}


class Deliveries:
    """The pages below /deliveries."""

    def __init__(self, frame: Frame, lists: Lists, replay: Replay, sinks: list[str]) -> None:
        """`sinks` are the names of the configured ones."""
        self._frame = frame
        self._lists = lists
        self._replay = replay
        self._sinks = sinks

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._frame.get("/deliveries", self.list),
            self._frame.get("/deliveries/change", self.ask),
            self._frame.post("/deliveries/change", self.change),
            self._frame.get("/deliveries/{id}", self.one),
            self._frame.post("/deliveries/{id}/replay", self.replay),
            self._frame.post("/deliveries/{id}/discard", self.discard),
        ]

    async def list(self, request: Request) -> Response:
        """Show deliveries, newest first, of the sink and state asked for."""
        page = await self._lists.deliveries(asked_for(request, *FILTERS, "cursor"))
        return self._frame.page(
            request,
            "deliveries.html",
            page=page,
            filters=asked_for(request, *FILTERS),
            sinks=self._sinks,
            states=list(DeliveryState),
        )

    async def one(self, request: Request) -> Response:
        """Show one delivery: every attempt with its answer, and what it delivers."""
        delivery = await self._lists.delivery(request.path_params["id"])
        event = await self._lists.event(delivery["event_id"])
        others = [one for one in event["deliveries"] if one["id"] != delivery["id"]]
        return self._frame.page(
            request,
            "delivery.html",
            delivery=delivery,
            event=event,
            others=others,
            replayable=delivery["state"] in REPLAYABLE and delivery["sink"] in self._sinks,
            discardable=delivery["state"] in DISCARDABLE,
        )

    async def replay(self, request: Request) -> Response:
        """Send one delivery again, and show the list of its event's deliveries, where the new one is."""
        await self._frame.form(request)
        public_id = request.path_params["id"]
        await self._replay.replay_deliveries([public_id])
        return back(request, f"/deliveries/{public_id}", "replayed")

    async def discard(self, request: Request) -> Response:
        """Give one delivery up."""
        await self._frame.form(request)
        public_id = request.path_params["id"]
        await self._replay.discard_deliveries([public_id])
        return back(request, f"/deliveries/{public_id}", "discarded")

    async def ask(self, request: Request) -> Response:
        """Show how many deliveries a replay or discard would change, before it happens."""
        verb, chosen = _chosen(asked_for(request, "verb", *CHOSEN))
        count = await self._changed(verb, chosen, dry_run=True)
        filters = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}
        return self._frame.page(request, "change.html", verb=verb, filters=filters, count=count.matched)

    async def change(self, request: Request) -> Response:
        """Replay or discard what a filter finds."""
        verb, chosen = _chosen(await self._frame.form(request))
        done = await self._changed(verb, chosen, dry_run=False)
        return back(request, "/deliveries", _VERBS[verb][0], done.changed)

    async def _changed(self, verb: str, chosen: Chosen, *, dry_run: bool) -> Changed:
        change = self._replay.replay if verb == "replay" else self._replay.discard
        return await change(chosen, dry_run=dry_run)


def _chosen(given: dict[str, str]) -> tuple[str, Chosen]:
    """Read what is to be done to which deliveries. Raises UsageError."""
    verb = given.get("verb", "")
    if verb not in _VERBS:
        raise UsageError(f"verb: expected one of {', '.join(_VERBS)}")
    chosen = Chosen(**{name: given[name] for name in CHOSEN if name in given})
    if chosen.state not in _VERBS[verb][1]:
        raise UsageError(f"state: to {verb}, expected one of {', '.join(_VERBS[verb][1])}")
    return verb, chosen
