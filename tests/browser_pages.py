"""A receiver with calls, refusals and a dead letter in it, and Chromium looking at its pages."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
import uvicorn
from playwright.async_api import BrowserContext, Page, async_playwright

from receiver.config import build
from receiver.registry import discover
from receiver.reload import reload
from receiver.runtime import Running
from receiver.store.jobs import JobDoc, Jobs, JobState, NewJob
from receiver.testing.fixtures import load_case
from receiver.testing.server import RawServer, listening, writes
from receiver.testing.slack import PATH, SlackStandin
from receiver.testing.store import DAY_MS, a_receipt
from receiver.web.serve import Addresses, serving

ADMIN = "canary-admin-0123456789"
SECRET = "canary-callcov-secret-0123456789"
TOKEN = "canary-harbour-token-0123456789"
REFUND = "5c1e7a0b-9d42-4f38-8b16-27c4e9a0d613"
PATIENCE = 20.0
OPERATIONS = {"callcov": "call-analysis", "harbour": "transcription"}
_HERE = Path(__file__).parent / "browser"
_CALLCOV = Path(__file__).parents[1] / "fixtures" / "callcov"
_NO = b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone"


def chromium() -> str:
    """Return where Chromium is; where it is not, the test is skipped, or fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        _missing("chromium is not installed: apt-get install --no-install-recommends chromium")
    return found or ""


def axe() -> str:
    """Return the text of axe-core, which AXE_CORE points at; without it the test is skipped, or fails in CI."""
    path = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
    if not path.is_file():
        _missing("axe-core is not there: npm install axe-core, and AXE_CORE=…/axe.min.js")
    return path.read_text("utf-8")


def _missing(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


class Site(msgspec.Struct, kw_only=True):
    """A running receiver with something in it."""

    run: Running
    addresses: Addresses
    slack: list[dict[str, Any]]
    crm: RawServer
    admin: str
    settings: dict[str, Any]

    async def prove_with(self, *secrets: str) -> None:
        """Let CallCov's callbacks be proven with these secrets from now on, as a reload of the settings does."""
        self.settings["sources"]["callcov"]["secrets"] = [*secrets]
        await reload(self.run, build(self.settings, {}, discover()))

    async def post(self, body: bytes, secret: str = SECRET) -> httpx.Response:
        """Send a callback of CallCov."""
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        async with httpx.AsyncClient() as client:
            url = f"{self.addresses.public}/hooks/callcov"
            return await client.post(url, content=body, headers={"X-Signature": signature})

    async def rows(self, list_name: str, **given: str) -> list[dict[str, Any]]:
        """Return what a list of the API holds."""
        bearer = {"authorization": f"Bearer {ADMIN}"}
        async with httpx.AsyncClient(headers=bearer) as client:
            answer = await client.get(f"{self.addresses.admin}/api/v1/{list_name}", params=given)
            found: list[dict[str, Any]] = answer.json()["items"]
            return found

    async def until(self, list_name: str, count: int, **given: str) -> list[dict[str, Any]]:
        """Wait until a list holds so many."""
        async with asyncio.timeout(PATIENCE):
            while len(found := await self.rows(list_name, **given)) < count:
                await asyncio.sleep(0.05)
        return found


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """Run a receiver in which calls came, one callback was refused, and one sink will have none of it."""
    standin = SlackStandin(rate=None)
    async with listening() as crm, _slack(standin) as slack_url:
        crm.answer = writes(_NO)
        registry = discover()
        settings = _settings(folder, crm.url(), slack_url)
        config = build(settings, {}, registry)
        async with serving(config, registry) as (run, addresses):
            made = Site(
                run=run,
                addresses=addresses,
                slack=standin.messages,
                crm=crm,
                admin=addresses.admin or "",
                settings=settings,
            )
            await _fill(made, folder)
            yield made


def _settings(folder: Path, crm: str, slack: str) -> dict[str, Any]:
    harbour = {
        "provider": "generic",
        "token": TOKEN,
        "job_id": "id",
        "call": {"external_id": "call"},
        "duration": "seconds",
        "segments": "turns",
        "segment": {
            "text": "said",
            "start": "from",
            "end": "to",
            "speaker": "who",
            "sentiment": "mood",
            "words": "words",
        },
        "word": {"text": "w", "start": "a", "end": "b"},
        "summary": "summary",
        "sentiment": "mood",
        "topics": "topics",
        "roles": {"0": "agent", "1": "customer"},
    }
    return {
        "store": f"sqlite:{folder / 'store.db'}",
        "admin_token": ADMIN,
        "admin_url": "http://127.0.0.1:8081",
        "grace": 1,
        "listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "sources": {
            "callcov": {
                "provider": "callcov",
                "secrets": [SECRET],
                "signature": {"header": "X-Signature"},
                "roles": {"A": "agent", "B": "customer"},
            },
            "harbour": harbour,
        },
        "sinks": {
            "archive": {"kind": "jsonl", "path": str(folder / "events.jsonl")},
            "team": {"kind": "slack", "url": slack, "allow_private": True, "rate": 50, "events": ["transcript.*"]},
            "crm": {"kind": "webhook", "url": crm, "allow_private": True, "events": ["transcript.*"]},
        },
    }


async def _fill(made: Site, folder: Path) -> None:
    await _with_recording(made, folder / "refund.wav", "callcov", REFUND)
    await _with_recording(made, folder / "harbour.wav", "harbour", "harbour-7731")
    await _yesterday(made)
    hostile = load_case(_CALLCOV / "hostile-text").body
    unreadable = load_case(_CALLCOV / "unreadable-garbage").body
    for body in ((_HERE / "refund.json").read_bytes(), hostile, unreadable):
        assert (await made.post(body)).status_code == 200
    assert (await made.post(b'{"id":"x"}', "another-secret")).status_code == 401
    async with httpx.AsyncClient() as client:
        url = f"{made.addresses.public}/hooks/harbour/{TOKEN}"
        assert (await client.post(url, content=(_HERE / "harbour.json").read_bytes())).status_code == 200
    await made.until("deliveries", 4, state="dead")
    await made.until("quarantine", 1)
    async with asyncio.timeout(PATIENCE):
        while len(made.slack) < 4 or not await _found(made):
            await asyncio.sleep(0.05)


async def _found(made: Site) -> bool:
    return len(await made.rows("search", q="refund")) > 0 and len(await made.rows("search", q="glasses")) > 0


async def _yesterday(made: Site) -> None:
    """Let a callback have come a day ago, in which the customer says *suitcase*."""
    body = (_HERE / "refund.json").read_bytes()
    body = body.replace(REFUND.encode(), b"yesterday-1").replace(b"Wonderful.", b"And my suitcase is purple.")
    store = made.run.runtime.store
    receipt = a_receipt(
        store,
        b"yesterday-1",
        source="callcov",
        provider="callcov",
        body=body,
        size=len(body),
        received_at=store.now_ms() - DAY_MS,
    )
    await store.keep([receipt])
    if made.run.worker:
        made.run.worker.wake()


async def _with_recording(made: Site, path: Path, source: str, job_id: str) -> None:
    """Let there be a job with a recording, whose result will come."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * (96 * 8000))
    store = made.run.runtime.store
    doc = JobDoc(name=path.name, path=str(path), size=path.stat().st_size, content_type="audio/wav")
    job = NewJob(
        id=store.ids.next(),
        source=source,
        provider=made.run.runtime.sources[source].name,
        operation=OPERATIONS[source],
        state=JobState.SUBMITTED,
        owner=store.start,
        doc=doc,
        job_id=job_id,
    )
    await Jobs(store).add(job)


@contextlib.asynccontextmanager
async def _slack(standin: SlackStandin) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(standin, port=0, lifespan="off", log_config=None))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{PATH}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def browsing(made: Site, **options: Any) -> AsyncIterator[tuple[BrowserContext, Page, list[str]]]:
    """Open Chromium, logged in; give its context, a page, and what its console said of errors."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        faults: list[str] = []
        page = await context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(made.addresses.login or "")
        try:
            yield context, page, faults
        finally:
            await browser.close()


def local(made: Site, url: str) -> str:
    """Return the address under which the page of a public link is reached here."""
    parts = urlsplit(url)
    return f"{made.admin}{parts.path}{'?' + parts.query if parts.query else ''}"
