"""The description of the admin API is true: schemathesis tries every endpoint of a receiver with data behind it."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from emulating import Emulator, emulated
from pipeline_fakes import until
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.web.api import Api
from receiver.web.serve import serving

BEARER = {"authorization": f"Bearer {ADMIN}"}
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SLOW = "post_v1_sinks_name_test"
"""It waits for a sink that another request may have paused; so it is tried alone."""
ENDLESS = "get_v1_stream"
"""It is tried by the way of who reads its first message only."""
OTHERS = ("--exclude-operation-id", SLOW, "--exclude-operation-id", ENDLESS)


@contextlib.asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run a receiver with something of every kind in it; give a client with the token."""
    async with (
        serving(configured(folder, admin_token=ADMIN), REGISTRY) as (_, where),
        httpx.AsyncClient(base_url=where.admin or "", headers=BEARER, timeout=30) as http,
    ):
        for body in (b"one", b"two"):
            assert (await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=body)).status_code == 200
        assert (await http.post(f"{where.public}/hooks/acme/wrong-{TOKEN}", content=b"3")).status_code == 404
        await until(lambda: len(Keeps.sent) == 2)
        async with asyncio.timeout(20):
            while not (await http.get("/api/v1/quarantine")).json()["items"]:
                await asyncio.sleep(0.05)
        adopted = await http.post("/api/v1/jobs/adopt", json={"source": "acme", "job_id": "elsewhere"})
        assert adopted.status_code == 201
        yield http


async def with_examples(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return the description, with ids of things that are there as examples, so that more than 404 is tried."""
    document: dict[str, Any] = (await http.get("/api/openapi.json")).json()
    found = {}
    for kind in ("receipts", "transcripts", "calls", "events", "deliveries", "quarantine", "jobs"):
        found[kind] = (await http.get(f"/api/v1/{kind}")).json()["items"][0]["id"]
    names = {"sinks": "archive", "sources": "acme", "schemas": "transcript"}
    for path, operations in document["paths"].items():
        kind = path.split("/")[2 if path.startswith("/api/schemas") else 3] if path.count("/") > 2 else ""
        for parameter in (one for operation in operations.values() for one in operation["parameters"]):
            if parameter["in"] == "path" and parameter["name"] in ("id", "name"):
                parameter["example"] = {**found, **names}[kind]
            elif parameter["in"] == "path":
                parameter["example"] = parameter["schema"]["enum"][0]
    return document


async def tried(http: httpx.AsyncClient, folder: Path, *which: str, url: str | None = None) -> tuple[int, str]:
    """Let schemathesis try what its options say; return its exit code and what it says."""
    file = folder / "openapi.json"
    file.write_text(json.dumps(await with_examples(http)))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", url or str(http.base_url)]
    options = ["--checks", CHECKS, "--header", f"Authorization:Bearer {ADMIN}", *which]
    bounds = ["--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "1", "--no-shrink"]
    child = await asyncio.create_subprocess_exec(
        *command, *options, *bounds, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await child.communicate()
    return child.returncode or 0, said.decode()


class FirstMessage(Emulator):
    """Passes requests on, and answers with the first message of a stream, whole."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._http = http

    async def _passed_on(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        query = str(request.url.query)
        async with self._http.stream("GET", f"{request.url.path}?{query}", headers=headers) as answer:
            pieces = answer.aiter_bytes()
            if answer.status_code == 200:
                body = await anext(pieces)
            else:
                body = b"".join([piece async for piece in pieces])
        return Response(body, answer.status_code, media_type=answer.headers["content-type"])

    def app(self) -> Starlette:
        """Return what stands between."""
        return Starlette(routes=[Route("/{path:path}", self._passed_on)])


async def test_every_answer_is_as_described(tmp_path: Path) -> None:
    """No 5xx, no status, media type or body that the document does not have."""
    async with filled(tmp_path) as http:
        code, said = await tried(http, tmp_path, *OTHERS)
    assert code == 0, said


async def test_the_stream_answers_as_described(tmp_path: Path) -> None:
    """Whatever it is asked, by its first message."""
    async with filled(tmp_path) as http, emulated(FirstMessage(http)) as url:
        code, said = await tried(http, tmp_path, "--include-operation-id", ENDLESS, url=url)
    assert code == 0, said
    assert "1 passed" in said


async def test_the_test_of_a_sink_answers_as_described(tmp_path: Path) -> None:
    """Of one that is there, and that nothing pauses."""
    async with filled(tmp_path) as http:
        code, said = await tried(http, tmp_path, "--include-operation-id", SLOW)
    assert code == 0, said


async def test_an_answer_that_is_not_described_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fault planted into one endpoint, the same run fails, and names it."""

    async def faulty(self: Api, request: Any) -> Any:
        return JSONResponse({"name": 5, "surprise": True})

    monkeypatch.setattr(Api, "sink", faulty)
    async with filled(tmp_path) as http:
        code, said = await tried(http, tmp_path, *OTHERS, "--include-path-regex", "sinks/.name.$")
    assert code == 1
    assert "/api/v1/sinks/{name}" in said


async def test_the_schemas_of_events_are_there(tmp_path: Path) -> None:
    """What `dataschema` leads to fits what events hold; another name is a 404 that lists those there are."""
    async with filled(tmp_path) as http:
        schema = await http.get("/api/schemas/transcript/v1")
        assert schema.headers["content-type"] == "application/schema+json"
        event = (await http.get("/api/v1/events")).json()["items"][0]
        jsonschema.Draft202012Validator(schema.json()).validate(event["data"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema.json()).validate({**event["data"], "version": "x"})
        assert (await http.get("/api/schemas/ops/v1")).json()["type"] == "object"
        assert "known are transcript" in (await http.get("/api/schemas/nothing/v1")).json()["detail"]
