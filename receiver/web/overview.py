"""What people see first: the door, and one page with sources, sinks and the newest transcripts. No script, all inert."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from receiver.store.ids import TRANSCRIPT
from receiver.store.lists import COUNTED, Lists
from receiver.web.problems import problem
from receiver.web.reading import read_body
from receiver.web.sessions import COOKIE, SESSION_SECONDS, Sessions
from receiver.web.shield import Hosts, same_origin

_NEWEST = "20"
_STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 75rem; margin: 0 auto; padding: 1rem }
header { display: flex; justify-content: space-between; align-items: center }
main { overflow-x: auto }
table { border-collapse: collapse; margin-bottom: 2rem }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #8884; white-space: nowrap }
td { font-variant-numeric: tabular-nums }
"""

Columns = Mapping[str, Callable[[Mapping[str, Any]], Any]]


class Overview:
    """The door (login and logout) and the page."""

    def __init__(
        self,
        lists: Lists,
        sessions: Sessions,
        hosts: Hosts,
        *,
        sources: Mapping[str, str],
        sinks: Mapping[str, str],
        now: Callable[[], float],
    ) -> None:
        """`sources` and `sinks` are the configured ones: name and provider, name and kind; `now` is Unix seconds."""
        self._lists = lists
        self._sessions = sessions
        self._hosts = hosts
        self._sources = sources
        self._sinks = sinks
        self._now = now

    def door(self) -> list[BaseRoute]:
        """Return what answers without a token."""
        return [
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/style.css", _style),
        ]

    def behind(self) -> list[BaseRoute]:
        """Return what needs a token or a session."""
        return [Route("/", self.page), Route("/logout", self.logout, methods=["POST"])]

    async def login(self, request: Request) -> Response:
        """Ask for the token, or open a session for the one who brings it, or a fresh link."""
        if request.method != "POST":
            code = request.query_params.get("code")
            return self._enter(request) if code and self._sessions.is_link_code(code) else _door(request, 200)
        if not same_origin(request, default=True):
            return problem(403, "this form was not one of ours")
        token = parse_qs((await read_body(request)).decode("utf-8", "replace")).get("token", [""])[0]
        return self._enter(request) if self._sessions.knows(token.strip()) else _door(request, 401)

    async def logout(self, request: Request) -> Response:
        """End the session of this browser."""
        response = RedirectResponse(f"{_root(request)}/login", 303)
        response.delete_cookie(COOKIE, path=_root(request) or "/", httponly=True, samesite="strict")
        return response

    async def page(self, request: Request) -> Response:
        """Show how sources and sinks are, and the newest transcripts."""
        sources = await self._lists.sources(self._sources, self._now())
        sinks = await self._lists.sinks(self._sinks)
        newest = await self._lists.transcripts({"limit": _NEWEST}, whole=False)
        root = _root(request)
        body = (
            f'<header><h1>Hookscribe</h1><form method="post" action="{escape(root)}/logout">'
            "<button>Log out</button></form></header><main>"
            f"{_table('Sources', _SOURCES, sources)}{_table('Sinks', _SINKS, sinks)}"
            f"{_table('Newest transcripts', _TRANSCRIPTS, newest.items, f'{root}/api/v1/transcripts/')}</main>"
        )
        return _html(request, body)

    def _enter(self, request: Request) -> Response:
        response = RedirectResponse(f"{_root(request)}/", 303)
        response.set_cookie(
            COOKIE,
            self._sessions.open(),
            max_age=SESSION_SECONDS,
            path=_root(request) or "/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https" or self._hosts.secure(request.headers.get("host", "")),
        )
        return response


def _counted(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: f"{COUNTED:,} or more" if row[name] >= COUNTED else f"{row[name]:,}"


def _waiting(state: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: f"{row['backlog'][state]:,}"


def _member(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row[name]


_SOURCES: Columns = {
    "Source": _member("name"),
    "Provider": _member("provider"),
    "Last heard": _member("last_receipt"),
    "In 24 hours": _counted("last_24h"),
    "To normalize": _counted("received"),
    "To confirm": _counted("confirming"),
    "Unreadable": _counted("unreadable"),
}
_SINKS: Columns = {
    "Sink": _member("name"),
    "Kind": _member("kind"),
    "State": _member("state"),
    "Waiting": _waiting("pending"),
    "Under way": _waiting("in_flight"),
    "Dead": _waiting("dead"),
    "Discarded": _waiting("discarded"),
    "Waiting since": _member("oldest_pending"),
    "Why": _member("reason"),
}
_TRANSCRIPTS: Columns = {
    "Transcript": _member("id"),
    "Received": _member("received_at"),
    "Source": _member("source"),
    "Operation": _member("operation"),
    "Job": _member("job_id"),
    "Status": _member("status"),
    "Version": _member("version"),
}


def _table(title: str, columns: Columns, rows: Sequence[Mapping[str, Any]], link: str = "") -> str:
    if not rows:
        return f"<h2>{escape(title)}</h2><p>None yet.</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = "".join(f"<tr>{''.join(_cell(read(row), link) for read in columns.values())}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: Any, link: str) -> str:
    text = escape("-" if value is None else str(value))
    own = link and isinstance(value, str) and value.startswith(TRANSCRIPT)
    return f'<td><a href="{escape(link)}{text}">{text}</a></td>' if own else f"<td>{text}</td>"


def _door(request: Request, status: int) -> Response:
    wrong = "<p role=alert>That is not the admin token.</p>" if status == 401 else ""
    return _html(
        request,
        f'<main><h1>Hookscribe</h1>{wrong}<form method="post" action="{escape(_root(request))}/login">'
        '<label>Admin token <input type="password" name="token" required autofocus autocomplete="current-password">'
        "</label> <button>Log in</button></form></main>",
        status,
    )


def _html(request: Request, body: str, status: int = 200) -> Response:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Hookscribe</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="{escape(_root(request))}/style.css"></head><body>{body}</body></html>',
        status,
    )


async def _style(_: Request) -> Response:
    return Response(_STYLE, media_type="text/css")


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root
