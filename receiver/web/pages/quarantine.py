"""The quarantine: what was refused and why, checked with another secret, and admitted once it proves."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.contract.errors import UsageError
from receiver.contract.proof import Reason
from receiver.contract.provider import Provider
from receiver.contract.times import from_ms
from receiver.masking import shown_headers
from receiver.pipeline.verify import admit
from receiver.store.ids import QUARANTINED, RECEIPT, decode, encode
from receiver.store.listing import Listing, equal
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import Quarantined, QuarantinedRow
from receiver.store.store import Store
from receiver.web.pages.bodies import shown_body
from receiver.web.pages.frame import Frame, asked_for, back
from receiver.web.pages.proving import LARGEST, proof_of, secrets_of, with_secret

_LISTING = Listing(
    name="quarantine",
    order=("id",),
    filters={"source": equal("source", "source"), "reason": equal("reason", "reason")},
)


class QuarantinePages:
    """The pages below /quarantine."""

    def __init__(
        self, frame: Frame, quarantine: Quarantine, store: Store, providers: Mapping[str, Provider[Any]]
    ) -> None:
        self._frame = frame
        self._quarantine = quarantine
        self._store = store
        self._providers = providers

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._frame.get("/quarantine", self.list),
            self._frame.get("/quarantine/{id}", self.one),
            self._frame.post("/quarantine/{id}/check", self.check),
            self._frame.post("/quarantine/{id}/admit", self.admit),
        ]

    async def list(self, request: Request) -> Response:
        """Show refused requests, newest first."""
        given = asked_for(request, "source", "reason", "cursor")
        asked = _LISTING.read(given)
        before = asked.params["before0"]
        rows = await self._quarantine.newest(
            asked.limit + 1, source=given.get("source"), reason=given.get("reason"), before=before
        )
        shown = rows[: asked.limit]
        return self._frame.page(
            request,
            "quarantine.html",
            items=[_row(row) for row in shown],
            next=_LISTING.cursor([shown[-1].id]) if len(rows) > len(shown) else None,
            filters={name: given[name] for name in ("source", "reason") if name in given},
            sources=[*self._providers],
            reasons=list(Reason),
        )

    async def one(self, request: Request) -> Response:
        """Show one refused request."""
        return await self._shown(request, {})

    async def check(self, request: Request) -> Response:
        """Show whether it would prove with another secret, which is kept nowhere."""
        return await self._shown(request, await self._frame.form(request))

    async def admit(self, request: Request) -> Response:
        """Make a receipt of it, where it proves with today's settings; else say why it does not."""
        await self._frame.form(request)
        found = await self._quarantine.get(_id(request))
        (admission,) = await admit([found], self._providers, self._store, self._quarantine)
        if admission.kept is None:
            raise UsageError(f"it does not prove with today's settings: {admission.why}")
        return back(request, f"/receipts/{encode(RECEIPT, admission.kept.id)}", "admitted")

    async def _shown(self, request: Request, form: dict[str, str]) -> Response:
        found = await self._quarantine.get(_id(request))
        provider = self._providers.get(found.request.source)
        return self._frame.page(
            request,
            "refused.html",
            id=request.path_params["id"],
            refused=_one(found),
            body=shown_body(found.request.body),
            proof=await self._proof(provider, found, form),
            tried="secret" in form,
            secrets=secrets_of(provider) if provider else [],
        )

    async def _proof(
        self, provider: Provider[Any] | None, found: Quarantined, form: dict[str, str]
    ) -> dict[str, Any] | None:
        if provider is None or len(found.request.body) > LARGEST:
            return None
        if "secret" in form:
            provider = with_secret(provider, form.get("setting", ""), form["secret"])
        return await asyncio.to_thread(proof_of, provider, found.request, kept=False)


def _id(request: Request) -> int:
    return decode(QUARANTINED, request.path_params["id"])


def _row(row: QuarantinedRow) -> dict[str, Any]:
    shape = msgspec.structs.asdict(row)
    return {**shape, "id": encode(QUARANTINED, row.id), "received_at": from_ms(row.received_at)}


def _one(found: Quarantined) -> dict[str, Any]:
    return {
        "source": found.request.source,
        "reason": found.reason,
        "received_at": from_ms(found.request.received_at),
        "size": len(found.request.body),
        "checks": [msgspec.structs.asdict(check) for check in found.checks],
        "headers": shown_headers(found.request.headers),
    }
