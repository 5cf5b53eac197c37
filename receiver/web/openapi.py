"""The admin API described: an OpenAPI 3.1 document, the schemas of event data, and a table for people."""

import functools
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.contract.errors import NotFound
from receiver.contract.model import Transcript
from receiver.store.ids import CALL, DELIVERY, EVENT, JOB, QUARANTINED, RECEIPT, TRANSCRIPT, pattern
from receiver.web.answers import Problem
from receiver.web.endpoint import FORM, JSON, Endpoint

SCHEMAS: dict[str, Any] = {"transcript": Transcript}
"""The types of events' `data`, by the name in `dataschema`; that of other events is any object."""
_OTHERS = ("call", "job", "ops", "delivery", "receipt")
_REF = "#/components/schemas/{name}"
_PROBLEMS = "application/problem+json"
_IDS = {
    "receipts": RECEIPT,
    "transcripts": TRANSCRIPT,
    "calls": CALL,
    "events": EVENT,
    "deliveries": DELIVERY,
    "quarantine": QUARANTINED,
    "jobs": JOB,
}


class Description:
    """Describes endpoints, itself included."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.all = (*endpoints, *self.endpoints())

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints that describe the others."""
        return [
            Endpoint(path="/api/openapi.json", run=self._openapi, about="This document.", answer=dict[str, Any]),
            Endpoint(
                path="/api/schemas/{name}/v1",
                run=self._schema,
                about="The JSON schema of an event's `data`, as `dataschema` names it.",
                answer=None,
                media=("application/schema+json",),
            ),
        ]

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        types = [one.answer for one in self.all if one.answer is not None]
        orders = [kind for one in self.all for kind in (one.order, one.form) if kind is not None]
        shown, components = msgspec.json.schema_components([Problem, *types, *orders], ref_template=_REF)
        answers = iter(shown[1 : 1 + len(types)])
        bodies = iter(shown[1 + len(types) :])
        paths: dict[str, Any] = {}
        for one in self.all:
            answer = next(answers) if one.answer is not None else {}
            sent = {
                media: {"schema": next(bodies)}
                for media, kind in ((JSON, one.order), (FORM, one.form))
                if kind is not None
            }
            paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, answer, sent, shown[0])
        return {
            "openapi": "3.1.0",
            "info": {"title": "Hookscribe", "version": version("hookscribe")},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }

    async def _openapi(self, _: Request) -> Response:
        return Response(msgspec.json.encode(self.document), media_type=JSON)

    async def _schema(self, request: Request) -> Response:
        return Response(schema(request.path_params["name"]), media_type="application/schema+json")


def schema(name: str) -> bytes:
    """Return the JSON schema of the data of events. Raises NotFound, which lists those that there are."""
    if name in SCHEMAS:
        made = msgspec.json.schema(SCHEMAS[name])
    elif name in _OTHERS:
        made = {"type": "object"}
    else:
        raise NotFound(f"there is no schema {name[:40]!r}; known are {', '.join([*SCHEMAS, *_OTHERS])}")
    return msgspec.json.encode({"$schema": "https://json-schema.org/draft/2020-12/schema", **made})


def table(endpoints: Sequence[Endpoint]) -> str:
    """Return what docs/api.md says of endpoints."""
    lines = ["| request | role | parameters | |", "|---|---|---|---|"]
    for one in endpoints:
        names = [*one.query, *(name for kind in (one.order, one.form) if kind for name in _members(kind))]
        told = ", ".join(f"`{name}`" for name in dict.fromkeys(names)) or "none"
        lines.append(f"| `{one.method} {one.path}` | {one.role()} | {told} | {one.about} |")
    return "\n".join(lines) + "\n"


def _members(order: type[msgspec.Struct]) -> tuple[str, ...]:
    return order.__struct_encode_fields__


def _operation(one: Endpoint, answer: dict[str, Any], sent: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.about,
        "description": f"Takes the role {one.role()}.",
        "parameters": [*_path_parameters(one), *_query_parameters(one)],
        "responses": {
            **{str(status): _done(one, answer) for status in one.statuses},
            **{str(status): _problem(told, problem) for status, told in _failures(one)},
        },
    }
    if sent:
        made["requestBody"] = {"required": one.order_needed, "content": sent}
    return made


def _operation_id(one: Endpoint) -> str:
    words = [word.strip("{}.") for word in one.path.replace("}.{", "/").split("/")[2:]]
    return "_".join([one.method.lower(), *(word.replace(".", "_").replace("{", "").replace("}", "") for word in words)])


def _path_parameters(one: Endpoint) -> Iterator[dict[str, Any]]:
    kind = one.path.removeprefix("/api/v1/").partition("/")[0]
    for name in one.names():
        usual = (
            {"type": "string", "pattern": pattern(_IDS[kind])} if name == "id" and kind in _IDS else {"type": "string"}
        )
        yield {"name": name, "in": "path", "required": True, "schema": one.segments.get(name, usual)}


def _query_parameters(one: Endpoint) -> Iterator[dict[str, Any]]:
    for name, described in one.query.items():
        yield {"name": name, "in": "query", "schema": described}


def _failures(one: Endpoint) -> Iterator[tuple[int, str]]:
    """Yield which statuses else there are, and what they mean."""
    yield 400, "It cannot be done as it was put; `detail` says why."
    yield 401, "A token is needed."
    yield 403, "Another role is needed, or a session's request was not one of our own pages."
    if one.names():
        yield 404, "There is no such thing."
        yield 410, "It was here, and its retention has passed."
    if one.method == "POST":
        yield 404, "There is no such thing."
        yield 408, "The body did not arrive in time."
        yield 409, "Somebody else wrote the same meanwhile; try again."
        yield 410, "It was here, and its retention has passed."
        yield 413, "The body is too large."
    for status in one.also:
        yield status, "The provider did not do it."
    yield 421, "This name is not one of ours."
    yield 500, "The log says more."
    yield 503, "Not now; try again after `Retry-After` seconds."


def _done(one: Endpoint, answer: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Done.", "content": {media: {"schema": answer} for media in one.media}}


def _problem(told: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {_PROBLEMS: {"schema": schema}}}
