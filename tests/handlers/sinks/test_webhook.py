"""The webhook sink against a real server; signatures judged by the reference package and by openssl."""

import asyncio
import base64
import contextlib
import json
import re
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar

import pytest
import standardwebhooks

from handlers.sinks.webhook import LONGEST_WAIT, Webhook, WebhookSettings, header_value, outcome
from receiver.contract.errors import ConfigError
from receiver.contract.sink import Delivered, HttpAnswer, Rejected, SendOutcome, SinkPorts, TryLater
from receiver.contract.webhooks import generate
from receiver.http import GuardedClient
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.shape import Addresses, Shaped
from receiver.store.records import DueDelivery
from receiver.testing.events import sample_delivery, sample_event
from receiver.testing.server import RawServer, listening, never, writes
from receiver.testing.sink import Arrived, Behaviour, Peer, SinkContract
from receiver.testing.tables import settings_of

TOO_LARGE = writes(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
NO_CONTENT = writes(b"HTTP/1.1 204 No Content\r\n\r\n")
BUSY = writes(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
UNUSABLE = writes(b"HTTP/1.1 422 No\r\nContent-Length: 11\r\n\r\nwh-token-42")


class WebhookPeer:
    """A receiver of webhooks that answers as the kit asks."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table
        self.server = RawServer()
        self.up = False
        self._requests: list[tuple[str, dict[str, str], bytes]] = []
        self._listening = contextlib.AsyncExitStack()

    async def behave(self, how: Behaviour) -> None:
        """Answer so from now on, or stop listening."""
        if how is Behaviour.GONE:
            await self.close()
            return
        if not self.up:
            self.up = True
            self.server = await self._listening.enter_async_context(listening(port=self.server.port))
            self.server.requests = self._requests
        self.server.answer = {
            Behaviour.TAKES: NO_CONTENT,
            Behaviour.LATER: BUSY,
            Behaviour.REFUSES: UNUSABLE,
            Behaviour.HANGS: never,
        }[how]

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this receiver."""
        return {
            "url": self.server.url("user:wh-password@127.0.0.1", "/in/wh-token-42"),
            "allow_private": True,
            "secrets": [generate().secret.value],
            "headers": {"X-Api-Key": "wh-key-42"},
            **self.table,
        }

    async def arrived(self) -> Sequence[Arrived]:
        """Return what was posted, put together again if it came in binary mode."""
        return [Arrived(raw=body, event=self.event(headers, body)) for _, headers, body in self._requests]

    def event(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return the event in structured JSON, whatever the mode."""
        if headers["content-type"] == "application/cloudevents+json":
            return body
        attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
        return json.dumps(attributes | {"datacontenttype": headers["content-type"], "data": json.loads(body)}).encode()

    async def close(self) -> None:
        """Stop listening."""
        self.up = False
        await self._listening.aclose()


class TestStructured(SinkContract):
    """The kit, with whole events as JSON bodies."""

    sink = Webhook
    table: ClassVar[Mapping[str, Any]] = {"mode": "structured"}

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Give a receiver that takes everything."""
        peer = WebhookPeer(self.table)
        await peer.behave(Behaviour.TAKES)
        try:
            yield peer
        finally:
            await peer.close()


class TestBinary(TestStructured):
    """The kit, with attributes in headers."""

    table: ClassVar[Mapping[str, Any]] = {"mode": "binary"}


NOW = 1_800_000_000.0


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Give a receiver that takes everything."""
    async with listening() as running:
        running.answer = NO_CONTENT
        yield running


def settings(**table: Any) -> WebhookSettings:
    """Make settings as the engine reads them, checked."""
    return settings_of(WebhookSettings, {"kind": "webhook", "url": "https://hooks.example.com/in", **table})


async def deliver(server: RawServer, *, now: float = NOW, event: Any = None, **table: Any) -> SendOutcome:
    """Send one event to a server."""
    async with GuardedClient() as http:
        ports = SinkPorts(http=http, links=None, now=lambda: now)
        sink = Webhook("hook", settings(url=server.url(rest="/in"), **{"allow_private": True, **table}), ports)
        (answer,) = await sink.send([sample_delivery(event or sample_event())])
        return answer


async def test_the_reference_package_accepts_our_signature(server: RawServer) -> None:
    """Both of two shared keys verify the request as it arrived: id, time of the attempt, exact body."""
    old, new = generate().secret.value, generate().secret.value
    await deliver(server, now=time.time(), secrets=[old, new])
    _, headers, body = server.requests[0]
    for key in (old, new):
        assert standardwebhooks.Webhook(key).verify(body, headers)["id"] == headers["webhook-id"] == sample_event().id
    with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
        standardwebhooks.Webhook(generate().secret.value).verify(body, headers)


async def test_openssl_accepts_our_signature(server: RawServer, tmp_path: Path) -> None:
    """With an Ed25519 key beside a shared one, openssl verifies the v1a signature of the request as it arrived."""
    pair = generate("asymmetric")
    assert pair.public
    await deliver(server, secrets=[generate().secret.value, pair.secret.value], mode="binary")
    _, headers, body = server.requests[0]
    shared, own = headers["webhook-signature"].split(" ")
    assert shared.startswith("v1,")
    der = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(pair.public.removeprefix("whpk_"))
    (tmp_path / "public.der").write_bytes(der)
    (tmp_path / "signature").write_bytes(base64.b64decode(own.removeprefix("v1a,")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    (tmp_path / "content").write_bytes(content)
    command = "openssl pkeyutl -verify -pubin -keyform DER -inkey public.der -rawin -in content -sigfile signature"
    subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=True)


async def test_without_keys_nothing_is_signed(server: RawServer) -> None:
    """Id and time are sent all the same."""
    await deliver(server)
    headers = server.requests[0][1]
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (sample_event().id, str(int(NOW)))
    assert "webhook-signature" not in headers


async def test_structured_mode_is_the_event_itself(server: RawServer) -> None:
    """The body is the event's own JSON, byte for byte, with its content type and no ce- headers."""
    await deliver(server)
    _, headers, body = server.requests[0]
    assert body == sample_event().cloudevent()
    assert headers["content-type"] == "application/cloudevents+json"
    assert not [name for name in headers if name.startswith("ce-")]


async def test_binary_mode_puts_attributes_into_headers(server: RawServer) -> None:
    """The body is the data; every attribute but the content type is a ce- header, percent-encoded."""
    event = sample_event(subject='job "Ä" 100%\u202e', type="com.acme.call")
    await deliver(server, event=event, mode="binary")
    _, headers, body = server.requests[0]
    assert body == event.data
    assert {name: value for name, value in headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-source": event.source,
        "ce-type": "com.acme.call",
        "ce-time": event.time,
        "ce-subject": "job%20%22%C3%84%22%20100%25%E2%80%AE",
        "ce-dataschema": event.dataschema,
    }
    assert headers["content-type"] == "application/json"


def test_header_values_as_the_specification_shows_them() -> None:
    """The HTTP binding's own example, and what no header may hold."""
    assert header_value("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert header_value("a\r\nb\x00\x7f\ud800~!") == "a%0D%0Ab%00%7F?~!"


async def test_static_headers_are_sent(server: RawServer) -> None:
    """What the user adds goes along, and cannot displace ours."""
    await deliver(server, headers={"Authorization": "Bearer abc", "X-Team": "calls"})
    headers = server.requests[0][1]
    assert (headers["authorization"], headers["x-team"]) == ("Bearer abc", "calls")


async def test_private_addresses_need_permission(server: RawServer) -> None:
    """Without `allow_private` nothing reaches this machine, and the reason says which setting would."""
    answer = await deliver(server, allow_private=False)
    assert isinstance(answer, TryLater)
    assert "allow_private" in answer.reason
    assert server.connections == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(status, Delivered) for status in (200, 201, 202, 204, 299)]
    + [(status, Rejected) for status in (400, 410, 413, 415, 422)]
    + [(status, TryLater) for status in (301, 302, 304, 307, 308)]
    + [(status, TryLater) for status in (401, 403, 404, 405, 408, 409, 425, 429, 451, 500, 502, 503, 504, 599, 700)],
)
def test_what_answers_mean(status: int, kind: type[SendOutcome]) -> None:
    """2xx arrived; five statuses are refusals for good; everything else is tried again. The status is always named."""
    result = outcome(HttpAnswer(status=status, headers={}, body=b"s3cret"), lambda: NOW)
    assert isinstance(result, kind)
    assert str(status) in repr(result)
    assert "s3cret" not in repr(result)


def test_redirects_say_that_they_are_not_followed() -> None:
    """A redirect's reason says what to do, and does not repeat where it leads."""
    result = outcome(HttpAnswer(status=308, headers={"location": "https://x/?token=1"}, body=b""), lambda: NOW)
    assert result == TryLater(reason="HTTP 308: redirects are not followed; set `url` to where it leads")


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("7", 7),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        ("99999999", LONGEST_WAIT),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_retry_after_is_honoured_within_a_day(header: str | None, after: float | None) -> None:
    """Seconds and dates count, garbage does not, and nobody makes us wait for more than a day."""
    headers = {} if header is None else {"retry-after": header}
    result = outcome(HttpAnswer(status=429, headers=headers, body=b""), lambda: NOW)
    assert isinstance(result, TryLater)
    assert result.after == after


SHORT = "whsec_" + base64.b64encode(b"0123456789").decode()


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"url": "hooks.example.com"}, "url: must be https://host/"),
        ({"url": "ftp://hooks.example.com/"}, "url: must be https://host/"),
        ({"url": "https:///in"}, "url: must be https://host/"),
        ({"url": "https://[::1/"}, "url: cannot be read"),
        ({"url": "https://host:99999/"}, "url: cannot be read"),
        ({"url": "https://u:p@host/", "headers": {"authorization": "x"}}, "give one of the two"),
        ({"secrets": [generate().secret.value, SHORT]}, "secrets: number 2: a whsec_ key holds 24 to 64 bytes"),
        ({"secrets": ["MDEyMzQ1Njc4OWFiY2RlZmdo"]}, "secrets: number 1: a key starts with whsec_"),
        ({"headers": {"X Y": "1"}}, "'X Y' is not a header name"),
        ({"headers": {"Webhook-Id": "1"}}, "Webhook-Id is set by Hookscribe"),
        ({"headers": {"ce-id": "1"}}, "ce-id is set by Hookscribe"),
        ({"headers": {"content-type": "1"}}, "content-type is set by Hookscribe"),
        ({"headers": {"X-A": "s3cret\r\nX-B: 1"}}, "value of X-A has characters"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "x-a is given twice"),
    ],
)
def test_settings_that_cannot_work(table: dict[str, Any], why: str) -> None:
    """Contradictions are ConfigErrors that name the key and show no secret."""
    with pytest.raises(ConfigError, match=re.escape(why)) as caught:
        settings(**table)
    for hidden in ("MDEy", "s3cret", "p@host"):
        assert hidden not in str(caught.value)


async def test_what_is_too_large_goes_out_thin_at_the_next_try(server: RawServer) -> None:
    """The other side's 413 is a bound from then on; what is small and turned away for its size is turned away for good."""

    async def bounded(writer: asyncio.StreamWriter) -> None:
        too_large = len(server.requests[-1][2]) > 50_000
        await (TOO_LARGE if too_large else NO_CONTENT)(writer)

    server.answer = bounded
    async with GuardedClient() as http:
        ports = SinkPorts(http=http, links=None, now=lambda: NOW)
        sink = Webhook("hook", settings(url=server.url(), allow_private=True), ports)
        shaped, render = Shaped(sink, Addresses(None, "https://hooks.internal")), Renderer(None, None, "")

        async def send(size: int) -> SendOutcome:
            data = sample_event(grow_to=size).data
            row = DueDelivery(1, 0, 2, "acme", "transcript.completed", "t", "trn_1", None, data)
            return (await shaped.send([sample_delivery(render(row))]))[0]

        assert isinstance(await send(40_000), Delivered)
        tried = await send(100_000)
        assert isinstance(tried, TryLater)
        assert "the next try is a thin event" in tried.reason
        assert isinstance(await send(100_000), Delivered)
        assert json.loads(server.requests[-1][2])["data"]["thin"] is True
        assert isinstance(await send(40_000), Delivered)
        assert "thin" not in json.loads(server.requests[-1][2])["data"]
        server.answer = TOO_LARGE
        assert isinstance(await send(200_000), Rejected)
