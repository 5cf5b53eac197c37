"""The admin listener's endpoints of the quarantine: what was refused, why, and its way in once it proves."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.contract.provider import Provider
from receiver.contract.times import from_ms
from receiver.pipeline.verify import admit, described
from receiver.store.ids import QUARANTINED, RECEIPT, decode, encode
from receiver.store.listing import Listing, equal
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import QuarantinedRow
from receiver.store.store import Store
from receiver.web.answers import Admitted, PageOf, QuarantinedItem, QuarantinedWhole
from receiver.web.endpoint import Endpoint

_LISTING = Listing(
    name="quarantine",
    order=("id",),
    filters={"source": equal("source", "source"), "reason": equal("reason", "reason")},
)


class Refused:
    """The endpoints below /api/v1/quarantine."""

    def __init__(self, quarantine: Quarantine, store: Store, sources: Mapping[str, Provider[Any]]) -> None:
        self._quarantine = quarantine
        self._store = store
        self._sources = sources

    def endpoints(self) -> list[Endpoint]:
        """Return what there is."""
        place = "/api/v1/quarantine"
        items, query = PageOf[QuarantinedItem], _LISTING.parameters()
        octets = ("application/octet-stream",)
        return [
            Endpoint(path=place, run=self.list, about="Refused requests.", answer=items, query=query),
            Endpoint(path=f"{place}/{{id}}", run=self.one, about="One, with what was tried.", answer=QuarantinedWhole),
            Endpoint(
                path=f"{place}/{{id}}/body",
                run=self.body,
                about="Its exact bytes.",
                answer=None,
                media=octets,
                shows=True,
            ),
            Endpoint(
                path=f"{place}/{{id}}/admit",
                run=self.admit,
                about="Make a receipt of it, if it proves with today's settings.",
                answer=Admitted,
                method="POST",
            ),
        ]

    async def list(self, request: Request) -> Response:
        """Answer with refused requests, newest first."""
        given = dict(request.query_params)
        asked = _LISTING.read(given)
        rows = await self._quarantine.newest(
            asked.limit + 1, source=given.get("source"), reason=given.get("reason"), before=asked.params["before0"]
        )
        more = _LISTING.cursor([rows[asked.limit - 1].id]) if len(rows) > asked.limit else None
        return _json({"items": [_shown(row) for row in rows[: asked.limit]], "next": more})

    async def one(self, request: Request) -> Response:
        """Answer with one refused request: its checks, and what they were tried on."""
        found = await self._quarantine.get(_id(request))
        asked = found.request
        head = {"id": request.path_params["id"], "received_at": from_ms(asked.received_at), "source": asked.source}
        return _json({**head, "reason": found.reason, "checks": found.checks, **described(asked)})

    async def body(self, request: Request) -> Response:
        """Answer with the exact bytes of a refused request."""
        found = await self._quarantine.get(_id(request))
        name = request.path_params["id"]
        headers = {"content-disposition": f'attachment; filename="{name}.bin"'}
        return Response(found.request.body, headers=headers, media_type="application/octet-stream")

    async def admit(self, request: Request) -> Response:
        """Make a receipt of a refused request, if it proves with today's settings."""
        found = await self._quarantine.get(_id(request))
        (admission,) = await admit([found], self._sources, self._store, self._quarantine)
        kept = admission.kept
        receipt = {"receipt": encode(RECEIPT, kept.id), "duplicate": kept.duplicate} if kept else {"receipt": None}
        return _json({"id": request.path_params["id"], **receipt, "why": admission.why})


def _id(request: Request) -> int:
    return decode(QUARANTINED, request.path_params["id"])


def _shown(row: QuarantinedRow) -> dict[str, Any]:
    shape = msgspec.structs.asdict(row)
    return {**shape, "id": encode(QUARANTINED, row.id), "received_at": from_ms(row.received_at)}


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
