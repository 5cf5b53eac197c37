"""One connection: everything that it waits for has an end."""

import asyncio
from typing import Any

import pytest
import uvicorn
from pipeline_fakes import until
from uvicorn.server import ServerState

from receiver.contract.provider import Reply
from receiver.web import protocol as protocol_module
from receiver.web.direct import direct_protocol
from receiver.web.protocol import Protocol


class Wire(asyncio.Transport):
    """A transport that writes down what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.did: list[str] = []
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.did.append("close")
        self.closing = True

    def abort(self) -> None:
        self.did.append("abort")

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")


async def answers(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request, at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def hangs(scope: Any, receive: Any, send: Any) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def connected(app: Any, *, keep_alive: float = 30, kind: type[Protocol] = Protocol) -> tuple[Protocol, Wire]:
    """Return a connection that has begun."""
    config = uvicorn.Config(app, http=Protocol, ws="none", lifespan="off", log_config=None)
    config.load()
    made, wire = kind(config, ServerState(), {}), Wire()
    made.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    made.connection_made(wire)
    return made, wire


async def test_a_head_that_never_ends_is_closed_then_cut_off() -> None:
    """Who opens a connection and says nothing, or half a head, is closed; who does not take that, is cut off."""
    protocol, wire = connected(answers, keep_alive=0.02)
    protocol.data_received(b"POST / HTTP/1.1\r\nHost:")
    await until(lambda: wire.did == ["close", "abort"])
    protocol.connection_lost(None)


async def test_between_requests_the_wait_begins_again() -> None:
    """An answer given, the next head has its time; then the connection is closed."""
    protocol, wire = connected(answers, keep_alive=0.05)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: wire.sent.startswith(b"HTTP/1.1 200"))
    assert wire.did == []
    await until(lambda: "close" in wire.did)
    protocol.connection_lost(None)


async def test_a_request_under_way_is_not_timed_by_its_connection() -> None:
    """While the app is at it, no keep-alive time runs; the body has a time of its own."""
    protocol, wire = connected(hangs, keep_alive=0.02)
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    await asyncio.sleep(0.1)
    assert wire.did == []
    protocol.connection_lost(None)
    for task in list(protocol.tasks):
        task.cancel()
        await asyncio.wait([task])


async def test_a_peer_that_reads_no_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is taken from it, and after a while it is gone; one that reads again goes on."""
    monkeypatch.setattr(protocol_module, "STALLED_AFTER", 0.05)
    protocol, wire = connected(answers)
    protocol.pause_writing()
    protocol.resume_writing()
    assert wire.did == ["pause", "resume"]
    await asyncio.sleep(0.1)
    assert "abort" not in wire.did
    protocol.pause_writing()
    await until(lambda: wire.did[-1] == "abort")
    protocol.connection_lost(None)


class Taker:
    """Stands for the hot route: takes every callback at once."""

    def take(self, path: str, headers: Any, body: bytes, answer: Any) -> None:
        """Answer."""
        answer(Reply(body=b"{}"))


async def test_answers_to_callbacks_wait_as_well_where_none_are_read() -> None:
    """Else what is answered where it arrives would pile up for a peer that sends on and reads nothing."""
    protocol, wire = connected(answers, kind=direct_protocol(Taker()))  # type: ignore[arg-type]
    callback = b"POST /hooks/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    protocol.data_received(callback)
    await until(lambda: wire.sent.count(b"HTTP/1.1 200") == 1)
    protocol.pause_writing()
    for _ in range(5):
        protocol.data_received(callback)
        await asyncio.sleep(0.01)
    assert wire.sent.count(b"HTTP/1.1 200") == 1
    protocol.resume_writing()
    await until(lambda: wire.sent.count(b"HTTP/1.1 200") == 6)
    protocol.connection_lost(None)


async def test_a_peer_that_hangs_up_while_stalled_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection waits for nothing."""
    monkeypatch.setattr(protocol_module, "STALLED_AFTER", 0.01)
    protocol, wire = connected(answers, keep_alive=0.01)
    protocol.pause_writing()
    protocol.connection_lost(None)
    await asyncio.sleep(0.05)
    assert "abort" not in wire.did


async def test_a_refused_body_does_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says close while the body is still coming: what follows has the connection's time, and then it ends."""
    protocol, wire = connected(answers, keep_alive=0.05)
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nConnection: close\r\n\r\nbegun")
    await until(lambda: "close" in wire.did)
    await until(lambda: "abort" in wire.did)
    protocol.connection_lost(None)


async def test_connect_is_refused() -> None:
    """A tunnel is no request of ours."""
    protocol, wire = connected(answers)
    protocol.data_received(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")
    assert wire.sent.startswith(b"HTTP/1.1 400")
    protocol.connection_lost(None)
