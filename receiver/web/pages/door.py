"""The door: who brings the admin token, or a fresh link, gets a session; and what a browser needs to show it."""

from importlib import resources
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from receiver.store.access import Who
from receiver.web.pages.frame import Endpoint, Frame, root_of
from receiver.web.problems import problem
from receiver.web.reading import read_body
from receiver.web.sessions import ADMIN, COOKIE, SESSION_SECONDS, Sessions
from receiver.web.shield import Hosts, local_path, same_origin

_STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Door:
    """Login, logout and the static files."""

    def __init__(self, frame: Frame, sessions: Sessions, hosts: Hosts) -> None:
        self._frame = frame
        self._sessions = sessions
        self._hosts = hosts

    def outside(self) -> list[BaseRoute]:
        """Return what answers without a token."""
        return [
            Route("/login", self.login, methods=["GET", "POST"]),
            *(Route(f"/static/{name}", _static(name, media_type)) for name, media_type in _STATIC.items()),
        ]

    def inside(self) -> list[BaseRoute]:
        """Return what needs a session."""
        return [Route("/logout", self.logout, methods=["POST"])]

    async def login(self, request: Request) -> Response:
        """Ask for the token, or open a session for the one who brings it, or a fresh link."""
        if request.method != "POST":
            code, wanted = request.query_params.get("code"), request.query_params.get("next", "")
            if code and self._sessions.is_link_code(code):
                return self._enter(request, ADMIN, wanted)
            return self._frame.page(request, "login.html", wrong=False, wanted=local_path(wanted))
        if not same_origin(request, default=True):
            return problem(403, "this form was not one of ours")
        fields = _fields(await read_body(request))
        who = await self._sessions.bearer(fields.get("token", "").strip())
        if who is not None:
            return self._enter(request, who, fields.get("next", ""))
        return self._frame.page(request, "login.html", 401, wrong=True, wanted=local_path(fields.get("next", "")))

    async def logout(self, request: Request) -> Response:
        """End the session of this browser."""
        response = RedirectResponse(f"{root_of(request)}/login", 303)
        response.delete_cookie(COOKIE, path=root_of(request) or "/", httponly=True, samesite="lax")
        return response

    def _enter(self, request: Request, who: Who, wanted: str) -> Response:
        response = RedirectResponse(f"{root_of(request)}{local_path(wanted)}", 303)
        response.set_cookie(
            COOKIE,
            self._sessions.open(who),
            max_age=SESSION_SECONDS,
            path=root_of(request) or "/",
            httponly=True,
            samesite="lax",  # a link in a chat is followed with it; a form of another site is sent without it
            secure=request.url.scheme == "https" or self._hosts.secure(request.headers.get("host", "")),
        )
        return response


def _fields(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=8))
    except ValueError:
        return {}


def _static(name: str, media_type: str) -> Endpoint:
    """Return the endpoint of a file, read once; browsers ask whether it changed."""
    content = resources.files("receiver.web").joinpath("static", name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer
