"""Endpoints: each is declared once; its route, its checks, its documentation and its description follow from that."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.contract.errors import UsageError
from receiver.store.access import Role
from receiver.web.reading import given
from receiver.web.shield import role_problem

Run = Callable[[Request], Awaitable[Response]]
Query = Mapping[str, dict[str, Any]]
"""Parameters of the URL and the JSON schema of each."""

JSON = "application/json"
FORM = "multipart/form-data"
_ENDPOINT = "hookscribe.endpoint"
VERSION: Query = {
    "version": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "description": "default: newest"}
}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    path: str
    run: Run
    about: str
    """What it does, for people."""
    answer: Any
    """The type of what it answers with; None for bytes and texts."""
    method: str = "GET"
    media: tuple[str, ...] = (JSON,)
    query: Query = {}
    order: type[msgspec.Struct] | None = None
    """The type of the body of a POST."""
    order_needed: bool = False
    form: type[msgspec.Struct] | None = None
    """The type of a form that may come instead."""
    needed: Role = Role.READ
    shows: bool = False
    """Whether its answer holds what was said, so that reading it is written down."""
    statuses: tuple[int, ...] = (200,)
    """Statuses of answers that are no problem."""
    also: tuple[int, ...] = ()
    """Statuses of problems that others do not have."""
    segments: Query = {}
    """The JSON schema of parts of the path; ids have one anyway."""

    def names(self) -> list[str]:
        """Return the names of the parts of the path that vary."""
        return re.findall(r"\{(\w+)\}", self.path)

    def role(self) -> Role:
        """Return the role that it takes."""
        return self.needed if self.method == "GET" or self.needed is not Role.READ else Role.OPERATE

    def route(self) -> Route:
        """Return its route: who may not use it, and parameters that it does not have, are refused."""

        async def answer(request: Request) -> Response:
            refused = role_problem(request, self.role())
            if refused:
                return refused
            if not self.query and request.url.query:
                raise UsageError("this takes no parameters in the URL")
            given(request, *self.query)
            request.scope[_ENDPOINT] = self
            return await self.run(request)

        return Route(self.path, answer, methods=[self.method])


def endpoint_of(request: Request) -> Endpoint | None:
    """Return the endpoint that answered a request, None where another route did."""
    found = request.scope.get(_ENDPOINT)
    return found if isinstance(found, Endpoint) else None
