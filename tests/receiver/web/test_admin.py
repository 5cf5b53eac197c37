"""The admin listener: nothing without the token, nothing for other names, everything else as the design says."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from kept import ROUTES, kept_in, normalized, notice, result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message

from receiver.config import ListenSettings, RootSettings
from receiver.contract.model import DeliveryState
from receiver.contract.proof import digest
from receiver.pipeline.indexing import Indexing
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.offload import Offload
from receiver.pipeline.operating.replay import Replay
from receiver.pipeline.operating.reprocess import Reprocess
from receiver.pipeline.outbox import Outbox
from receiver.store.answers import Said, put_answer
from receiver.store.ids import DELIVERY, RECEIPT, encode
from receiver.store.lists import Lists
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.records import pack_headers
from receiver.store.store import Store
from receiver.testing.server import free_port
from receiver.testing.store import DAY_MS, MIB, Clock, a_receipt, a_tried
from receiver.web import admin, reading
from receiver.web.admin import admin_app, probes
from receiver.web.api import Api
from receiver.web.pages.site import Site
from receiver.web.sessions import COOKIE, LINK_SECONDS, SESSION_SECONDS, Sessions
from receiver.web.shield import Hosts

TOKEN = "canary-admin-0123456789"
ROOT = RootSettings(admin_url="https://hookscribe.internal/calls", public_url="https://calls.example.com")
BEARER = {"authorization": f"Bearer {TOKEN}"}
SAME = {"sec-fetch-site": "same-origin"}
BASE = "http://127.0.0.1:8081"


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", clock) as opened:
        yield opened


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    """Give what checks the token."""
    return Sessions(digest(TOKEN.encode()), clock)


async def _boom(_: Request) -> Response:
    raise RuntimeError("canary")


def reprocessing(store: Store) -> Reprocess:
    """Return the verb, where no source is configured."""
    return Reprocess(store, Normalize(store, {}, Outbox((), store.ids), offload=Offload(1)), ROUTES)


@pytest.fixture
async def app(store: Store, clock: Clock, sessions: Sessions, tmp_path: Path) -> AsyncIterator[ASGIApp]:
    """Give the admin app, with a route of somebody else's that fails."""
    quarantine = Quarantine(tmp_path / "quarantine.db", clock)
    replay, reprocess, hosts = Replay(store, ROUTES), reprocessing(store), Hosts(ROOT)
    configured: dict[str, Any] = {"sources": {"acme": "acme"}, "sinks": {"archive": "jsonl", "team": "slack"}}
    door: dict[str, Any] = {"sessions": sessions, "hosts": hosts, "now": clock}
    yield admin_app(
        store=store,
        replay=replay,
        reprocess=reprocess,
        site=Site(store, quarantine, replay, reprocess, providers={}, **configured, **door),
        extra=[Route("/api/v1/quarantine", _boom)],
        **configured,
        **door,
    )
    await quarantine.close()


def client(app: ASGIApp, base: str = BASE, **headers: str) -> httpx.AsyncClient:
    """Return a client of an app, without a token unless one is given."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, headers=headers)


@pytest.fixture
async def api(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with the token."""
    async with client(app, **BEARER) as made:
        yield made


@pytest.fixture
async def stranger(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client without a token."""
    async with client(app) as made:
        yield made


def paths() -> list[tuple[str, str]]:
    """Return every path with a method of it; ids are made up."""
    made: Any = None
    endpoints = Api(Lists(made), made, made, sources={}, sinks={}, now=float).endpoints()
    found = [(one.method, re.sub(r"\{\w+\}", "rcp_0000000000000", one.path)) for one in endpoints]
    return [*found, ("GET", "/api/v1/quarantine"), ("GET", "/readyz"), ("GET", "/healthz"), ("POST", "/logout")]


@pytest.mark.parametrize(
    ("method", "path"), [*paths(), ("GET", "/nonsense"), ("PUT", "/"), ("GET", "/api/v1/nonsense")]
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer "},
        {"cookie": f"{COOKIE}=99999999999.x"},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"cookie": 'a="'},
    ],
)
async def test_nothing_without_the_token(
    stranger: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    """Every path answers the same, those that are none as well."""
    answer = await stranger.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["detail"] == "a token is needed"


@pytest.mark.parametrize(("method", "path"), paths())
async def test_everything_answers_with_the_token(api: httpx.AsyncClient, method: str, path: str) -> None:
    """With it, each path is there, and errors are problem documents."""
    answer = await api.request(method, path)
    assert answer.status_code in (200, 303, 400, 404, 500)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8081", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8081", 200),
        ("hookscribe.internal", 200),
        ("calls.example.com", 421),
        ("rebound.example.com:8081", 421),
        ("127.0.0.1.example.com", 421),
        ("localhost.example.com", 421),
        ("192.168.0.7:8081", 421),
        ("example.com@127.0.0.1", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_other_names_get_nothing(api: httpx.AsyncClient, host: str, status: int) -> None:
    """A page of another name that resolves to us (DNS rebinding), or a tunnel to us, ends here."""
    answer = await api.get("/api/v1/receipts", headers={"host": host})
    assert answer.status_code == (200 if host == "example.com@127.0.0.1" else status)


async def test_names_of_other_listeners() -> None:
    """On all addresses any address is a name; under a path of the public port, the public name is."""
    everywhere = Hosts(RootSettings(listen=ListenSettings(admin="0.0.0.0:8081")))
    assert everywhere.knows("192.168.0.7:8081")
    assert not everywhere.knows("calls.example.com")
    one_port = Hosts(RootSettings(public_url="https://calls.example.com", listen=ListenSettings(admin="/admin")))
    assert one_port.knows("calls.example.com")
    named = Hosts(RootSettings(listen=ListenSettings(admin="box.lan:8081")))
    assert named.knows("BOX.lan")
    assert not named.secure("box.lan")


async def test_exactly_one_host(app: ASGIApp) -> None:
    """None, or two, is nobody's request."""
    for headers in ([], [(b"host", b"localhost"), (b"host", b"localhost")]):
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/login", "headers": headers, "query_string": b""}
        await app(scope, _no_body, send)
        assert sent[0]["status"] == 421


async def _no_body() -> Message:
    return {"type": "http.request"}


async def test_other_protocols_are_left_alone(app: ASGIApp) -> None:
    """Only HTTP is answered."""
    await app({"type": "lifespan"}, _no_body, lambda _: _fails())


async def _fails() -> None:
    raise AssertionError("answered")


async def test_lists_are_pages(api: httpx.AsyncClient, store: Store) -> None:
    """`items` and `next`, to be followed to the end."""
    await normalized(store, [result(str(number), "c") for number in range(3)])
    for name in ("receipts", "transcripts", "events", "deliveries"):
        answer = (await api.get(f"/api/v1/{name}", params={"limit": 2})).json()
        assert set(answer) == {"items", "next"}
        rest = (await api.get(f"/api/v1/{name}", params={"limit": 1000, "cursor": answer["next"]})).json()
        assert rest["next"] is None
        one = (await api.get(f"/api/v1/{name}/{rest['items'][-1]['id']}")).json()
        assert one["id"] == rest["items"][-1]["id"]
    call = (await api.get("/api/v1/calls")).json()["items"][0]
    assert len((await api.get(f"/api/v1/calls/{call['id']}")).json()["transcripts"]) == 3
    assert (
        len((await api.get("/api/v1/transcripts", params={"call": call["id"], "status": "completed"})).json()["items"])
        == 3
    )


async def test_transcripts_by_version(api: httpx.AsyncClient, store: Store) -> None:
    """The newest, one of them, and where they come from."""
    await normalized(store, [result("1"), result("1", text="later")])
    name = (await api.get("/api/v1/transcripts")).json()["items"][0]["id"]
    path = f"/api/v1/transcripts/{name}"
    assert (await api.get(path)).json()["text"] == "later"
    assert (await api.get(path, params={"version": 1})).json()["text"] == "hello"
    assert (await api.get(path, params={"version": 3})).status_code == 404
    assert (await api.get(path, params={"version": "x"})).status_code == 400
    assert "known are version" in (await api.get(path, params={"q": "x"})).json()["detail"]
    assert len((await api.get(f"{path}/versions")).json()["items"]) == 2
    assert (await api.get(f"{path}/answers")).json() == {"items": [], "next": None}
    await put_answer(store, path.rpartition("/")[2], 2, "acme", Said("Who?", "Ada."))
    (answer,) = (await api.get(f"{path}/answers")).json()["items"]
    assert (answer["question"], answer["answer"], answer["version"]) == ("Who?", "Ada.", 2)


async def test_unknown_parameters_are_named(api: httpx.AsyncClient) -> None:
    """400, with those that there are; also for parameters that other lists have."""
    for query in ("word=q", "role=agent", "limit=0", "cursor=x", "source=a&source=b"):
        answer = await api.get(f"/api/v1/transcripts?{query}")
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:hookscribe:problem:usage-error"
    assert "known are source, provider" in (await api.get("/api/v1/transcripts?word=q")).json()["detail"]


async def test_a_body_is_exact_and_inert(api: httpx.AsyncClient, store: Store) -> None:
    """Exact bytes, as a file to be saved, whatever they pretend to be; headers are shown masked."""
    body = b"<script>alert(1)</script>" + bytes(range(256))
    receipt = a_receipt(store, b"m", body=body, headers=pack_headers(((b"verification-token", b"canary"),)))
    await store.keep([receipt])
    path = f"/api/v1/receipts/{encode(RECEIPT, receipt.id)}"
    answer = await api.get(f"{path}/body")
    assert answer.content == body
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{encode(RECEIPT, receipt.id)}.bin"'
    assert "canary" not in (await api.get(path)).text


async def test_replay_and_discard_by_filter(api: httpx.AsyncClient, store: Store) -> None:
    """Counted on a dry run, done otherwise."""
    await normalized(store, [notice("a"), notice("b")])
    due = await store.due("archive", 9, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(one.id, DeliveryState.DEAD) for one in due])
    order = {"sink": "archive", "state": "dead", "type": "acme.*"}
    replayed = await api.post("/api/v1/deliveries/replay", json={**order, "dry_run": True})
    assert replayed.json() == {"matched": 2, "changed": 0}
    assert (await api.post("/api/v1/deliveries/replay", json=order)).json() == {"matched": 2, "changed": 2}
    discard = {"state": "pending", "type": "acme.a"}
    assert (await api.post("/api/v1/deliveries/discard", json=discard)).json() == {"matched": 1, "changed": 1}


async def test_a_backlog_is_moved(api: httpx.AsyncClient, store: Store) -> None:
    """From a sink that need not be there to one that is; the rest of the order is a filter."""
    gone = [ROUTES[0].__class__(sink="gone", events=("*",), sources=("*",))]
    await normalized(store, [notice("a"), notice("b")], gone)
    move = {"from": "gone", "to": "archive", "type": "acme.a"}
    counts = {"matched": 1, "changed": 0, "doubled": 0, "stay": 0}
    assert (await api.post("/api/v1/deliveries/move", json={**move, "dry_run": True})).json() == counts
    assert (await api.post("/api/v1/deliveries/move", json=move)).json() == {**counts, "changed": 1}
    refused = await api.post("/api/v1/deliveries/move", json={"from": "gone"})
    assert (refused.status_code, "any of from, to, dead" in refused.json()["detail"]) == (400, True)
    assert (await api.post("/api/v1/deliveries/move", json={**move, "to": "none"})).status_code == 404


async def test_replay_and_discard_by_id(api: httpx.AsyncClient, store: Store) -> None:
    """One by its path, several by their ids, and an event to where it went."""
    await normalized(store, [notice("a")])
    due = (await store.due("archive", 9, in_order=False, max_bytes=MIB))[0]
    path = f"/api/v1/deliveries/{encode(DELIVERY, due.id)}"
    refused = await api.post(f"{path}/discard")
    assert (refused.status_code, "is in_flight" in refused.json()["detail"]) == (400, True)
    await store.tried([a_tried(due.id, DeliveryState.DEAD)])
    assert (await api.post(f"{path}/replay")).json() == {"matched": 1, "changed": 1}
    new = (await api.get("/api/v1/deliveries")).json()["items"][0]
    assert (await api.post("/api/v1/deliveries/discard", json={"ids": [new["id"]]})).json()["changed"] == 1
    event = (await api.get("/api/v1/events")).json()["items"][0]["id"]
    assert (await api.post(f"/api/v1/events/{event}/replay")).json() == {"matched": 1, "changed": 1}
    assert (await api.post(f"/api/v1/events/{event}/replay", json={"sink": "team"})).json()["changed"] == 1
    assert (await api.post("/api/v1/deliveries/replay", json={"ids": [encode(DELIVERY, due.id)]})).json()[
        "changed"
    ] == 0
    assert (await api.post(f"{path}/discard")).status_code == 400
    other = encode(DELIVERY, 1)
    assert (await api.post(f"/api/v1/deliveries/{other}/replay")).status_code == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "expected a JSON object with any of state, sink, source, event, type, since, until, ids, dry_run"),
        (b"[]", "expected a JSON object"),
        (b"\xff", "expected a JSON object"),
        (b'{"sinks":"a"}', "unknown field"),
        (b'{"dry_run":1}', "expected a JSON object"),
        (b'{"state":"x"}', "state: expected one of dead"),
        (b'{"ids":["dlv_0"],"sink":"archive"}', "ids: they stand alone"),
        (b'{"ids":["dlv_0"],"dry_run":true}', "ids: they stand alone"),
        (b'{"ids":"dlv_0"}', "expected a JSON object"),
    ],
)
async def test_wrong_orders_are_refused(api: httpx.AsyncClient, body: bytes, told: str) -> None:
    """400, with what was expected."""
    for verb in ("replay", "discard"):
        answer = await api.post(f"/api/v1/deliveries/{verb}", content=body)
        assert (answer.status_code, told in answer.json()["detail"]) == (400, True), answer.text


async def test_orders_are_small_and_soon(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body is 413, also in chunks; a slow one 408."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    for content in (b" " * (64 * 1024 + 1), chunks()):
        assert (await api.post("/api/v1/deliveries/replay", content=content)).status_code == 413

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    monkeypatch.setattr(reading, "SECONDS", 0.05)
    answer = await api.post("/api/v1/deliveries/replay", content=slow())
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


async def test_sinks_and_sources(api: httpx.AsyncClient) -> None:
    """All, one, and an operator's orders."""
    assert [one["name"] for one in (await api.get("/api/v1/sinks")).json()["items"]] == ["archive", "team"]
    assert [one["name"] for one in (await api.get("/api/v1/sources?limit=1")).json()["items"]] == ["acme"]
    assert (await api.get("/api/v1/sources/acme")).json()["provider"] == "acme"
    assert (await api.post("/api/v1/sinks/team/pause")).json()["state"] == "paused"
    assert (await api.get("/api/v1/sinks/team")).json()["state"] == "paused"
    assert (await api.post("/api/v1/sinks/team/resume")).json()["state"] == "running"
    for path in ("/api/v1/sinks/none", "/api/v1/sources/none"):
        assert (await api.get(path)).status_code == 404
    assert (await api.post("/api/v1/sinks/none/pause")).status_code == 404
    assert (await api.get("/api/v1/sinks?cursor=x")).status_code == 400


async def test_ready_or_not(
    app: ASGIApp, api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready is a store that answers and has this release's schema."""
    assert (await api.get("/readyz")).json() == {"status": "ready"}

    async def old() -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(store.engine, "current", old)
        answer = await api.get("/readyz")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    await store.engine.close()
    assert (await api.get("/readyz")).status_code == 503
    assert (await api.get("/healthz")).json() == {"status": "ok"}
    assert (await api.get("/api/v1/receipts")).status_code == 503
    async with client(Starlette(routes=probes(store))) as bare:
        assert (await bare.get("/healthz")).status_code == 200


async def test_a_worker_that_takes_no_work_is_not_ready(store: Store) -> None:
    """The answer says why."""
    why: list[str | None] = ["the worker does not run", None]
    async with client(Starlette(routes=probes(store, lambda: why[0]))) as bare:
        answer = await bare.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "the worker does not run")
        why.pop(0)
        assert (await bare.get("/readyz")).status_code == 200


async def test_a_store_that_hangs_is_not_ready(
    api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe has its answer in time."""

    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(admin, "_READY_SECONDS", 0.05)
    monkeypatch.setattr(store.engine, "rows", hang)
    assert (await api.get("/readyz")).status_code == 503


async def test_failures_say_nothing(api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody thought of is a 500 without its words."""
    answer = await api.get("/api/v1/quarantine")
    assert (answer.status_code, answer.json()["detail"]) == (500, "the log says more")
    assert "canary" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_wrong_methods_and_paths_are_problems(api: httpx.AsyncClient) -> None:
    """404 and 405 have documents too."""
    for method, path, status in (("GET", "/nonsense", 404), ("POST", "/api/v1/receipts", 405), ("GET", "/logout", 405)):
        answer = await api.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def log_in(person: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """Bring the token to the door."""
    return await person.post("/login", data={"token": TOKEN}, headers=headers)


async def test_the_door(stranger: httpx.AsyncClient) -> None:
    """The page sends to the door, the token opens it, the cookie is no script's and no other site's."""
    assert (await stranger.get("/")).headers["location"] == "/login"
    assert (await stranger.get("/login")).status_code == 200
    wrong = await stranger.post("/login", data={"token": "wrong"})
    assert (wrong.status_code, "no token that works" in wrong.text) == (401, True)
    opened = await log_in(stranger)
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert (await stranger.get("/")).status_code == 200
    assert (await stranger.get("/api/v1/receipts")).status_code == 200
    assert (await stranger.post("/logout", headers=SAME)).headers["location"] == "/login"
    assert (await stranger.get("/")).status_code == 303


async def test_over_tls_the_cookie_stays_there(app: ASGIApp) -> None:
    """Where `admin_url` is https, and behind a proxy that says nothing, the cookie is `Secure` under that name."""
    async with client(app, "http://hookscribe.internal") as person:
        assert "Secure" in (await log_in(person)).headers["set-cookie"]
    async with client(app, "https://localhost") as person:
        assert "Secure" in (await log_in(person)).headers["set-cookie"]
    async with client(app) as person:
        assert "Secure" not in (await log_in(person)).headers["set-cookie"]


async def test_sessions_end(stranger: httpx.AsyncClient, clock: Clock, sessions: Sessions) -> None:
    """After half a day, and with another token."""
    await log_in(stranger)
    value = sessions.open()
    clock.ms += DAY_MS // 2 - 1000
    assert (await stranger.get("/api/v1/receipts")).status_code == 200
    clock.ms += 1000
    assert not sessions.is_open(value)
    clock.ms -= DAY_MS
    assert sessions.is_open(value)
    assert not Sessions(digest(b"another"), clock).is_open(value)
    assert not sessions.is_link_code(value)
    for garbage in ("", ".", "9" * 12, value + "x", value.replace(".", "0."), "\ud800.x", "²." + value):
        assert not sessions.is_open(garbage)


async def test_a_link_opens_the_door_for_a_while(stranger: httpx.AsyncClient, clock: Clock, sessions: Sessions) -> None:
    """What `serve` prints; it is no session itself, and old ones show the form."""
    code = sessions.link_code()
    assert not sessions.is_open(code)
    clock.ms += LINK_SECONDS * 1000
    assert (await stranger.get("/login", params={"code": code})).status_code == 200
    clock.ms -= 1000
    assert (await stranger.get("/login", params={"code": code})).status_code == 303
    assert (await stranger.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        (SAME, True),
        ({"origin": BASE}, True),
        ({}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site", "origin": BASE}, False),
        ({"origin": "http://evil.example.com"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "null"}, False),
    ],
)
async def test_a_session_gives_orders_from_our_pages_only(
    stranger: httpx.AsyncClient, headers: dict[str, str], allowed: bool
) -> None:
    """A browser's cookie alone changes nothing; programs bring the token."""
    await log_in(stranger)
    for path in ("/api/v1/sinks/team/pause", "/api/v1/deliveries/0/replay", "/logout"):
        answer = await stranger.post(path, headers=headers)
        assert (answer.status_code != 403) == allowed
    assert (await stranger.post("/api/v1/sinks/team/pause", headers={**BEARER, "origin": "null"})).status_code == 200


async def test_nobody_else_logs_a_browser_in(stranger: httpx.AsyncClient) -> None:
    """A form of another site does not put a session of its own into the browser."""
    assert (await log_in(stranger, **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await log_in(stranger, origin="null")).status_code == 403
    assert (await stranger.post("/login", content=b"x" * (64 * 1024 + 1))).status_code == 413
    assert (await stranger.post("/login", content=b"&".join([b"token=1"] * 8000))).status_code == 401
    assert (await stranger.post("/login", content=b"\xff\xfe")).status_code == 401


async def test_the_page_is_inert(api: httpx.AsyncClient, store: Store) -> None:
    """Sources, sinks and transcripts in tables; whatever they are called, it is text; no script but our file."""
    await normalized(store, [result('<script>alert("1")</script>', "c"), result("plain")], source="acme")
    page = await api.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"<script[^>]*>", page.text) == ['<script src="/static/page.js" defer>']
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in page.text
    assert all(f">{title}</h2>" in page.text for title in ("Sources", "Sinks", "Newest transcripts"))
    (link, *_) = re.findall(r'href="(/transcripts/trn_[0-9a-z]{13})"', page.text)
    assert "plain" in (await api.get(link)).text
    for name, media_type in (("page.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        assert (await api.get(f"/static/{name}")).headers["content-type"].startswith(media_type)


async def test_an_empty_page(api: httpx.AsyncClient) -> None:
    """Nothing yet is said, not shown as an empty table."""
    assert "None yet." in (await api.get("/")).text


@pytest.mark.parametrize("how", ["mounted", "root_path"])
async def test_under_a_path(app: ASGIApp, how: str) -> None:
    """One port for all: links, forms, cookie and sessions stay below the path."""

    async def under(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/admin"}, receive, send)

    whole: ASGIApp = Starlette(routes=[Mount("/admin", app)]) if how == "mounted" else under
    async with client(whole) as person:
        assert (await person.get("/admin/")).headers["location"] == "/admin/login"
        door = await person.get("/admin/login")
        assert 'action="/admin/login"' in door.text
        assert 'href="/admin/static/page.css"' in door.text
        opened = await person.post("/admin/login", data={"token": TOKEN})
        assert opened.headers["location"] == "/admin/"
        assert "Path=/admin" in opened.headers["set-cookie"].split("; ")
        page = await person.get("/admin/")
        assert (page.status_code, 'action="/admin/logout"' in page.text) == (200, True)
        assert (await person.get("/admin/api/v1/sinks")).status_code == 200
        assert (await person.get("/admin/nonsense")).status_code == 404
        assert (await person.post("/admin/logout", headers=SAME)).headers["location"] == "/admin/login"


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an app as `serve` does; give its address."""
    port = free_port()
    config = uvicorn.Config(app, port=port, http="httptools", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def test_over_a_socket(app: ASGIApp, store: Store) -> None:
    """A real server: the API, a 404, an order, a failure, all on one connection."""
    await normalized(store, [result("1")])
    async with serving(app) as base, httpx.AsyncClient(base_url=base, headers=BEARER) as over:
        found = (await over.get("/api/v1/receipts")).json()["items"]
        body = await over.get(f"/api/v1/receipts/{found[0]['id']}/body")
        assert body.content == b"{}"
        assert (await over.get("/api/v1/receipts/rcp_0000000000000")).status_code == 404
        assert (await over.post("/api/v1/sinks/team/pause")).json()["state"] == "paused"
        assert (await over.get("/api/v1/quarantine")).status_code == 500
        assert (await over.head("/api/v1/receipts")).status_code == 200
        assert (await over.get("/", headers={"host": "evil.example.com"})).status_code == 421


async def test_a_sender_that_leaves_is_no_failure(app: ASGIApp) -> None:
    """Half an order and a closed connection leave no traceback."""
    sent: list[Message] = []
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/deliveries/replay", "headers": headers}
    await app({**scope, "query_string": b"", "http_version": "1.1", "scheme": "http"}, receive, send)
    assert sent[0]["status"] == 400


async def test_what_was_said_is_found(api: httpx.AsyncClient, store: Store) -> None:
    """Segments by their words, transcripts too, exports beside them; nonsense is a 400 that says why."""
    await normalized(store, [result("job-1", "CA1")])
    await Indexing(store).step()
    (found,) = (await api.get("/api/v1/search?q=hel*&order=best")).json()["items"]
    assert (found["job_id"], found["snippet"], found["marks"]) == ("job-1", "hello", [[0, 5]])
    assert [one["job_id"] for one in (await api.get("/api/v1/transcripts?q=hello")).json()["items"]] == ["job-1"]
    assert (await api.get(f"/api/v1/transcripts/{found['transcript_id']}.txt")).text.endswith("\nhello\n")
    assert (await api.get(f"/api/v1/calls/{found['call_id']}.vcon")).json()["subject"] == "CA1"
    for query in ('q="', "q=*", "q=%00", "q=-a", "", "q=a&q=b", "q=a&cursor=x", "q=a&limit=9999"):
        answer = await api.get(f"/api/v1/search?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
