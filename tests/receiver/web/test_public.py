"""The public listener over sockets: constant answers, whichever way a request comes, and nothing that hangs."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kept import kept_in
from pipeline_fakes import PATIENCE, Acme, until

from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Refused
from receiver.contract.provider import Reply
from receiver.contract.settings import SourceSettings
from receiver.pipeline.ingest import Ingest
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import Kept, NewReceipt
from receiver.store.store import Store
from receiver.testing.store import Clock
from receiver.web import protocol as protocol_module
from receiver.web.body import Bodies
from receiver.web.direct import direct_protocol
from receiver.web.public import Hooks, public_app
from receiver.web.serve import _listening

LIMIT = 20_000
WAYS = ("whole", "split", "chunked", "large")
"""In one piece; head and body apart; without a length; and, where a test allows it, too large for the fast lane."""


class Shakes(Acme):
    """Answers a handshake, or fails at one."""

    def handshake(self, request: InboundRequest) -> Reply | None:
        word = request.header("x-handshake")
        if word == "raise":
            raise RuntimeError("words of a call")
        return Reply(headers=((b"x-handshake", word.encode()),)) if word else None


class Site:
    """A public listener on a store."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.acme = Shakes("acme", SourceSettings(provider="acme", max_body=LIMIT))
        self.failing: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.unknown = 0
        self.refused = 0
        self.ingest = Ingest(
            {"acme": self.acme}, ids=store.ids, keep=self._keep, refusals=self, now=store._now, kept=lambda: None
        )
        self.bodies = Bodies(memory=1 << 20, disk=1 << 20, large=10_000, seconds=PATIENCE, folder=folder)
        self.hooks = Hooks(self.ingest, self.bodies, self._unknown)
        self.url = ""

    def _unknown(self) -> None:
        self.unknown += 1

    def note(self, request: InboundRequest, refused: Refused) -> None:
        """Count a refusal."""
        self.refused += 1

    async def _keep(self, batch: Sequence[NewReceipt]) -> list[Kept]:
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise self.failing.pop()
        return await self.store.keep(batch)

    @property
    def place(self) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Give a listener that runs; everything that bodies were lent must be back at the end."""
    async with kept_in(tmp_path / "store.db", Clock()) as store:
        made = Site(store, tmp_path)
        app, protocol = public_app(made.hooks), direct_protocol(made.hooks)
        async with _listening(app, "127.0.0.1:0", 1, protocol) as made.url:
            yield made
        assert (made.bodies.memory, made.bodies.disk) == (1 << 20, 1 << 20)


class Answer:
    """One answer, taken apart."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines if line)
        self.body = body


async def read(reader: asyncio.StreamReader) -> Answer:
    """Read one answer."""
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        answer = Answer(head[:-4], b"")
        answer.body = await reader.readexactly(int(answer.headers.get("content-length", "0")))
        return answer


def written(path: str, body: bytes, way: str, method: str = "POST", *headers: str) -> list[bytes]:
    """Return the pieces in which a request is sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if way == "chunked":
        head = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
        chunks = [body[start : start + 7000] for start in range(0, len(body), 7000)]
        return [head, *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\n\r\n"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
    return [head, body] if way == "split" else [head + body]


async def send(
    site: Site, path: str, body: bytes = b"{}", way: str = "whole", method: str = "POST", *headers: str
) -> Answer:
    """Send a request and return its answer."""
    async with connected(site) as (reader, writer):
        for piece in written(path, body, way, method, *headers):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        return await read(reader)


@contextlib.asynccontextmanager
async def connected(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a connection."""
    reader, writer = await asyncio.open_connection(*site.place)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def bodies(site: Site) -> list[bytes]:
    """Return what was kept."""
    with contextlib.closing(sqlite3.connect(site.store.engine.path)) as connection:  # type: ignore[attr-defined]
        return [row[0] for row in connection.execute("SELECT body FROM receipts ORDER BY id")]


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_proven_is_accepted_and_its_copy_a_duplicate(site: Site, way: str) -> None:
    """200 with the receipt's id, twice the same; the bytes are on disk when the answer comes."""
    body = b"x" * (15_000 if way in ("large", "chunked") else 100)
    first = await send(site, "/hooks/acme/right", body, way)
    assert bodies(site) == [body]
    again = await send(site, "/hooks/acme/right", body, way)
    (waiting,) = await site.store.waiting("received", 5)  # type: ignore[arg-type]
    public = encode(RECEIPT, waiting).encode()
    assert (first.status, first.body) == (200, b'{"status":"accepted","id":"%b"}' % public)
    assert (again.status, again.body) == (200, b'{"status":"duplicate","id":"%b"}' % public)
    assert first.headers["content-type"] == "application/json"
    assert "server" not in first.headers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/hooks/acme/wrong", 404, b'{"error":"not found"}'),
        ("/hooks/acme", 401, b'{"error":"not proven"}'),
        ("/hooks/acme/", 401, b'{"error":"not proven"}'),
        ("/hooks/acme/raise", 401, b'{"error":"not proven"}'),
        ("/hooks/other/right", 404, b'{"error":"not found"}'),
        ("/hooks/", 404, b'{"error":"not found"}'),
        ("/hooks/acme/right/more", 404, b'{"error":"not found"}'),
        ("/hooks//right", 404, b'{"error":"not found"}'),
    ],
)
async def test_what_is_not_proven_learns_nothing(site: Site, way: str, path: str, status: int, body: bytes) -> None:
    """One constant body for each status, whether source or token is wrong, and nothing is kept."""
    answer = await send(site, path, b"x" * (15_000 if way == "large" else 100), way)
    assert (answer.status, answer.body, bodies(site)) == (status, body, [])
    assert set(answer.headers) == {"date", "content-type", "content-length"}
    known = path.startswith("/hooks/acme") and "more" not in path
    assert (site.refused, site.unknown) == ((1, 0) if known else (0, 1))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_only_post_is_for_hooks(site: Site, method: str) -> None:
    """405 that names what is allowed."""
    answer = await send(site, "/hooks/acme/right", b"", "whole", method)
    assert (answer.status, answer.body) == (405, b'{"error":"POST only"}')
    assert answer.headers["allow"] == "post"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
async def test_the_limit_is_exact(site: Site, way: str, size: int, status: int) -> None:
    """A body of exactly the limit is taken; one byte more is 413 before any proof, and the connection ends."""
    answer = await send(site, "/hooks/acme/right", b"x" * size, way)
    assert answer.status == status
    assert len(bodies(site)) == (status == 200)
    if status == 413:
        assert (answer.body, answer.headers["connection"]) == (b'{"error":"too large"}', "close")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [StoreUnavailable("disk full"), RuntimeError("a bug")])
async def test_what_cannot_be_kept_is_asked_to_come_again(site: Site, way: str, error: Exception) -> None:
    """503 with `Retry-After` for everybody whose commit failed, and nothing half kept; the next try is taken."""
    site.failing = [error]
    body = b"x" * (15_000 if way == "large" else 100)
    answer = await send(site, "/hooks/acme/right", body, way)
    assert (answer.status, answer.body) == (503, b'{"error":"cannot be kept now"}')
    assert (answer.headers["retry-after"], bodies(site)) == ("5", [])
    assert (await send(site, "/hooks/acme/right", body, way)).status == 200


async def test_a_body_that_does_not_come_is_too_slow(site: Site) -> None:
    """408, and the connection ends."""
    site.bodies.seconds = 0.05
    async with connected(site) as (reader, writer):
        writer.write(written("/hooks/acme/right", b"x" * 100, "split")[0])
        answer = await read(reader)
        assert (answer.status, answer.body) == (408, b'{"error":"too slow"}')
        assert answer.headers["connection"] == "close"
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


async def test_bodies_without_room_are_turned_away(site: Site) -> None:
    """With neither memory nor disk to spare 503, and afterwards everything is as before."""
    site.bodies.memory, site.bodies.disk = 0, 5000
    answer = await send(site, "/hooks/acme/right", b"x" * 15_000, "chunked")
    assert (answer.status, site.bodies.memory, site.bodies.disk) == (503, 0, 5000)
    site.bodies.memory, site.bodies.disk = 1 << 20, 1 << 20


@pytest.mark.parametrize("way", WAYS)
async def test_a_handshake_is_answered_as_the_provider_says(site: Site, way: str) -> None:
    """Its reply with its headers, nothing kept; a handshake that raises is an ordinary callback."""
    body = b"x" * (15_000 if way == "large" else 10)
    answer = await send(site, "/hooks/acme", body, way, "POST", "X-Handshake: token")
    assert (answer.status, answer.body, answer.headers["x-handshake"], bodies(site)) == (200, b"", "token", [])
    answer = await send(site, "/hooks/acme/right", body, way, "POST", "X-Handshake: raise")
    assert (answer.status, bodies(site)) == (200, [body])


@pytest.mark.parametrize("way", WAYS)
async def test_a_provider_that_breaks_after_proof_loses_nothing(
    site: Site, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin's fault is ours to repair: the sender is asked to come again, with no word about it."""

    def breaks() -> bool:
        raise RuntimeError("words of a call")

    monkeypatch.setattr(site.acme, "can_confirm", breaks)
    body = b"x" * (15_000 if way == "large" else 10)
    answer = await send(site, "/hooks/acme/right", body, way)
    assert (answer.status, answer.body) == (503, b'{"error":"cannot be kept now"}')
    monkeypatch.undo()
    assert (await send(site, "/hooks/acme/right", body, way)).status == 200


@pytest.mark.parametrize("way", ["split", "chunked"])
async def test_half_a_callback_is_none(site: Site, way: str) -> None:
    """A sender that goes away in the middle, or right after the head, leaves nothing behind, whatever proves it."""
    for pieces in (1, 2):
        body = b"x" * 9000
        async with connected(site) as (_, writer):
            for piece in written("/hooks/acme/right", body, way)[:pieces]:
                writer.write(piece if pieces == 1 else piece[:5000])
            await writer.drain()
            writer.transport.abort()
    await asyncio.sleep(0.05)
    assert bodies(site) == []


async def test_a_sender_that_is_gone_before_its_body_is_read() -> None:
    """The first message says so: no empty callback is taken for it."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def answer(message: Any) -> None:
        sent.append(message)

    taken: list[InboundRequest] = []

    class Takes:
        sources = {"acme": Acme()}  # noqa: RUF012

        async def receive(self, request: InboundRequest) -> Kept:
            taken.append(request)
            return Kept(1, False)

    bounds = Bodies(memory=1, disk=1, large=1, seconds=1, folder=Path())
    hooks = Hooks(Takes(), bounds, lambda: None)  # type: ignore[arg-type]
    await hooks({"type": "http", "method": "POST", "path": "/hooks/acme/right", "headers": []}, receive, answer)
    assert (sent, taken) == ([], [])


async def test_a_sender_that_is_gone_before_the_commit_is_kept_all_the_same(site: Site) -> None:
    """Its bytes were proven; nobody is there to be told."""
    site.gate = asyncio.Event()
    async with connected(site) as (_, writer):
        writer.write(written("/hooks/acme/right", b"{}", "whole")[0])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
    await asyncio.sleep(0.02)
    site.gate.set()
    await until(lambda: bodies(site) == [b"{}"])


async def test_a_connection_is_used_again_and_again(site: Site) -> None:
    """Requests of every kind follow each other on one connection, each with its own answer, in order."""
    async with connected(site) as (reader, writer):
        for number, way in enumerate([*WAYS, *WAYS, "whole", "whole"]):
            for piece in written("/hooks/acme/right", b"%d" % number, way):
                writer.write(piece)
            assert (await read(reader)).status == 200
        writer.write(written("/hooks/acme/wrong", b"1", "whole")[0])
        assert (await read(reader)).status == 404
    assert len(bodies(site)) == 10


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    """Several at once in one piece: kept all, told in the order in which they came."""
    paths = ["/hooks/acme/right", "/hooks/acme/wrong", "/hooks/acme/right", "/healthz", "/hooks/acme"]
    async with connected(site) as (reader, writer):
        pieces = [written(path, b"%d" % number, "whole")[0] for number, path in enumerate(paths)]
        writer.write(b"".join(pieces))
        assert [(await read(reader)).status for _ in paths] == [200, 404, 200, 405, 401]
    assert bodies(site) == [b"0", b"2"]


async def test_a_request_that_is_refused_for_its_form_hurts_nobody(site: Site) -> None:
    """What is no HTTP is answered 400; the listener goes on."""
    async with connected(site) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
        assert (await read(reader)).status == 400
    assert (await send(site, "/hooks/acme/right")).status == 200


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_an_offer_to_upgrade_is_passed_over(site: Site, upgrade: str) -> None:
    """Java's client offers h2c with a body: it is an ordinary callback."""
    headers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAoAAA")
    answer = await send(site, "/hooks/acme/right", b"with a body", "whole", "POST", *headers)
    assert (answer.status, bodies(site)) == (200, [b"with a body"])


async def test_connect_is_no_request_of_ours(site: Site) -> None:
    """A tunnel is not to be had."""
    async with connected(site) as (reader, writer):
        writer.write(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")
        assert (await read(reader)).status in (400, 404, 405)


async def test_who_asks_first_is_told_to_continue(site: Site) -> None:
    """`Expect: 100-continue` is answered before the body is sent."""
    async with connected(site) as (reader, writer):
        head, body = written("/hooks/acme/right", b"patient", "split", "POST", "Expect: 100-continue")
        writer.write(head)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(body)
        assert (await read(reader)).status == 200


async def test_the_last_request_of_a_connection_may_say_so(site: Site) -> None:
    """`Connection: close` is obeyed, whatever the answer."""
    async with connected(site) as (reader, writer):
        writer.write(written("/hooks/acme/right", b"{}", "whole", "POST", "Connection: close")[0])
        assert (await read(reader)).status == 200
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


async def test_too_many_requests_at_once_end_a_connection(site: Site) -> None:
    """Memory for what waits on one connection is bounded; other connections do not notice."""
    site.gate = asyncio.Event()
    one = written("/hooks/acme/right", b"{}", "whole")[0]
    async with connected(site) as (reader, writer):
        writer.write(one * (protocol_module.MOST_PIPELINED + 5))
        await writer.drain()
        await asyncio.sleep(0.05)
        site.gate.set()
        answers = await asyncio.wait_for(reader.read(), PATIENCE)
    assert b"HTTP/1.1 400" in answers
    assert (await send(site, "/hooks/acme/right")).status == 200


async def test_the_rest_of_the_listener(site: Site) -> None:
    """Health for platforms, nothing else, and no redirects."""
    assert (await send(site, "/healthz", b"", "whole", "GET")).body == b"ok\n"
    for path in ("/", "/healthz/", "/hooks", "/admin", "/metrics"):
        assert (await send(site, path, b"", "whole", "GET")).status == 404
