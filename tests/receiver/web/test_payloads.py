"""Whole events for who holds a link: the right one, for as long as it works, and nothing for anybody else."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pipeline_fakes import until
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured

from receiver.contract.settings import RedactSettings, Secret
from receiver.links import Links, key_file
from receiver.pipeline.shape import PAYLOADS
from receiver.reload import reload
from receiver.runtime import Running
from receiver.web import payloads
from receiver.web.serve import Addresses, serving

PORT_OF_OURS = "https://calls.example.com"


def thin(folder: Path, **sink: Any) -> Any:
    """Return a configuration with a sink that gets links."""
    sinks = {"archive": {"kind": "keeps", "shape": "thin", "payload_links": True, **sink}}
    return configured(folder, admin_token=ADMIN, public_url=PORT_OF_OURS, sinks=sinks)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client without a token."""
    async with httpx.AsyncClient(timeout=10) as client:
        yield client


async def sent(http: httpx.AsyncClient, where: Addresses, body: bytes) -> dict[str, Any]:
    """Send a callback; return the data of the event that the sink got."""
    before = len(Keeps.sent)
    assert (await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=body)).status_code == 200
    await until(lambda: len(Keeps.sent) > before, "a delivery")
    data: dict[str, Any] = json.loads(Keeps.sent[-1].event.data)
    return data


def local(link: str, where: Addresses) -> str:
    """Return a link as it is reached on this machine."""
    return link.replace(PORT_OF_OURS, str(where.public))


async def waited(http: httpx.AsyncClient, url: str, count: int) -> list[dict[str, Any]]:
    """Wait until a list of the API has so many items; return them."""
    async with asyncio.timeout(20):
        while True:
            answer = await http.get(url, headers={"Authorization": f"Bearer {ADMIN}"})
            items: list[dict[str, Any]] = answer.json()["items"]
            if len(items) >= count:
                return items
            await asyncio.sleep(0.05)


async def test_a_link_gives_the_event_whole(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Bytes of the size and the digest that were told, to be kept by nobody on the way; others get nothing."""
    async with serving(thin(tmp_path), REGISTRY) as (_, where):
        told = await sent(http, where, b"hello")
        got = await http.get(local(told["link"], where))
        assert got.status_code == 200
        assert (len(got.content), hashlib.sha256(got.content).hexdigest()) == (told["size"], told["sha256"])
        assert got.json()["data"]["text"] == "hello"
        assert got.headers["content-type"] == "application/cloudevents+json"
        assert got.headers["cache-control"] == "no-store"
        assert "text" not in told
        event = Keeps.sent[-1].event.id
        same = f"{where.admin}/api/v1/events/{event}/payload"
        assert (await http.get(same)).status_code == 401
        authorized = {"Authorization": f"Bearer {ADMIN}"}
        assert (await http.get(same, headers=authorized)).content == got.content
        assert (await http.get(f"{where.admin}/api/v1/events/evt_x/payload", headers=authorized)).status_code == 404
        trail = await waited(http, f"{where.admin}/api/v1/audit?thing={event}", 2)
        assert {(one["who"], one["via"]) for one in trail} == {("link of sink archive", "link"), ("admin token", "api")}
        posted = await http.post(local(told["link"], where))
        assert (posted.status_code, posted.content) == (404, b'{"error":"not found"}')


async def test_a_link_of_a_redacting_sink_gives_the_event_masked(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """What the sink may not see is behind no link of it; size and digest are those of what comes."""
    async with serving(thin(tmp_path, redact={"kinds": ["email"]}), REGISTRY) as (_, where):
        told = await sent(http, where, b"write to ann@example.com")
        got = await http.get(local(told["link"], where))
        assert got.json()["data"]["text"] == "write to [email]"
        assert (len(got.content), hashlib.sha256(got.content).hexdigest()) == (told["size"], told["sha256"])


async def test_without_signed_links_a_redacting_sink_is_led_to_the_event_masked(
    tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """The admin API gives it as this sink would have been sent it: of the size and digest told, with nothing to see."""
    config = thin(tmp_path, redact={"kinds": ["email"]}, payload_links=False)
    config = msgspec.structs.replace(config, root=msgspec.structs.replace(config.root, admin_url=PORT_OF_OURS))
    async with serving(config, REGISTRY) as (_, where):
        told = await sent(http, where, b"write to ann@example.com")
        url = told["link"].replace(PORT_OF_OURS, str(where.admin))
        headers = {"Authorization": f"Bearer {ADMIN}"}
        got = await http.get(url, headers=headers)

        assert told["redacted"] == got.json()["data"]["redacted"] == {"email": 1}
        assert got.json()["data"]["text"] == "write to [email]"
        assert (len(got.content), hashlib.sha256(got.content).hexdigest()) == (told["size"], told["sha256"])
        assert (await http.get(url)).status_code == 401
        assert (await http.get(url.replace("=archive", "=other"), headers=headers)).status_code == 400


async def test_what_is_no_link_of_ours_gives_nothing(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """404 for a guess and for another kind, 410 once it has expired, and for an event that is not there."""
    async with serving(thin(tmp_path), REGISTRY) as (run, where):
        event = (await sent(http, where, b"hello"), Keeps.sent[-1].event.id)[1]
        key = Secret(key_file(tmp_path / "store.db").read_text())
        links = Links(key, time.time)
        base = f"{where.public}/payloads/"
        assert (await http.get(base + links.sign(PAYLOADS, f"{event}:archive"))).status_code == 200
        assert (await http.get(base + links.sign(PAYLOADS, f"{event}:archive", -5))).status_code == 410
        assert (await http.get(base + links.sign(PAYLOADS, f"{event}:other"))).status_code == 404
        assert (await http.get(base + links.sign("media", f"{event}:archive"))).status_code == 404
        assert (await http.get(base + links.sign(PAYLOADS, "garbage:archive"))).status_code == 404
        assert (await http.get(base + "guess.guess")).status_code == 404
        assert (await http.get(base)).status_code == 404
        runtime = run.runtime
        await runtime.store.engine.write("drop_events", {"ids": [row[0] for row in await _events(run)]})
        assert (await http.get(base + links.sign(PAYLOADS, f"{event}:archive"))).status_code in (404, 410)


async def _events(run: Running) -> list[Any]:
    return await run.runtime.store.engine.rows("list_events", {"limit": 9}, ["1 = 1"])


async def test_links_that_nobody_asked_for_open_nothing(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Off, no key is made, the thin event leads to the admin API, and links of before are closed at once."""
    config = thin(tmp_path, payload_links=False)
    async with serving(config, REGISTRY) as (run, where):
        told = await sent(http, where, b"hello")
        assert told["link"] is None
        assert not key_file(tmp_path / "store.db").exists()
        assert (await http.get(f"{where.public}/payloads/a.b")).status_code == 404
        await reload(run, thin(tmp_path))
        link = local((await sent(http, where, b"again"))["link"], where)
        assert (await http.get(link)).status_code == 200
        assert key_file(tmp_path / "store.db").stat().st_mode & 0o777 == 0o600
        await reload(run, config)
        assert (await http.get(link)).status_code == 404


async def test_only_so_many_are_read_at_once(
    tmp_path: Path, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while all places are taken is asked to come again."""
    entered, gate = asyncio.Event(), asyncio.Event()
    real = payloads.Payloads.whole

    async def slow(self: payloads.Payloads, public_id: str, redact: RedactSettings | None = None) -> bytes:
        entered.set()
        await gate.wait()
        return await real(self, public_id, redact)

    monkeypatch.setattr(payloads, "_AT_ONCE", 1)
    async with serving(thin(tmp_path), REGISTRY) as (_, where):
        link = local((await sent(http, where, b"hello"))["link"], where)
        monkeypatch.setattr(payloads.Payloads, "whole", slow)
        first = asyncio.create_task(http.get(link))
        await entered.wait()
        busy = await http.get(link)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        gate.set()
        assert (await first).status_code == 200
