"""RingCentral's token endpoint and webhook subscriptions, as its guide describes them.

Evidence: https://developers.ringcentral.com/guide/authentication/jwt-flow (token), …/notifications/webhooks/creating-webhooks
(handshake, errors), …/troubleshooting (blacklisting), SPEC `/restapi/v1.0/subscription`.
"""

import base64
import secrets
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MOST = 30
"""Subscriptions of a user and app."""


class Subscriptions:
    """One user's tokens and subscriptions of one app. `routes` belong into a Starlette app."""

    def __init__(
        self, *, now: Callable[[], float], client: tuple[str, str, str], token_seconds: int = 3600, scope: str = "AI"
    ) -> None:
        """`client` is the app's id and secret, and the user's JWT; `now` is Unix time in seconds."""
        self._now = now
        self._client = client
        self._seconds = token_seconds
        self._tokens: dict[str, float] = {}
        self._scope = scope
        self.issued = 0
        self.most_tokens: int | None = None
        """How many are good at once; the oldest is ended then."""
        self.lists = 0
        self.records: dict[str, dict[str, Any]] = {}
        path = "/restapi/v1.0/subscription"
        self.routes = [
            Route("/restapi/oauth/token", self._token, methods=["POST"]),
            Route(path, self._list, methods=["GET"]),
            Route(path, self._create, methods=["POST"]),
            Route(path + "/{id}", self._delete, methods=["DELETE"]),
            Route(path + "/{id}/renew", self._renew, methods=["POST"]),
        ]

    def expire_tokens(self) -> None:
        """Make every token one that is known no more."""
        self._tokens.clear()

    def age(self, seconds: float) -> None:
        """Let every subscription be so much nearer to its end."""
        for record in self.records.values():
            record["expires"] -= seconds

    def blacklist(self, name: str, reason: str = "Webhook responses with code: [404], reason: [Not Found]") -> None:
        """Do with a subscription what is done after failures."""
        self.records[name] |= {"status": "Blacklisted", "blacklistedData": {"reason": reason}}

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without a good token, or None."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if "access_token" in request.query_params:
            kind, token = "Bearer", request.query_params["access_token"]
        if kind == "Bearer" and self._tokens.get(token, 0) > self._now():
            return None
        words = {"errorCode": "TokenInvalid", "message": "Access token expired."}
        return JSONResponse({**words, "errors": [{**words, "errorCode": "OAU-128"}]}, 401)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        name, secret, jwt = self._client
        basic = base64.b64encode(f"{name}:{secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("assertion") != jwt or form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return JSONResponse({"error": "invalid_grant", "error_description": "Token not found"}, 400)
        self.issued += 1
        token = secrets.token_urlsafe(16)
        seconds = int(form.get("access_token_ttl", self._seconds))
        self._tokens[token] = self._now() + seconds
        if self.most_tokens is not None and len(self._tokens) > self.most_tokens:
            del self._tokens[next(iter(self._tokens))]
        answer = {"access_token": token, "token_type": "bearer", "expires_in": seconds, "scope": self._scope}
        return JSONResponse(answer)

    async def _list(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        self.lists += 1
        return JSONResponse({"uri": str(request.url), "records": [self._shown(one) for one in self.records.values()]})

    async def _create(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        asked = await request.json()
        mode = asked["deliveryMode"]
        if len(self.records) >= MOST:
            return _failed("SUB-505", "Subscriptions limit exceeded")
        if not await _shakes_hands(mode):
            return _failed("SUB-525", "WebHook response is invalid")
        name = str(uuid.uuid4())
        self.records[name] = {
            "id": name,
            "eventFilters": asked["eventFilters"],
            "status": "Active",
            "deliveryMode": {"transportType": "WebHook", "address": mode["address"]},
            "expires": self._now() + asked.get("expiresIn", 604_800),
            "lifetime": asked.get("expiresIn", 604_800),
        }
        return JSONResponse(self._shown(self.records[name]))

    async def _renew(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        record = self.records.get(request.path_params["id"])
        if record is None or record["status"] != "Active":
            return _failed("CMN-102", "Resource for parameter [subscriptionId] is not found", 404)
        record["expires"] = self._now() + record["lifetime"]
        return JSONResponse(self._shown(record))

    async def _delete(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        found = self.records.pop(request.path_params["id"], None)
        return Response(status_code=204 if found else 404)

    def _shown(self, record: dict[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in record.items() if key not in {"expires", "lifetime"}}
        return {**shown, "expiresIn": int(record["expires"] - self._now())}


async def _shakes_hands(mode: dict[str, str]) -> bool:
    """Post the handshake: 200, the same token back, a small answer within 3 s."""
    token = secrets.token_hex(16)
    headers = {"Validation-Token": token}
    if "verificationToken" in mode:
        headers["Verification-Token"] = mode["verificationToken"]
    try:
        async with httpx.AsyncClient(timeout=3.0) as client:
            answer = await client.post(mode["address"], headers=headers)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.headers.get("validation-token") == token and len(answer.content) < 1024


def _failed(code: str, words: str, status: int = 400) -> Response:
    error = {"errorCode": code, "message": words}
    return JSONResponse({**error, "errors": [error]}, status)
