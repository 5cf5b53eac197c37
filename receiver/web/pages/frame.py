"""The frame of every page: templates, the form token, an answer that tells whether anything changed, errors in words."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from receiver.contract.errors import HookscribeError, UsageError
from receiver.contract.times import from_ms
from receiver.web.pages import wording
from receiver.web.pages.inert import inert
from receiver.web.problems import status_of
from receiver.web.reading import keep_form, read_body
from receiver.web.sessions import Sessions
from receiver.web.shield import session_of

Endpoint = Callable[[Request], Awaitable[Response]]

_FIELDS = 64
_DONE: Mapping[str, tuple[str, str]] = {
    "replayed": ("{} goes out again.", "{} go out again."),
    "discarded": ("{} was given up.", "{} were given up."),
    "reprocessed": ("{} was read again.", "{} were read again."),
    "admitted": ("{} was admitted.", "{} were admitted."),
    "paused": ("The sink is paused: its deliveries wait.", ""),
    "resumed": ("The sink runs again.", ""),
}
_THINGS = {"replayed": ("delivery", "deliveries"), "discarded": ("delivery", "deliveries")}


def templates() -> jinja2.Environment:
    """Return the templates: everything is escaped, and a name that is not there is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("receiver.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "inert": inert,
        "when": wording.when,
        "clock": wording.clock,
        "took": wording.took,
        "size": wording.size,
        "number": wording.number,
        "counted": wording.counted,
        "pretty": wording.pretty,
        "query": urlencode,
    }
    return made


class Frame:
    """Renders pages and reads their forms."""

    def __init__(self, sessions: Sessions, now: Callable[[], float]) -> None:
        """`now` is Unix time in seconds."""
        self._sessions = sessions
        self._now = now
        self._templates = templates()

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Answer with a page; one that is as it was when the browser last saw it is a 304."""
        root = root_of(request)
        text = self._templates.get_template(template).render(
            root=root,
            here=request.scope["path"].removeprefix(root) or "/",
            form_token=self._sessions.form_token(session_of(request)),
            done=_done(request),
            asked=dict(request.query_params),
            **values,
        )
        tag = f'"{hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()}"'
        if status == 200 and request.method == "GET" and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return HTMLResponse(text.encode("utf-8", "replace"), status, headers={"etag": tag})

    def now(self) -> str:
        """Return the time of our clock."""
        return from_ms(int(self._now() * 1000))

    async def form(self, request: Request) -> dict[str, str]:
        """Return the fields of one of our forms, without those left empty. Raises HTTPException 403 for another's."""
        body = (await read_body(request)).decode("utf-8", "replace")
        try:
            fields = dict(parse_qsl(body, max_num_fields=_FIELDS))
        except ValueError:
            raise UsageError("this form has too many fields") from None
        if not self._sessions.is_form_token(session_of(request), fields.pop("form_token", "")):
            raise HTTPException(403, "this form was not one of ours, or of another session: load the page again")
        if any("\0" in value for value in fields.values()):
            raise UsageError("a field of this form holds a NUL")
        keep_form(request, fields)
        return fields

    def get(self, path: str, endpoint: Endpoint) -> Route:
        """Return the route of a page."""
        return Route(path, self._in_words(endpoint), methods=["GET"])

    def post(self, path: str, endpoint: Endpoint) -> Route:
        """Return the route of a form."""
        return Route(path, self._in_words(endpoint), methods=["POST"])

    def _in_words(self, endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except HookscribeError as error:
                return self._wrong(request, status_of(error), str(error))
            except HTTPException as error:
                return self._wrong(request, error.status_code, error.detail)

        return answer

    def _wrong(self, request: Request, status: int, why: str) -> Response:
        return self.page(request, "wrong.html", status, title=HTTPStatus(status).phrase, why=why)


def root_of(request: Request) -> str:
    """Return the path under which we are mounted, without a slash at its end."""
    root: str = request.scope.get("root_path", "")
    return root


def asked_for(request: Request, *names: str) -> dict[str, str]:
    """Return these parameters of the URL, without those left empty; a form sends empty ones too."""
    return {name: value for name in names if (value := request.query_params.get(name, "").strip())}


def back(request: Request, path: str, done: str, count: int = 1) -> Response:
    """Send the browser to a page that says what was done."""
    return RedirectResponse(f"{root_of(request)}{path}?{urlencode({'done': done, 'n': count})}", 303)


def _done(request: Request) -> str | None:
    """Return the sentence for what was just done; only our own sentences, whatever the URL says."""
    word, text = request.query_params.get("done", ""), request.query_params.get("n", "1")
    if word not in _DONE or not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    one, many = _DONE[word]
    count = int(text)
    things = wording.counted(count, *_THINGS.get(word, ("receipt", "receipts")))
    return (one if count == 1 or not many else many).format(things)
