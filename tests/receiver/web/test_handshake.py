"""A provider's handshake on a running receiver: answered at once to who knows the address, and to nobody else."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from handlers.providers.ringcentral import RingCentral
from receiver.config import build
from receiver.contract.model import InboundRequest
from receiver.contract.provider import Provider, Reply
from receiver.registry import Registry, discover
from receiver.runtime import Running
from receiver.web.public import Hooks
from receiver.web.serve import serving

TOKEN, VERIFICATION = "right-token-0123456789", "right-verification-0123456789"
CHALLENGE = "5f0c7d3e-8a41-4b6e-9b1f-2a7c0d9e4f10"
FIXTURES = Path(__file__).parents[3] / "fixtures" / "ringcentral"


class Careless(RingCentral):
    """A plugin whose handshake answers with whatever the body holds, or fails."""

    name = "careless"

    def handshake(self, request: InboundRequest) -> Reply | None:
        """Echo the body into a header."""
        if request.body == b"raise":
            raise RuntimeError("no")
        return Reply(headers=((b"x-echo", request.body),)) if request.body.startswith(b"echo") else None


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[tuple[Running, str, int]]:
    """Run a receiver with a RingCentral source and a careless one; give it with the public listener's address."""
    providers: dict[str, type[Provider[Any]]] = {**discover().providers, "careless": Careless}
    registry = Registry(providers, discover().sinks)
    table = {
        "store": f"sqlite:{tmp_path / 'store.db'}",
        "listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "sources": {
            "rc": {"provider": "ringcentral", "token": TOKEN, "verification_token": VERIFICATION},
            "careless": {"provider": "careless", "token": TOKEN},
        },
        "sinks": {"archive": {"kind": "jsonl", "path": str(tmp_path / "events.jsonl")}},
    }
    async with serving(build(table, {}, registry), registry) as (running, addresses):
        assert addresses.public
        host, _, port = addresses.public.removeprefix("http://").rpartition(":")
        yield running, host, int(port)


class Peer:
    """Speaks bytes to a receiver."""

    def __init__(self, place: tuple[Running, str, int]) -> None:
        self.running, self._host, self._port = place

    async def ask(self, head: str, body: bytes = b"", *, apart: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Send one request, its body a moment later if it comes `apart`; return status, headers and all bytes."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n")
            if apart:
                await writer.drain()
                await asyncio.sleep(0.05)
            writer.write(body)
            raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            lines = raw.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
            rest = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 10)
            return int(lines[0].split()[1]), headers, raw + rest
        finally:
            writer.close()


@pytest.fixture
def peer(receiver: tuple[Running, str, int]) -> Peer:
    """Return who speaks to the receiver."""
    return Peer(receiver)


def path(token: str | None = TOKEN, source: str = "rc") -> str:
    """Return a request line."""
    return f"POST /hooks/{source}{'' if token is None else '/' + token} HTTP/1.1\nHost: x"


HEADS: dict[str, str] = {
    "as documented": f"{path()}\nValidation-Token: {CHALLENGE}\nContent-Length: 0",
    "lower case": f"{path()}\nvalidation-token: {CHALLENGE}\ncontent-length: 0",
    "upper case": f"{path()}\nVALIDATION-TOKEN: {CHALLENGE}\nContent-Length: 0\nVERIFICATION-TOKEN: {VERIFICATION}",
    "no length at all": f"{path()}\nValidation-Token: {CHALLENGE}",
    "with a query": f"{path().replace(' HTTP', '?auth=1 HTTP')}\nValidation-Token: {CHALLENGE}\nContent-Length: 0",
    "closing": f"{path()}\nValidation-Token: {CHALLENGE}\nContent-Length: 0\nConnection: close",
}


@pytest.mark.parametrize("how", HEADS)
async def test_a_handshake_is_answered(peer: Peer, how: str) -> None:
    """200, the very value, JSON as the type, 1024 bytes at most with headers, in less than 3000 ms; nothing is kept."""
    started = time.monotonic()
    status, headers, raw = await peer.ask(HEADS[how])
    assert time.monotonic() - started < 3
    assert (status, headers["validation-token"], headers["content-type"]) == (200, CHALLENGE, "application/json")
    assert len(raw) <= 1024
    assert await peer.running.runtime.store.engine.rows("list_receipts", {"limit": 10}) == []


async def test_a_handshake_of_chunks(peer: Peer) -> None:
    """A body that is announced in chunks and has none is empty, too."""
    head = f"{path()}\nValidation-Token: {CHALLENGE}\nTransfer-Encoding: chunked"
    for apart in (False, True):
        status, headers, _ = await peer.ask(head, b"0\r\n\r\n", apart=apart)
        assert (status, headers["validation-token"]) == (200, CHALLENGE)


async def test_the_longest_challenge_fits(peer: Peer) -> None:
    """With the longest value that is echoed, the answer has room left for what proxies add."""
    longest = "x" * 512
    _, headers, raw = await peer.ask(f"{path()}\nValidation-Token: {longest}\nContent-Length: 0")
    assert headers["validation-token"] == longest
    assert len(raw) < 768


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"{path('wrong-token-0123456789')}\nValidation-Token: {CHALLENGE}\nContent-Length: 0", 404),
        (f"{path(None)}\nValidation-Token: {CHALLENGE}\nContent-Length: 0", 401),
        (f"{path(source='nobody')}\nValidation-Token: {CHALLENGE}\nContent-Length: 0", 404),
        (f"{path()}\nValidation-Token: {CHALLENGE}\nVerification-Token: wrong-1234567890123\nContent-Length: 0", 404),
        (f"{path().replace('POST', 'GET')}\nValidation-Token: {CHALLENGE}", 405),
        (f"{path()}\nValidation-Token: one two\nContent-Length: 0", 401),
        (f"{path()}\nContent-Length: 0", 401),
    ],
)
async def test_nobody_else_hears_an_echo(peer: Peer, head: str, status: int) -> None:
    """Others get the constant answer of any request that is not proven."""
    got, headers, raw = await peer.ask(head)
    assert got == status
    assert "validation-token" not in headers
    assert CHALLENGE.encode() not in raw


async def test_a_line_break_is_no_part_of_a_challenge(peer: Peer) -> None:
    """A bare CR, a folded line or a NUL in the header never comes back."""
    for value in ("a\rx-injected: 1", "a\n x-injected: 1", "a\x00b"):
        reader, writer = await asyncio.open_connection(peer._host, peer._port)
        writer.write(path().replace("\n", "\r\n").encode() + b"\r\nValidation-Token: " + value.encode())
        writer.write(b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        raw = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert b"validation-token" not in raw.lower()
        assert b"x-injected" not in raw


@pytest.mark.parametrize("apart", [False, True])
async def test_a_notification_with_the_header_is_no_handshake(peer: Peer, *, apart: bool) -> None:
    """Small and whole, or in pieces: with a body `Validation-Token` is the subscription's token, and all is kept."""
    body = (FIXTURES / "ace-pbx" / "body").read_bytes()
    head = f"{path()}\nValidation-Token: {VERIFICATION}\nContent-Length: {len(body)}"
    status, headers, raw = await peer.ask(head, body, apart=apart)
    assert (status, "validation-token" in headers) == (200, False)
    assert b'"status":"accepted"' in raw


@pytest.mark.parametrize("apart", [False, True])
async def test_a_careless_plugin_breaks_no_answer(peer: Peer, *, apart: bool) -> None:
    """An answer that would end its header, or code that fails, is no handshake; the request is one like any."""
    for body in (b"echo\r\nx-injected: 1", b"echo\x00", b"raise"):
        head = f"{path(source='careless')}\nContent-Length: {len(body)}"
        status, headers, raw = await peer.ask(head, body, apart=apart)
        assert (status, "x-echo" in headers) == (200, False)
        assert b"x-injected" not in raw
    _, headers, _ = await peer.ask(f"{path(source='careless')}\nContent-Length: 5", b"echo!", apart=apart)
    assert headers["x-echo"] == "echo!"


class Sent:
    """An ingest that is never reached."""

    sources: ClassVar[dict[str, Any]] = {}


def test_whole_requests_are_answered_without_a_task() -> None:
    """The way that needs no task gives the same answer."""
    settings = build(
        {"sources": {"rc": {"provider": "ringcentral", "token": TOKEN}}, "store": "sqlite:unused.db"}, {}, discover()
    ).sources["rc"]
    ingest: Any = Sent()
    ingest.sources = {"rc": RingCentral("rc", settings)}  # type: ignore[arg-type]
    bodies: Any = None
    answers: list[Reply] = []
    headers = ((b"validation-token", CHALLENGE.encode()),)
    Hooks(ingest, bodies, lambda: None).take(f"/hooks/rc/{TOKEN}", headers, b"", answers.append)
    assert [(one.status, one.headers) for one in answers] == [(200, ((b"Validation-Token", CHALLENGE.encode()),))]


async def test_both_products_and_two_versions(peer: Peer, tmp_path: Path) -> None:
    """One source takes AI responses and notifications; the record that comes again is updated, the call is one."""
    names = ("verification-token-not-with-ai", "ace-twice-1-ai-notes", "ace-twice-2-insights", "telephony-answered")
    raw = b""
    for name in (*names, "ace-twice-2-insights"):
        body = (FIXTURES / name / "body").read_bytes()
        if name == "telephony-answered":
            body = body.replace(b"s-a6abd24ca6774373a8120a3390d30001", b"s-a0e7b3a1c2d34e5fz191bec7e275z7cae070004")
        proof = "" if name == names[0] else f"\nVerification-Token: {VERIFICATION}"
        status, _, raw = await peer.ask(f"{path()}{proof}\nContent-Length: {len(body)}", body)
        assert status == 200, raw
    assert b"duplicate" in raw
    file = tmp_path / "events.jsonl"
    async with asyncio.timeout(10):
        while not file.exists() or len(file.read_bytes().splitlines()) < 4:
            await asyncio.sleep(0.05)
    events = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [event["type"] for event in events] == [
        "analysis.completed",
        "transcript.completed",
        "transcript.updated",
        "ringcentral.telephony.sessions",
    ]
    assert events[3]["data"]["name"] == "telephony.sessions"
    calls = await peer.running.runtime.store.engine.rows("list_calls", {"limit": 10})
    assert len(calls) == 2
