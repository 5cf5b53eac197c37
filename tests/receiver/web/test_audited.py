"""The audit trail over HTTP, against a receiver: reads of what was said, and orders, with who, what, on what and when."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
from pipeline_fakes import until
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured

from receiver.store.access import Role, Tokens
from receiver.store.audit import Entry, Trail
from receiver.web import audited
from receiver.web.audited import Reads
from receiver.web.serve import serving

SAME = {"sec-fetch-site": "same-origin"}
BEARER = {"authorization": f"Bearer {ADMIN}"}


async def trail(http: httpx.AsyncClient, count: int, **asked: str) -> list[dict[str, Any]]:
    """Wait until the trail has so many entries, and return them, oldest first."""
    async with asyncio.timeout(20):
        while True:
            answer = await http.get("/api/v1/audit", params={"limit": 1000, **asked}, headers=BEARER)
            if len(items := answer.json()["items"]) >= count:
                return list(reversed(items))
            await asyncio.sleep(0.05)


async def test_reads_and_orders_are_written_down(tmp_path: Path) -> None:
    """By API and page, by name; lists that show nothing are not; what was said or looked for never is."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (run, where),
        httpx.AsyncClient(base_url=where.admin or "") as http,
    ):
        _, token = await Tokens(run.runtime.store).create("ann", Role.OPERATE)
        await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"canary")
        await until(lambda: Keeps.sent)
        ann = {"authorization": f"Bearer {token.value}"}
        read = (await http.get("/api/v1/transcripts", headers=ann)).json()["items"][0]["id"]
        for path in (
            f"transcripts/{read}.txt",
            f"transcripts/{read}",
            "sinks",
            "receipts",
            f"transcripts/{read}/versions",
        ):
            assert (await http.get(f"/api/v1/{path}", headers=ann)).status_code == 200
        assert (await http.get("/api/v1/transcripts/trn_0000000000000", headers=ann)).status_code == 404
        order = {"sink": "archive", "dry_run": True}
        assert (await http.post("/api/v1/deliveries/replay", json=order, headers=ann)).status_code == 200
        assert (await http.post("/api/v1/sinks/none/pause", headers=ann)).status_code == 404
        await http.post("/login", data={"token": ADMIN}, headers=SAME)
        assert (await http.post("/api/v1/sinks/archive/pause", headers=SAME)).status_code == 200
        found = await trail(http, 5)
        assert sorted((one["who"], one["via"], one["what"], one["thing"]) for one in found) == [
            ("admin token", "page", "sinks.pause", "archive"),
            ("ann", "api", "deliveries.replay", None),
            *[("ann", "api", "read", read)] * 3,
        ]
        (replay,) = await trail(http, 1, what="deliveries.replay")
        assert replay["detail"] == '{"sink":"archive","dry_run":true}'
        assert len(await trail(http, 3, thing=read)) == 3
        assert "canary" not in str(found)
        refused = await http.get("/api/v1/audit", headers=ann)
        assert (refused.status_code, refused.json()["needed"]) == (403, "admin")


async def test_pages_that_show_words_are_written_down(tmp_path: Path) -> None:
    """What a search finds, a call with its transcripts; what did not change since it was shown is not written again."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (_, where),
        httpx.AsyncClient(base_url=where.admin or "", follow_redirects=True) as http,
    ):
        await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"canary")
        await until(lambda: Keeps.sent)
        (shown,) = (await http.get("/api/v1/transcripts", headers=BEARER)).json()["items"]
        async with asyncio.timeout(20):
            while not (await http.get("/api/v1/search?q=canary", headers=BEARER)).json()["items"]:
                await asyncio.sleep(0.05)
        await http.post("/login", data={"token": ADMIN}, headers=SAME)
        page = await http.get("/search?q=canary")
        assert "canary" in page.text
        call = (await http.get("/api/v1/calls", headers=BEARER)).json()["items"][0]["id"]
        page = await http.get(f"/calls/{call}")
        same = await http.get(f"/calls/{call}", headers={"if-none-match": page.headers["etag"]})
        assert same.status_code == 304
        found = [one for one in await trail(http, 4) if one["via"] == "page"]
        assert [one["thing"] for one in found] == [shown["id"], call, shown["id"]]


async def test_a_stream_of_exports_is_written_down_as_it_goes(tmp_path: Path) -> None:
    """Each transcript that it gave."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (_, where),
        httpx.AsyncClient(base_url=where.admin or "", headers=BEARER) as http,
    ):
        for body in (b"one", b"two", b"three"):
            await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=body)
        await until(lambda: len(Keeps.sent) == 3)
        answer = await http.get("/api/v1/transcripts.json")
        ids = [json.loads(line)["id"] for line in answer.text.splitlines()]
        assert len(ids) == 3
        assert [one["thing"] for one in await trail(http, 3)] == ids


async def test_an_order_names_what_it_made(tmp_path: Path) -> None:
    """A job that was adopted over the API is found by its id."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (_, where),
        httpx.AsyncClient(base_url=where.admin or "", headers=BEARER) as http,
    ):
        made = await http.post(
            "/api/v1/jobs/adopt", json={"source": "acme", "job_id": "elsewhere", "metadata": {"a": "canary"}}
        )
        (found,) = await trail(http, 1)
        assert (found["what"], found["thing"]) == ("jobs.adopt", made.json()["id"])
        assert found["detail"] == '{"source":"acme","job_id":"elsewhere"}'


async def test_a_form_says_what_was_ordered(tmp_path: Path) -> None:
    """The verb and the filter; never a secret that was tried."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (_, where),
        httpx.AsyncClient(base_url=where.admin or "", follow_redirects=True) as http,
    ):
        await http.post("/login", data={"token": ADMIN}, headers=SAME)
        page = await http.get("/sinks/archive")
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token
        form = {"form_token": token[1], "verb": "discard", "state": "pending", "sink": "archive", "secret": "canary"}
        assert (await http.post("/deliveries/change", data=form, headers=SAME)).status_code == 200
        (found,) = await trail(http, 1)
        assert (found["what"], found["detail"]) == ("deliveries.discard", '{"state":"pending","sink":"archive"}')


async def test_reads_that_wait_are_written_at_the_end(tmp_path: Path) -> None:
    """A stop loses none of them."""
    config = configured(tmp_path, admin_token=ADMIN)
    async with serving(config, REGISTRY) as (_, where), httpx.AsyncClient(headers=BEARER) as http:
        await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"canary")
        await until(lambda: Keeps.sent)
        read = (await http.get(f"{where.admin}/api/v1/events")).json()["items"][0]["id"]
    async with serving(config, REGISTRY) as (run, _):
        page = await Trail(run.runtime.store).listed({})
    assert [(one["what"], one["thing"]) for one in page.items] == [("read", read)]


async def test_readers_wait_where_too_many_reads_do(tmp_path: Path) -> None:
    """Memory is bounded: with so many waiting, they are written before anybody gets an answer."""
    async with serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (run, _):
        reads = Reads(Trail(run.runtime.store))
        entry = Entry(who="a\0\ud800", via="api", what="read", thing="trn_1", detail="x" * 5000)
        await reads.add([entry] * audited._MOST)
        page = await reads.trail.listed({"limit": "1000"})
        assert len(page.items) == 1000
        assert (page.items[0]["who"], len(page.items[0]["detail"])) == ("a ?", 1000)
        assert await reads.trail.trim(run.runtime.store.now_ms() + 1000) == 1000
        await reads.close()
