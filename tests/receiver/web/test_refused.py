"""The quarantine by the admin API, on a whole receiver: a wrong secret is seen, mended, and loses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.config import build
from receiver.registry import discover
from receiver.store.ids import QUARANTINED, encode
from receiver.web.access import admin_token
from receiver.web.serve import serving

RIGHT = "right-token-0123456789"
WRONG = "wrong-token-0123456789"
BODY = b'{"jobId": "job-1", "status": "InProgress"}'


def table(tmp_path: Path, token: str) -> dict[str, Any]:
    """Return settings with one RingCentral source."""
    return {
        "store": f"sqlite:{tmp_path / 'store.db'}",
        "listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "sources": {"ringcentral": {"provider": "ringcentral", "token": token}},
    }


@pytest.fixture
async def refused(tmp_path: Path) -> str:
    """Let a receiver with the wrong token refuse a callback; return its id in the quarantine."""
    registry = discover()
    config = build(table(tmp_path, WRONG), {}, registry)
    async with serving(config, registry) as (running, addresses), httpx.AsyncClient() as client:
        answer = await client.post(f"{addresses.public}/hooks/ringcentral/{RIGHT}", content=BODY)
        assert answer.status_code == 404
        async with asyncio.timeout(10):
            while not (rows := await running.runtime.quarantine.newest(1)):
                await asyncio.sleep(0.05)
    assert rows[0].size == len(BODY)
    return encode(QUARANTINED, rows[0].id)


@contextlib.asynccontextmanager
async def admin(tmp_path: Path, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run a receiver with a token, and give a client of its admin listener."""
    registry = discover()
    config = build(table(tmp_path, token), {}, registry)
    async with serving(config, registry) as (_, addresses):
        bearer = {"authorization": f"Bearer {admin_token(config).value}"}
        async with httpx.AsyncClient(base_url=str(addresses.admin), headers=bearer) as client:
            yield client


async def test_a_refused_request_is_shown_without_its_token(tmp_path: Path, refused: str) -> None:
    """The API shows reason, checks and exact bytes, and never the token that came."""
    async with admin(tmp_path, WRONG) as client:
        one = await client.get(f"/api/v1/quarantine/{refused}")
        body = await client.get(f"/api/v1/quarantine/{refused}/body")

    assert one.json()["reason"] == "token_unknown"
    assert RIGHT not in one.text
    assert body.content == BODY


async def test_it_is_admitted_once_the_settings_are_right(tmp_path: Path, refused: str) -> None:
    """Before the fix it stays and says why; after it, it becomes a receipt and leaves the quarantine."""
    async with admin(tmp_path, WRONG) as client:
        still = (await client.post(f"/api/v1/quarantine/{refused}/admit")).json()
    async with admin(tmp_path, RIGHT) as client:
        admitted = (await client.post(f"/api/v1/quarantine/{refused}/admit")).json()
        receipt = await client.get(f"/api/v1/receipts/{admitted['receipt']}")
        left = (await client.get("/api/v1/quarantine")).json()

    assert still["receipt"] is None
    assert still["why"].startswith("token_unknown")
    assert receipt.json()["verdict"] == "token"
    assert left == {"items": [], "next": None}


async def test_pages_go_on_where_the_last_one_ended(tmp_path: Path, refused: str) -> None:
    """A limit cuts the list, the cursor goes on, and unknown parameters and ids are said to be unknown."""
    async with admin(tmp_path, WRONG) as client:
        whole = (await client.get("/api/v1/quarantine", params={"limit": "1"})).json()
        unknown = await client.get("/api/v1/quarantine", params={"sort": "up"})
        missing = await client.get("/api/v1/quarantine/qrn_0000000000000")

    assert [item["id"] for item in whole["items"]] == [refused]
    assert whole["next"] is None
    assert unknown.status_code == 400
    assert missing.status_code == 404
