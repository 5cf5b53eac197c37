"""Reading receipts again over the admin API: shown by default, written when that is said."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from kept import ROUTES, result
from pipeline_fakes import World, world
from starlette.applications import Starlette
from starlette.routing import Route

from receiver.contract.errors import HookscribeError
from receiver.pipeline.operating.reprocess import Reprocess
from receiver.store.ids import RECEIPT, encode
from receiver.web import again
from receiver.web.problems import explain


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[World]:
    """Give a world with two receipts whose provider says something else now."""
    async with world(tmp_path, ROUTES) as made:
        await made.say(result("1", text="canary"), body=b"1")
        await made.say(result("2", text="canary"), body=b"2")
        made.acme.said = {b"1": (result("1", text="right"),), b"2": (result("2", text="right"),)}
        yield made


@pytest.fixture
async def api(one: World) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the two endpoints."""
    made = again.Again(Reprocess(one.store, one.normalize, ROUTES))
    routes = [Route("/reprocess", made.many, methods=["POST"]), Route("/{id}/reprocess", made.one, methods=["POST"])]
    app = Starlette(routes=routes, exception_handlers={HookscribeError: explain})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        yield client


def receipts(one: World) -> list[str]:
    """Return the ids of the receipts."""
    return [encode(RECEIPT, row[0]) for row in one.sql("SELECT id FROM receipts ORDER BY id")]


async def test_the_difference_is_the_default(one: World, api: httpx.AsyncClient) -> None:
    """Of one receipt or of all; without the words, unless they are asked for, and nothing is written."""
    (first, _) = receipts(one)
    shown = (await api.post(f"/{first}/reprocess")).json()
    assert (shown["summary"]["written"], shown["summary"]["changed"]) == (False, 1)
    assert shown["items"][0]["changes"][0]["differences"][0]["path"] == "text"
    both = await api.post("/reprocess", json={})
    assert [item["result"] for item in both.json()["items"]] == ["changed", "changed"]
    assert "canary" not in both.text
    words = (await api.post("/reprocess", json={"show_text": True})).json()
    assert words["items"][0]["changes"][0]["differences"] == [{"path": "text", "old": "canary", "new": "right"}]
    assert one.sql("SELECT DISTINCT version FROM transcripts") == [(1,)]


async def test_it_is_written_when_that_is_said(one: World, api: httpx.AsyncClient) -> None:
    """By id or filter, told to the sinks named; a second time nothing changes."""
    (first, _) = receipts(one)
    done = (await api.post(f"/{first}/reprocess", json={"dry_run": False, "deliver": ["team"]})).json()
    assert (done["summary"]["versions"], done["summary"]["deliveries"]) == (1, 1)
    rest = (await api.post("/reprocess", json={"dry_run": False, "source": "acme"})).json()
    assert (rest["summary"]["changed"], rest["summary"]["unchanged"], rest["summary"]["deliveries"]) == (1, 1, 0)


async def test_an_answer_is_bounded(one: World, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary counts all, also those that are not shown."""
    monkeypatch.setattr(again, "SHOWN", 1)
    answer = (await api.post("/reprocess", json={})).json()
    assert (len(answer["items"]), answer["summary"]["changed"]) == (1, 2)


@pytest.mark.parametrize(
    ("order", "status", "told"),
    [
        ({"dry_run": False}, 400, "say which receipts"),
        ({"ids": ["rcp_0000000000000"]}, 404, "there is no rcp_0000000000000"),
        ({"deliver": ["none"]}, 404, "no sink has the name"),
        ({"state": "received"}, 400, "state: expected one of"),
        ({"nonsense": 1}, 400, "expected a JSON object with any of ids, source"),
    ],
)
async def test_wrong_orders_are_refused(
    api: httpx.AsyncClient, order: dict[str, object], status: int, told: str
) -> None:
    """With what would be right."""
    answer = await api.post("/reprocess", content=msgspec.json.encode(order))
    assert (answer.status_code, told in answer.text) == (status, True)
