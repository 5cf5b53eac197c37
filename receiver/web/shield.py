"""Around everything that people are shown: names we answer to, headers that browsers obey, a token for all but the door."""

import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.config import RootSettings, address
from receiver.store.access import Role, Who
from receiver.web.problems import problem
from receiver.web.sessions import COOKIE, Sessions

log = structlog.get_logger()

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANY = ("0.0.0.0", "::")
_SAFE = ("GET", "HEAD")
_LONGEST = 2000
"""Characters of a path that is gone to after the door."""
_WHO = "hookscribe.who"
_VIA = "hookscribe.via"
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
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
    """The layer behind the door: bearer or session, and with a session only requests of our own pages change things.

    Looking needs the role `read`, changing things `operate`; what needs more asks for it itself (`role_problem`).
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refused = await self._refused(Request(scope))
        await (refused or self._app)(scope, receive, send)

    async def _refused(self, request: Request) -> Response | None:
        changes = request.method not in _SAFE
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        who = await self._sessions.bearer(token.strip()) if scheme.lower() == "bearer" else None
        via = "api"
        if who is None:
            via = "page"
            who = await self._sessions.holder(session_of(request))
            if who is None:
                return _ask(request)
            if changes and not same_origin(request, default=False):
                return problem(403, "a session changes things only from our own pages; programs use the token")
        request.scope[_WHO] = who
        request.scope[_VIA] = via
        everybody = _path(request) == "/logout"
        return role_problem(request, Role.OPERATE if changes and not everybody else Role.READ)


def who_of(request: Request) -> Who:
    """Return who sent a request that passed `TokenNeeded`."""
    who = request.scope[_WHO]
    assert isinstance(who, Who)
    return who


def via_of(request: Request) -> str:
    """Return by which way a request came that passed `TokenNeeded`: `api` with a token, `page` with a session."""
    via: str = request.scope[_VIA]
    return via


def role_problem(request: Request, needed: Role) -> Response | None:
    """Return the answer to who may not do what needs a role, None to who may."""
    who = who_of(request)
    if who.role.allows(needed):
        return None
    told = f"this needs the role {needed}, and the token {who.name} has {who.role}"
    return problem(403, told, type="urn:hookscribe:problem:role-needed", title="Another role is needed.", needed=needed)


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


def local_path(text: str) -> str:
    """Return a path of ours as it was asked for, or `/` for what leads elsewhere or is none."""
    fine = text.startswith("/") and not text.startswith(("//", "/\\", "/login", "/api/")) and text.isprintable()
    return text if fine and len(text) <= _LONGEST and text.isascii() else "/"


def _ask(request: Request) -> Response:
    path = _path(request) or "/"
    person = "text/html" in request.headers.get("accept", "")
    if request.method in _SAFE and (path == "/" or (person and not path.startswith("/api/"))):
        query = f"?{request.url.query}" if request.url.query else ""
        wanted = local_path(path + query)
        then = f"?{urlencode({'next': wanted})}" if wanted != "/" else ""
        return RedirectResponse(f"{request.scope.get('root_path', '')}/login{then}", 303)
    return problem(401, "a token is needed", {"www-authenticate": "Bearer"})


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
