"""The endpoints below /api/v1: what is kept, to look at, and orders of operators."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.contract.errors import UsageError
from receiver.contract.model import Transcript
from receiver.exporting import NOBODY, Exporter
from receiver.pipeline.operating.chosen import Chosen, Move
from receiver.pipeline.operating.replay import Changed, Moved, Replay
from receiver.pipeline.operating.reprocess import Reprocess
from receiver.pipeline.operating.trial import LONGEST, WITHIN, Trial
from receiver.store.access import Role
from receiver.store.audit import TRAIL, AuditItem, Trail
from receiver.store.listing import Listing
from receiver.store.lists import CALLS, DELIVERIES, EVENTS, RECEIPTS, TRANSCRIPTS, Lists, Page, named, part
from receiver.store.search import SEGMENTS, found_as_dict
from receiver.store.search import TRANSCRIPTS as SAID
from receiver.web.again import Again
from receiver.web.answers import (
    AnswerItem,
    CallItem,
    CallWhole,
    DeliveryItem,
    DeliveryWhole,
    EventItem,
    EventWhole,
    FoundSegments,
    PageOf,
    ReceiptItem,
    SinkItem,
    SourceItem,
    VersionItem,
)
from receiver.web.audited import seen
from receiver.web.endpoint import VERSION, Endpoint, Query, Run
from receiver.web.reading import given, read_order, read_version
from receiver.web.taking import Taking

API = "/api/v1"
BYTES = ("application/octet-stream",)
PLAIN = Listing(name="", order=("place",), filters={})
"""Sources and sinks have no filters."""


_SHOWING = ("transcripts", "events")
"""Lists whose items hold what was said."""


class _Named(msgspec.Struct):
    id: str


class Order(Chosen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `replay` and `discard` are told: a filter, or ids."""

    ids: tuple[str, ...] = ()
    dry_run: bool = False


class MoveOrder(Move, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `move` is told."""

    dry_run: bool = False


class EventOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the replay of one event may be told."""

    sink: str | None = None


class TestOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the test of a sink may be told: how many seconds to wait."""

    wait: Annotated[float, msgspec.Meta(gt=0, le=LONGEST)] = WITHIN


class Api:
    """The endpoints below /api/v1."""

    def __init__(
        self,
        lists: Lists,
        replay: Replay,
        reprocess: Reprocess,
        *,
        sources: Mapping[str, str],
        sinks: Mapping[str, str],
        now: Callable[[], float],
        host: str = NOBODY,
    ) -> None:
        """`sources` and `sinks` are the configured ones: name and provider, name and kind; `host` is our public name."""
        self._lists = lists
        self._taking = Taking(Exporter(lists, host))
        self._replay = replay
        self._again = Again(reprocess)
        self._providers = sources
        self._kinds = sinks
        self._now = now

    def endpoints(self) -> list[Endpoint]:
        """Return what there is."""
        return [
            *self._said(),
            *self._happened(),
            *self._again.endpoints(),
            *self._taking.endpoints(),
            *self._acting(),
        ]

    def _said(self) -> list[Endpoint]:
        lists = self._lists
        return [
            _list("receipts", lists.receipts, RECEIPTS, item=ReceiptItem, about="Proven callbacks."),
            _one("receipts", lists.receipt, ReceiptItem, "One of them."),
            Endpoint(
                path=f"{API}/receipts/{{id}}/body",
                run=self.body,
                about="Its exact bytes.",
                answer=None,
                media=BYTES,
                shows=True,
            ),
            Endpoint(
                path=f"{API}/search",
                run=self.search,
                about="Segments with words in them.",
                answer=FoundSegments,
                shows=True,
                query=SEGMENTS.parameters(),
            ),
            _list(
                "transcripts",
                lists.transcripts,
                TRANSCRIPTS,
                item=Transcript,
                about="Transcripts, whole.",
                more=SAID.parameters(),
            ),
            Endpoint(
                path=f"{API}/transcripts/{{id}}",
                run=self.transcript,
                about="One, the newest version of it or an earlier one.",
                answer=Transcript,
                query=VERSION,
                shows=True,
            ),
            Endpoint(
                path=f"{API}/transcripts/{{id}}/versions",
                run=self.versions,
                about="Where its versions come from.",
                answer=PageOf[VersionItem],
            ),
            Endpoint(
                path=f"{API}/transcripts/{{id}}/answers",
                run=self.answers,
                about="What was asked about it, and the answers.",
                answer=PageOf[AnswerItem],
                shows=True,
            ),
        ]

    def _happened(self) -> list[Endpoint]:
        lists = self._lists
        return [
            _list("calls", lists.calls, CALLS, item=CallItem, about="Calls."),
            _one("calls", lists.call, CallWhole, "One of them, with what routes its transcripts."),
            _list("events", lists.events, EVENTS, item=EventItem, about="Events, with their data."),
            _one("events", lists.event, EventWhole, "One of them, with its deliveries."),
            _list("deliveries", lists.deliveries, DELIVERIES, item=DeliveryItem, about="Deliveries."),
            _one("deliveries", lists.delivery, DeliveryWhole, "One of them, with its attempts."),
            Endpoint(
                path=f"{API}/sources",
                run=self.sources,
                about="When each source was heard, and what waits.",
                answer=PageOf[SourceItem],
                query=PLAIN.parameters(),
            ),
            Endpoint(path=f"{API}/sources/{{name}}", run=self.source, about="One of them.", answer=SourceItem),
            Endpoint(
                path=f"{API}/sinks",
                run=self.sinks,
                about="State and backlog of each sink.",
                answer=PageOf[SinkItem],
                query=PLAIN.parameters(),
            ),
            Endpoint(path=f"{API}/sinks/{{name}}", run=self.sink, about="One of them.", answer=SinkItem),
        ]

    def _acting(self) -> list[Endpoint]:
        return [
            _act("events/{id}/replay", self.replay_event, "To all sinks that it went to, or to one.", EventOrder),
            _act("deliveries/replay", self.replay, "Deliver again, by ids or a filter.", Order, needed=True),
            _act("deliveries/discard", self.discard, "Give up, by ids or a filter.", Order, needed=True),
            _act("deliveries/move", self.move, "What waits for a sink goes to another.", MoveOrder, Moved, needed=True),
            _act("deliveries/{id}/replay", self.replay_one, "Deliver one again."),
            _act("deliveries/{id}/discard", self.discard_one, "Give one up."),
            _act("sinks/{name}/pause", self.pause, "Send nothing more to a sink; its deliveries wait.", None, SinkItem),
            _act("sinks/{name}/resume", self.resume, "Send to a sink again.", None, SinkItem),
            _act(
                "sinks/{name}/test",
                self.test,
                "A test event by the way of every delivery; answers once it arrived, or `wait` seconds are over.",
                TestOrder,
                Trial,
            ),
        ]

    async def body(self, request: Request) -> Response:
        """Answer with the exact bytes of a receipt."""
        name = request.path_params["id"]
        headers = {"content-disposition": f'attachment; filename="{name}.bin"'}
        return Response(await self._lists.body(name), headers=headers, media_type="application/octet-stream")

    async def transcript(self, request: Request) -> Response:
        """Answer with a transcript, of the version asked for."""
        version = read_version(given(request, "version"))
        return _json(await self._lists.transcript(request.path_params["id"], version))

    async def search(self, request: Request) -> Response:
        """Answer with segments that have words in them."""
        found = await self._lists.search.segments(given(request))
        seen(request, [one["transcript_id"] for one in found.items])
        return _json(found_as_dict(found))

    async def versions(self, request: Request) -> Response:
        """Answer with where a transcript's versions come from."""
        return _json({"items": await self._lists.versions(request.path_params["id"]), "next": None})

    async def answers(self, request: Request) -> Response:
        """Answer with what was asked about a transcript."""
        return _json({"items": await self._lists.answers(request.path_params["id"]), "next": None})

    async def sources(self, request: Request) -> Response:
        """Answer with every source."""
        found = await self._lists.sources(self._providers, self._now())
        return _page(part("sources", found, given(request)))

    async def source(self, request: Request) -> Response:
        """Answer with one source."""
        found = await self._lists.sources(self._providers, self._now())
        return _json(named(found, request.path_params["name"], "source"))

    async def sinks(self, request: Request) -> Response:
        """Answer with every sink."""
        return _page(part("sinks", await self._lists.sinks(self._kinds), given(request)))

    async def sink(self, request: Request) -> Response:
        """Answer with one sink."""
        return _json(named(await self._lists.sinks(self._kinds), request.path_params["name"], "sink"))

    async def pause(self, request: Request) -> Response:
        """Pause a sink."""
        await self._replay.pause(request.path_params["name"])
        return await self.sink(request)

    async def resume(self, request: Request) -> Response:
        """Resume a sink."""
        await self._replay.resume(request.path_params["name"])
        return await self.sink(request)

    async def test(self, request: Request) -> Response:
        """Send a test event to a sink; answer once it has arrived, or the time is up."""
        order = await read_order(request, TestOrder, default=TestOrder())
        return _json(await self._replay.test(request.path_params["name"], order.wait))

    async def replay(self, request: Request) -> Response:
        """Replay deliveries, by ids or by a filter."""
        order = await read_order(request, Order)
        if order.ids:
            return _changed(await self._replay.replay_deliveries(_only_ids(order)))
        return _changed(await self._replay.replay(order, dry_run=order.dry_run))

    async def discard(self, request: Request) -> Response:
        """Discard deliveries, by ids or by a filter."""
        order = await read_order(request, Order)
        if order.ids:
            return _changed(await self._replay.discard_deliveries(_only_ids(order)))
        return _changed(await self._replay.discard(order, dry_run=order.dry_run))

    async def move(self, request: Request) -> Response:
        """Give what waits for one sink to another."""
        order = await read_order(request, MoveOrder)
        return _changed(await self._replay.move(order, dry_run=order.dry_run))

    async def replay_one(self, request: Request) -> Response:
        """Replay one delivery."""
        return _changed(await self._replay.replay_deliveries([request.path_params["id"]]))

    async def discard_one(self, request: Request) -> Response:
        """Discard one delivery."""
        return _changed(await self._replay.discard_deliveries([request.path_params["id"]]))

    async def replay_event(self, request: Request) -> Response:
        """Replay one event, to one sink or to all that it went to."""
        order = await read_order(request, EventOrder, default=EventOrder())
        return _changed(await self._replay.replay_event(request.path_params["id"], order.sink))


def trail_endpoints(trail: Trail) -> list[Endpoint]:
    """Return the endpoint of the audit trail."""
    about = "Who read what was said, and who gave which order."
    query = TRAIL.parameters()
    items = PageOf[AuditItem]
    run = _listed(trail.listed)
    return [Endpoint(path=f"{API}/audit", run=run, about=about, answer=items, query=query, needed=Role.ADMIN)]


def _list(
    name: str,
    read: Callable[[Mapping[str, str]], Awaitable[Page]],
    listing: Listing,
    *,
    item: Any,
    about: str,
    more: Query | None = None,
) -> Endpoint:
    """Declare a list, with the parameters of its listing and `more`."""
    query = {**listing.parameters(), **(more or {})}
    shows = name in _SHOWING
    return Endpoint(path=f"{API}/{name}", run=_listed(read), about=about, answer=PageOf[item], query=query, shows=shows)


def _one(name: str, read: Callable[[str], Awaitable[Any]], answer: Any, about: str) -> Endpoint:
    shows = name in _SHOWING
    return Endpoint(path=f"{API}/{name}/{{id}}", run=_shown(read), about=about, answer=answer, shows=shows)


def _act(
    path: str,
    run: Run,
    about: str,
    order: type[msgspec.Struct] | None = None,
    answer: Any = Changed,
    *,
    needed: bool = False,
) -> Endpoint:
    return Endpoint(
        path=f"{API}/{path}", run=run, about=about, answer=answer, method="POST", order=order, order_needed=needed
    )


def _listed(read: Callable[[Mapping[str, str]], Awaitable[Page]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        page = await read(given(request))
        seen(request, map(_id_of, page.items))
        return _page(page)

    return endpoint


def _id_of(item: Any) -> str:
    """Return the id of an item of a list, also of one that is JSON already."""
    found: str = msgspec.json.decode(item, type=_Named).id if isinstance(item, msgspec.Raw) else item["id"]
    return found


def _shown(read: Callable[[str], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _json(await read(request.path_params["id"]))

    return endpoint


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _page(page: Page) -> Response:
    return _json({"items": page.items, "next": page.next})


def _changed(changed: Changed | Moved) -> Response:
    return _json(changed)


def _only_ids(order: Order) -> tuple[str, ...]:
    if order != Order(ids=order.ids):
        raise UsageError("ids: they stand alone, without a filter")
    return order.ids
