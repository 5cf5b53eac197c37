"""Receipts: the live list, and one with its headers, body, proof and what it became; checked again and read again."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.contract.errors import UsageError
from receiver.contract.model import ReceiptState, Verdict
from receiver.contract.provider import Provider
from receiver.pipeline.operating.differences import as_is
from receiver.pipeline.operating.reprocess import Ending, Meant, Reprocess, as_row
from receiver.store.ids import RECEIPT, decode
from receiver.store.lists import Lists
from receiver.store.store import Engine
from receiver.web.pages.bodies import shown_body
from receiver.web.pages.frame import Frame, asked_for, back
from receiver.web.pages.proving import LARGEST, proof_of, secrets_of, with_secret
from receiver.web.pages.requests import receipt_request

_AT_ONCE = 1000
"""Unreadable receipts that one press of a button reads again; another press goes on."""
FILTERS = ("source", "state", "verdict", "since", "until")


class Receipts:
    """The pages below /receipts."""

    def __init__(
        self,
        frame: Frame,
        lists: Lists,
        engine: Engine,
        reprocess: Reprocess,
        providers: Mapping[str, Provider[Any]],
    ) -> None:
        self._frame = frame
        self._lists = lists
        self._engine = engine
        self._reprocess = reprocess
        self._providers = providers

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._frame.get("/receipts", self.list),
            self._frame.post("/receipts/reprocess", self.reprocess_unreadable),
            self._frame.get("/receipts/{id}", self.one),
            self._frame.post("/receipts/{id}/check", self.check),
            self._frame.get("/receipts/{id}/reprocess", self.ask),
            self._frame.post("/receipts/{id}/reprocess", self.reprocess),
            self._frame.post("/receipts/{id}/admit", self.admit),
        ]

    async def list(self, request: Request) -> Response:
        """Show receipts, newest first, with their verdicts."""
        page = await self._lists.receipts(asked_for(request, *FILTERS, "cursor"))
        return self._frame.page(
            request,
            "receipts.html",
            page=page,
            filters=asked_for(request, *FILTERS),
            sources=[*self._providers],
            states=list(ReceiptState),
            verdicts=list(Verdict),
        )

    async def one(self, request: Request) -> Response:
        """Show one receipt."""
        return await self._shown(request, {}, None)

    async def check(self, request: Request) -> Response:
        """Show whether a receipt would prove with another secret, which is kept nowhere."""
        return await self._shown(request, await self._frame.form(request), None)

    async def ask(self, request: Request) -> Response:
        """Show what today's handler makes of a receipt, and how that differs, before anything is written."""
        return await self._shown(request, {}, await self._again(request.path_params["id"], write=False))

    async def reprocess(self, request: Request) -> Response:
        """Read a receipt again, and write what it says now."""
        await self._frame.form(request)
        public_id = request.path_params["id"]
        await self._again(public_id, write=True)
        return back(request, f"/receipts/{public_id}", "reprocessed")

    async def admit(self, request: Request) -> Response:
        """Let a receipt go on that waits for a confirmation."""
        await self._frame.form(request)
        public_id = request.path_params["id"]
        if not await self._engine.write("receipt_unconfirmed", {"ids": [decode(RECEIPT, public_id)]}):
            raise UsageError(f"{public_id} does not wait for a confirmation")
        return back(request, f"/receipts/{public_id}", "admitted")

    async def reprocess_unreadable(self, request: Request) -> Response:
        """Read unreadable receipts of a source again, the oldest first, as many as one press of a button is good for."""
        form = await self._frame.form(request)
        if "source" not in form:
            raise UsageError("source: expected the name of a source")
        seen = count = 0
        meant = Meant(source=form["source"], state=ReceiptState.UNREADABLE)
        async for one in self._reprocess.run(meant, write=True):
            seen, count = seen + 1, count + (one.result is Ending.READABLE)
            if seen >= _AT_ONCE:
                break
        return back(request, "/receipts", "reprocessed", count)

    async def _again(self, public_id: str, *, write: bool) -> dict[str, Any]:
        found = [one async for one in self._reprocess.run(Meant(ids=(public_id,)), write=write)]
        return as_row(found[0], as_is)

    async def _shown(self, request: Request, form: dict[str, str], again: dict[str, Any] | None) -> Response:
        receipt = await self._lists.receipt(request.path_params["id"])
        gone = receipt["state"] == ReceiptState.GONE
        return self._frame.page(
            request,
            "receipt.html",
            receipt=receipt,
            body=None if gone else shown_body(await self._lists.body(receipt["id"])),
            proof=None if gone else await self._proof(receipt, form),
            tried="secret" in form,
            secrets=secrets_of(self._providers[receipt["source"]]) if receipt["source"] in self._providers else [],
            again=again,
        )

    async def _proof(self, receipt: dict[str, Any], form: dict[str, str]) -> dict[str, Any] | None:
        provider = self._providers.get(receipt["source"])
        if provider is None or receipt["size"] > LARGEST:
            return None
        if "secret" in form:
            provider = with_secret(provider, form.get("setting", ""), form["secret"])
        stored = await receipt_request(self._engine, receipt["id"])
        if "token" in form:
            stored = msgspec.structs.replace(stored, token=form["token"])
        return await asyncio.to_thread(proof_of, provider, stored, kept="token" not in form)
