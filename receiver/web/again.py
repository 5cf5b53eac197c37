"""Reading receipts again, over the admin API: the difference by default, and written where the order says so."""

import secrets

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.contract.errors import UsageError
from receiver.pipeline.operating.differences import as_is, masked
from receiver.pipeline.operating.reprocess import Ending, Meant, Reprocess, Summary, as_row
from receiver.web.answers import Reprocessed
from receiver.web.endpoint import Endpoint
from receiver.web.reading import read_order

SHOWN = 100
"""Receipts whose differences one answer holds; the summary counts all."""
_SHOWN_BYTES = 4 * 1024 * 1024


class OneOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the reprocessing of one receipt may be told."""

    dry_run: bool = True
    deliver: tuple[str, ...] = ()
    show_text: bool = False


class ManyOrder(Meant, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `reprocess` is told: ids or a filter, and how."""

    dry_run: bool = True
    deliver: tuple[str, ...] = ()
    show_text: bool = False


class Again:
    """The endpoints that read receipts again."""

    def __init__(self, reprocess: Reprocess) -> None:
        self._reprocess = reprocess

    def endpoints(self) -> list[Endpoint]:
        """Return what there is."""
        place, said = "/api/v1/receipts", "today's handler over it; the difference unless `dry_run` is false."
        return [
            Endpoint(
                path=f"{place}/reprocess",
                run=self.many,
                about=f"Stored receipts, by ids or a filter: {said}",
                answer=Reprocessed,
                method="POST",
                order=ManyOrder,
                order_needed=True,
            ),
            Endpoint(
                path=f"{place}/{{id}}/reprocess",
                run=self.one,
                about=f"One stored receipt: {said}",
                answer=Reprocessed,
                method="POST",
                order=OneOrder,
            ),
        ]

    async def one(self, request: Request) -> Response:
        """Reprocess one receipt."""
        order = await read_order(request, OneOrder, default=OneOrder())
        return await self._answer(Meant(ids=(request.path_params["id"],)), order)

    async def many(self, request: Request) -> Response:
        """Reprocess receipts, by ids or by a filter."""
        order = await read_order(request, ManyOrder)
        meant = Meant(**{name: getattr(order, name) for name in Meant.__struct_fields__})
        if meant == Meant() and not order.dry_run:
            raise UsageError("say which receipts: ids, or one of source, provider, state, since, until")
        return await self._answer(meant, order)

    async def _answer(self, meant: Meant, order: OneOrder | ManyOrder) -> Response:
        shown = as_is if order.show_text else masked(secrets.token_bytes(16))
        summary = Summary(written=not order.dry_run)
        items: list[bytes] = []
        size = 0
        async for one in self._reprocess.run(meant, write=summary.written, deliver=order.deliver):
            summary.add(one)
            if one.result is not Ending.UNCHANGED and len(items) < SHOWN and size < _SHOWN_BYTES:
                items.append(msgspec.json.encode(as_row(one, shown)))
                size += len(items[-1])
        body = msgspec.json.encode({"summary": summary, "items": [msgspec.Raw(item) for item in items]})
        return Response(body, media_type="application/json")
