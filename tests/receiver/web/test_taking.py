"""Exports by URL: every form with its media type, an earlier version, a call as one container, and what there is not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from kept import kept_in, normalized, result
from starlette.applications import Starlette
from starlette.routing import Route

from receiver.contract.errors import HookscribeError
from receiver.contract.model import Segment
from receiver.export.formats import FORMATS
from receiver.exporting import Exporter, host_of
from receiver.store.lists import Lists
from receiver.store.store import Store
from receiver.testing.store import Clock
from receiver.web.problems import explain
from receiver.web.taking import Taking


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give a store with two results of one call, one of them in two versions."""
    async with kept_in(tmp_path / "store.db", Clock()) as opened:
        said = (Segment(start=0.0, end=1.0, speaker="A", text="hello"),)
        await normalized(opened, [result("one", "call-1", segments=said), result("two", "call-1")], body=b"\xff{}")
        await normalized(opened, [result("one", "call-1", text="hello again", segments=said)])
        yield opened


@pytest.fixture
async def api(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the endpoints."""
    endpoints = Taking(Exporter(Lists(store.engine), "calls.example.com")).endpoints()
    app = Starlette(
        routes=[Route(one.path, one.run) for one in endpoints], exception_handlers={HookscribeError: explain}
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/api/v1") as client:
        yield client


async def ids(store: Store) -> dict[str, str]:
    """Return the ids of the transcripts by job, and that of the call."""
    page = await Lists(store.engine).transcripts({}, whole=False)
    found = {one["job_id"]: one["id"] for one in page.items}
    return {**found, "call": page.items[0]["call_id"]}


@pytest.mark.parametrize(
    ("form", "media_type", "begins"),
    [
        ("json", "application/json", '{"id":"trn_'),
        ("txt", "text/plain; charset=utf-8", "trn_"),
        ("csv", "text/csv; charset=utf-8; header=present", "transcript_id,version"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT"),
        ("srt", "application/x-subrip; charset=utf-8", "1\n00:00:00,000 -->"),
        ("vcon", "application/vcon", '{"vcon":"0.4.0"'),
    ],
)
async def test_each_form_by_its_end(
    store: Store, api: httpx.AsyncClient, form: str, media_type: str, begins: str
) -> None:
    """The newest version comes as a file of its type."""
    one = (await ids(store))["one"]
    answer = await api.get(f"/transcripts/{one}.{form}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["content-disposition"] == f'attachment; filename="{one}.{form}"'
    assert answer.text.startswith(begins)
    assert "hello" in answer.text


@pytest.mark.parametrize("form", ["json", "txt", "csv", "vcon"])
async def test_all_that_a_filter_finds(store: Store, api: httpx.AsyncClient, form: str) -> None:
    """One stream, newest first, as `hookscribe export` writes it; a filter that finds nothing gives an empty one."""
    known = await ids(store)
    answer = await api.get(f"/transcripts.{form}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="transcripts.{form}"'
    lines = form in ("json", "vcon")
    assert answer.headers["content-type"] == ("application/jsonl" if lines else FORMATS[form].media_type)
    whole = [one.data.decode() async for one in Exporter(Lists(store.engine), "calls.example.com").many({}, form)]  # type: ignore[union-attr]
    after = FORMATS[form].after or ""
    assert answer.text == FORMATS[form].head + "".join(one + after for one in whole)
    assert (await api.get(f"/transcripts.{form}?job_id=two")).text.count(known["one"]) == 0
    assert (await api.get(f"/transcripts.{form}?job_id=none")).text == FORMATS[form].head


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/transcripts.vtt", 400, "a vtt file holds one transcript"),
        ("/transcripts.docx", 404, "known are json"),
        ("/transcripts.csv?since=soon", 400, "since"),
    ],
)
async def test_what_cannot_be_one_stream(api: httpx.AsyncClient, path: str, status: int, told: str) -> None:
    """It is told before anything is sent."""
    answer = await api.get(path)
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True)


async def test_an_earlier_version(store: Store, api: httpx.AsyncClient) -> None:
    """The version asked for is the one exported."""
    one = (await ids(store))["one"]
    texts = [(await api.get(f"/transcripts/{one}.json?version={number}")).json()["text"] for number in (1, 2)]
    assert texts == ["hello", "hello again"]


async def test_a_call_is_one_container(store: Store, api: httpx.AsyncClient) -> None:
    """Both results of the call, and the exact bytes of both callbacks."""
    call = (await ids(store))["call"]
    document = (await api.get(f"/calls/{call}.vcon")).json()
    assert [one["body"]["job_id"] for one in document["analysis"]] == ["one", "two"]
    assert [one["purpose"] for one in document["attachments"]] == ["provider-callback"] * 2
    assert "_3t9" in json.dumps(document["attachments"])


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/transcripts/{one}.docx", 404, "known are json"),
        ("/transcripts/{two}.vtt", 400, "has no times"),
        ("/transcripts/{one}.json?version=0x", 400, "version"),
        ("/transcripts/{one}.json?version=9", 404, "version 9"),
        ("/transcripts/{one}.json?what=1", 400, "what"),
        ("/transcripts/trn_zzz.json", 404, "no id"),
        ("/calls/call_0000000000000.vcon", 404, "there is no"),
    ],
)
async def test_what_there_is_not_is_told(
    store: Store, api: httpx.AsyncClient, path: str, status: int, told: str
) -> None:
    """Each comes with its status and a sentence."""
    answer = await api.get(path.format(**await ids(store)))
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True)


async def test_what_is_gone_is_left_out(store: Store, api: httpx.AsyncClient) -> None:
    """A call of which nothing is left has no container; a callback that is gone is no attachment."""
    known = await ids(store)
    numbers = [row[0] for row in await store.engine.rows("list_receipts", {"limit": 9})]
    await store.engine.write("receipts_gone", {"ids": numbers, "state": "normalized", "headers": b""})
    document = (await api.get(f"/calls/{known['call']}.vcon")).json()
    assert "attachments" not in document
    rows = await store.engine.rows(
        "call_transcripts", {"id": (await store.engine.rows("list_calls", {"limit": 1}))[0][0], "limit": 9}
    )
    await store.engine.write("drop_versions", {"ids": [row[0] for row in rows]})
    answer = await api.get(f"/calls/{known['call']}.vcon")
    assert (answer.status_code, "nothing was said" in answer.json()["detail"]) == (404, True)


def test_our_name_is_that_of_the_public_address() -> None:
    """Without one it is a name that nobody has."""
    assert host_of("https://calls.example.com:8443/x") == "calls.example.com"
    assert host_of(None) == "hookscribe.invalid"
