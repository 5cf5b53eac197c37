"""INVOX Medical: token, address for an upload, upload, polling, callbacks; pages by number as in `Switches`.

[D] permissions, media types, the upload's content type, `requestId`, 401, 403, 404. What is open is in `Switches`.
"""

import asyncio
import base64
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.testing.emulators.invox_switches import Switches
from receiver.testing.emulators.posting import Callbacks, Window

Handler = Callable[[Request], Awaitable[Response]]

TYPES = frozenset(f"audio/{kind}" for kind in ("x-wav", "wav", "mp3", "m4a", "flac", "ogg", "webm"))
"""[D 1] accepted `mimeType`s."""
TOKEN_PATH = "/emulator/token"  # noqa: S105 -- the real one is on no readable page
_SAID = (
    {"text": "Buenas tardes, siéntese.", "start": 0.05, "end": 2.26, "speaker": "0"},
    {"text": "Llevo una semana con tos | y fiebre.", "start": 2.51, "end": 6.8, "speaker": "1"},
)
_VTT = "WEBVTT\n\n00:00:00.050 --> 00:00:02.260\nBuenas tardes, siéntese.\n"


class Transcription(msgspec.Struct, kw_only=True):
    """One request, from the address on."""

    id: str
    mime_type: str
    callback_url: str | None
    upload_key: str
    made: float
    uploads: int = 0
    size: int = 0
    status: str = "PENDING"
    called_back: bool = False


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """An application's credentials, and an organization's pair for webhooks."""

    app_id: str = "emulated-app"
    api_key: str = "emulated-api-key"
    webhook_api_key: str = "emulated-public"
    webhook_secret_key: str = "emulated-private"  # noqa: S105 -- of an emulator


class InvoxEmulator:
    """One application of one organization."""

    def __init__(
        self,
        switches: Switches = Switches(),  # noqa: B008 -- frozen
        *,
        keys: Keys = Keys(),  # noqa: B008 -- frozen
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` is Unix time in seconds."""
        self.switches = switches
        self.requests: dict[str, Transcription] = {}
        self.tokens: dict[str, float] = {}
        """When each ends."""
        self.callbacks = Callbacks(switches.callbacks)
        self._keys, self._now = keys, now
        self._asks = Window(switches.requests_per_minute or 1_000_000, 60, now)
        self.app = Starlette(
            routes=[
                Route(TOKEN_PATH, self._token, methods=["GET", "POST"]),
                Route("/api/v1/generate-presigned-url", self._guarded(self._presign), methods=["POST"]),
                Route("/api/v1/get-transcription", self._guarded(self._get), methods=["POST"]),
                Route("/storage/{id}", self._put, methods=["PUT"]),
            ]
        )

    def configuration(self, base: str) -> str:
        """Return a source's settings for an emulator that listens at `base`."""
        keys = self._keys
        return (
            '[sources.invox]\nprovider = "invox"\ntoken = "emulator-token-0123456789"\n'
            f'api_url = "{base}"\napi_private = true\ntoken_url = "{base}{TOKEN_PATH}"\n'
            f'app_id = "{keys.app_id}"\napi_key = "{keys.api_key}"\n'
            f'webhook_api_key = "{keys.webhook_api_key}"\nwebhook_secret_key = "{keys.webhook_secret_key}"\n'
        )

    @property
    def refused(self) -> int:
        """How many requests came faster than the limit allows."""
        return self._asks.refused

    async def _token(self, request: Request) -> Response:
        given = f"{self._keys.app_id}:{self._keys.api_key}"
        encoded = base64.b64encode(given.encode()).decode()
        header, body = request.headers.get("authorization"), await request.body()
        right = {
            "oauth": request.method == "POST" and header == f"Basic {encoded}" and b"client_credentials" in body,
            "get": request.method == "GET" and header == f"Basic {encoded}",
            "json": request.method == "POST" and header is None and encoded.encode() in body,
        }[self.switches.grant]
        if not right:
            return self._failed(401, "The credentials are not valid")
        token = secrets.token_urlsafe(16)
        self.tokens[token] = self._now() + self.switches.grant_seconds
        return JSONResponse(self._given(token))

    def _given(self, token: str) -> dict[str, Any]:
        name = "expires_in" if self.switches.grant_member == "access_token" else "expiresIn"
        seconds: Any = self.switches.grant_seconds
        lasts = {"number": {name: seconds}, "text": {name: str(seconds)}, "none": {}}[self.switches.grant_expiry]
        if self.switches.grant_member == "inner":
            return {"data": {"accessToken": token, **lasts}}
        return {self.switches.grant_member: token, **lasts}

    def _guarded(self, handler: Handler) -> Handler:
        """Ask for a token that is good, the permission, the version, and the limit."""

        async def guarded(request: Request) -> Response:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind != "Bearer" or self.tokens.get(token, 0) <= self._now():
                return self._failed(401, "The token is not valid")
            if not self.switches.permitted:
                return self._failed(403, "The permission is missing", "forbidden")
            version = request.headers.get("x-invox-medical-api-version")
            if (version is None and self.switches.version == "required") or (version and version < "2025-10-01"):
                return self._failed(400, "The version of the API is missing or too old", "invalidRequestBody")
            if wait := self._asks.wait():
                headers = {"Retry-After": str(int(wait) + 1)} if self.switches.retry_after else {}
                return self._failed(429, "Too many requests", headers=headers)
            return await handler(request)

        return guarded

    def _failed(
        self, status: int, words: str, kind: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Response:
        more = {"errorType": kind} if kind else {}
        return JSONResponse({self.switches.error_member: words, **more}, status, headers=dict(headers or {}))

    async def _presign(self, request: Request) -> Response:
        asked = await _read(request)
        mime_type = asked.get("mimeType")
        if mime_type not in TYPES:
            return self._failed(400, "mimeType is not supported", "inconsistentInput")
        if asked.keys() - {"mimeType", "callbackUrl"}:
            return self._failed(400, "The body has members that are not known", "invalidRequestBody")
        made = Transcription(
            id=str(uuid.uuid4()),
            mime_type=mime_type,
            callback_url=asked.get("callbackUrl"),
            upload_key=secrets.token_hex(16),
            made=self._now(),
        )
        self.requests[made.id] = made
        url = f"{request.base_url}storage/{made.id}?X-Amz-Signature={made.upload_key}"
        return JSONResponse({"presignedUrl": url, "requestId": made.id})

    async def _put(self, request: Request) -> Response:
        """Take a recording as Amazon S3 does with a pre-signed address [I 9]: nothing but what was signed, no chunks."""
        found = self.requests.get(request.path_params["id"])
        if found is None or request.query_params.get("X-Amz-Signature") != found.upload_key:
            return _storage(403, "SignatureDoesNotMatch")
        if "authorization" in request.headers:
            return _storage(400, "InvalidArgument")
        if request.headers.get("content-type") != found.mime_type:
            return _storage(403, "SignatureDoesNotMatch")
        if self._now() > found.made + self.switches.upload_seconds:
            return _storage(403, "AccessDenied")
        if "content-length" not in request.headers:
            return _storage(411, "MissingContentLength")
        async for piece in request.stream():
            found.size += len(piece)
        found.uploads += 1
        if found.uploads == 1:
            await self.callbacks.done(self._work(found))
        return Response(status_code=self.switches.upload_status)

    async def _work(self, made: Transcription) -> None:
        await asyncio.sleep(self.switches.processing)
        made.status = self.switches.outcome
        if made.callback_url and (made.status == "COMPLETED" or self.switches.failures_called_back):
            made.called_back = True
            body = json.dumps(self._signed(made), ensure_ascii=False, separators=(",", ":")).encode()
            await self.callbacks.send(made.callback_url, {"Content-Type": "application/json"}, body)

    def _signed(self, made: Transcription) -> dict[str, Any]:
        """Return a callback; signed it is `requestId|JSON.stringify(transcription)|createdAt|apiKey` [I 1, 5]."""
        created = int(self._now() * 1000)
        said = _SAID if made.status == "COMPLETED" else ()
        # No number in it is written otherwise by JSON.stringify, nor is any character escaped.
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        keys = self._keys
        public, private = {
            "none": ("", ""),
            "organization": (keys.webhook_api_key, keys.webhook_secret_key),
            "api-key": (keys.webhook_api_key, keys.api_key),
        }[self.switches.signature]
        joined = f"{made.id}|{text}|{created}|{public}".encode()
        mac = base64.b64encode(hmac.digest(private.encode(), joined, "sha256")).decode()
        return {
            "requestId": made.id,
            "transcription": said,
            "signature": mac if private else "requestSignature",
            "createdAt": created if self.switches.created_at == "number" else str(created),
        }

    async def _get(self, request: Request) -> Response:
        found = self.requests.get(str((await _read(request)).get("requestId")))
        gone = found is not None and found.called_back and not self.switches.polled_after_callback
        early = found is not None and not found.uploads and self.switches.before_upload == "unknown"
        if found is None or gone or early:
            return JSONResponse({"message": "The request was not found"}, 404)
        names = ("processingStatus", "transcriptionStatus")
        shown: dict[str, Any] = {name: found.status for name in names if self.switches.status_member in {name, "both"}}
        if found.status == "ERROR":
            return JSONResponse({**shown, "errorMessage": "The audio could not be decoded"})
        if found.status == "COMPLETED":
            hidden = frozenset() if self.switches.polled_speakers else {"speaker"}
            shown["transcription"] = [{key: one[key] for key in one if key not in hidden} for one in _SAID]
            shown |= {"vttTranscription": _VTT} if self.switches.polled_vtt else {}
        return JSONResponse(shown)


async def _read(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _storage(status: int, code: str) -> Response:
    return Response(f"<Error><Code>{code}</Code></Error>", status, media_type="application/xml")
