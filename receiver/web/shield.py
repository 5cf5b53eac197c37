"""Around everything that people are shown: names we answer to, headers that browsers obey, a token for all but the door."""

import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.config import RootSettings, address
from receiver.web.problems import problem
from receiver.web.sessions import COOKIE, Sessions

log = structlog.get_logger()

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANY = ("0.0.0.0", "::")
_SAFE = ("GET", "HEAD")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Hosts:
    """The names under which people reach us: a page of another name that resolves to us (DNS rebinding) gets nothing."""

    def __init__(self, root: RootSettings) -> None:
        listen = root.listen.public if root.listen.admin.startswith("/") else root.listen.admin
        urls = [root.admin_url, root.public_url if root.listen.admin.startswith("/") else None]
        host = address(listen)[0].lower()
        self._names = {*_LOOPBACK, host, *(urlsplit(url).hostname or "" for url in urls if url)}
        self._any_address = host in _ANY
        secure = urlsplit(root.admin_url or "")
        self._secure = secure.hostname if secure.scheme == "https" else None

    def knows(self, header: str) -> bool:
        """Say whether a `Host` is ours; the port does not matter. An address was never rebound."""
        name = _name(header)
        return name in self._names or (self._any_address and _is_address(name))

    def secure(self, header: str) -> bool:
        """Say whether a `Host` is reached over TLS, so that a cookie is to be sent over nothing else."""
        return _name(header) == self._secure


def _name(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Shield:
    """The outermost layer: checks `Host`, adds the headers, and lets no exception out."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        names = Headers(scope=scope).getlist("host")
        if len(names) != 1 or not self._hosts.knows(names[0]):
            why = "this name is not one of ours: add it as admin_url, or use the address that serve printed"
            await problem(421, why)(scope, receive, shielded)
            return
        try:
            await self._app(scope, receive, shielded)
        except Exception as error:
            log.error("admin.failed", method=scope["method"], error=type(error).__name__, exc_info=error)


class TokenNeeded:
    """The layer behind the door: bearer or session, and with a session only requests of our own pages change things."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refused = self._refused(Request(scope))
        await (refused or self._app)(scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._sessions.knows(token.strip()):
            return None
        if not self._sessions.is_open(session_of(request)):
            return _ask(request)
        if request.method not in _SAFE and not same_origin(request, default=False):
            return problem(403, "a session changes things only from our own pages; programs use the token")
        return None


def session_of(request: Request) -> str:
    """Return the value of the session's cookie, empty where there is none."""
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def same_origin(request: Request, *, default: bool) -> bool:
    """Say whether a browser sent this from one of our own pages; `default` where it says nothing about it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    if origin is None:
        return default
    return urlsplit(origin).netloc == request.headers.get("host", "")


def _ask(request: Request) -> Response:
    root = request.scope.get("root_path", "")
    if request.method in _SAFE and request.scope["path"].removeprefix(root) in ("", "/"):
        return RedirectResponse(f"{root}/login", 303)
    return problem(401, "the admin token is needed", {"www-authenticate": "Bearer"})
