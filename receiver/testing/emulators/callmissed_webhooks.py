"""CallMissed's webhook subscriptions, as docs/webhooks of its public repository describes them (S1)."""

import hmac
import secrets
import uuid
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Webhooks:
    """One tenant's subscriptions. `routes` belong into a Starlette app."""

    def __init__(self, *, key: str) -> None:
        """`key` is the API key, with the scope webhooks:write."""
        self._key = key
        self.records: dict[str, dict[str, Any]] = {}
        path = "/api/v1/webhooks"
        self.routes = [
            Route(path, self._list, methods=["GET"]),
            Route(path, self._create, methods=["POST"]),
            Route(path + "/{id}", self._update, methods=["PUT"]),
            Route(path + "/{id}", self._delete, methods=["DELETE"]),
        ]

    async def deliver(self, name: str, body: bytes) -> int:
        """Post a signed event to a subscription's address; return the status of the answer."""
        record = self.records[name]
        signature = hmac.new(record["secret"].encode(), body, "sha256").hexdigest()
        headers = {"X-CallMissed-Signature": f"sha256={signature}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(timeout=10.0) as client:
            return (await client.post(record["url"], content=body, headers=headers)).status_code

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without the key, or None."""
        if request.headers.get("authorization") == f"Bearer {self._key}":
            return None
        return JSONResponse({"detail": "Invalid API key"}, 401)

    async def _list(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        return JSONResponse([_masked(one) for one in self.records.values()])

    async def _create(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        asked = await request.json()
        if not asked.get("events"):
            wrong = {"loc": ["body", "events"], "msg": "List should have at least 1 item", "type": "too_short"}
            return JSONResponse({"detail": [wrong]}, 422)
        name = str(uuid.uuid4())
        self.records[name] = {
            "id": name,
            "url": asked["url"],
            "secret": secrets.token_hex(32),
            "events": asked["events"],
            "is_active": True,
            "bot_id": asked.get("bot_id"),
        }
        return JSONResponse(self.records[name], 201)

    async def _update(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        record = self.records.get(request.path_params["id"])
        if record is None:
            return JSONResponse({"detail": "Webhook not found"}, 404)
        asked = await request.json()
        record |= {key: asked[key] for key in ("url", "events", "is_active", "bot_id") if key in asked}
        return JSONResponse(_masked(record))

    async def _delete(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        found = self.records.pop(request.path_params["id"], None)
        return Response(status_code=204) if found else JSONResponse({"detail": "Webhook not found"}, 404)


def _masked(record: dict[str, Any]) -> dict[str, Any]:
    secret = record["secret"]
    return {**record, "secret": f"{secret[:4]}****{secret[-4:]}"}
