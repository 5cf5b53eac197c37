"""The guarded client against real servers on this machine: what it reaches, what it refuses, what it says."""

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from receiver.contract.sink import HttpAnswer, HttpFailed
from receiver.http import ANSWER_BOUND, GuardedClient
from receiver.testing.certificates import make_certificate
from receiver.testing.server import RawServer, closes, free_port, listening, never, writes


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Give a server on the loopback address."""
    async with listening() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    """Give a guarded client."""
    async with GuardedClient() as guarded:
        yield guarded


async def post(client: GuardedClient, url: str, *, private: bool = True, timeout: float = 5, **more: Any) -> HttpAnswer:
    """Post a small body."""
    options = {"body": b"{}", "headers": {"Content-Type": "application/json"}, **more}
    return await client.post(url, timeout=timeout, allow_private=private, **options)


@pytest.mark.parametrize("status", [200, 204, 302, 410, 429, 503])
async def test_any_status_is_an_answer(server: RawServer, client: GuardedClient, status: int) -> None:
    """Status, headers in lower case and body come back, whatever they say; of repeated headers the first."""
    body = b"" if status == 204 else b"why"
    server.answer = writes(
        b"HTTP/1.1 %d X\r\nRetry-After: 7\r\nX-Two: a\r\nX-TWO: b\r\n" % status
        + (b"" if status == 204 else b"Content-Length: 3\r\n")
        + b"\r\n"
        + body
    )
    answer = await post(client, server.url(), body=b"hello", headers={"X-Mine": "yes"})
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-two"] == "a"
    line, headers, sent = server.requests[0]
    assert (line, sent, headers["x-mine"]) == ("POST / HTTP/1.1", b"hello", "yes")
    assert headers["accept-encoding"] == "identity"


async def test_redirects_are_not_followed(server: RawServer, client: GuardedClient) -> None:
    """A redirect is an answer like any other."""
    server.answer = writes(b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
    answer = await post(client, server.url())
    assert (answer.status, answer.headers["location"]) == (307, "/elsewhere")
    assert len(server.requests) == 1


async def test_a_server_that_never_answers(server: RawServer, client: GuardedClient) -> None:
    """The timeout holds for a server that says nothing, and for one that drips its answer."""

    async def drips(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.05)

    for answer in (never, drips):
        server.answer = answer
        started = time.monotonic()
        with pytest.raises(HttpFailed, match=r"^127\.0\.0\.1: no answer in time$"):
            await post(client, server.url(), timeout=0.3)
        assert time.monotonic() - started < 3


async def test_a_huge_answer_is_cut(server: RawServer, client: GuardedClient) -> None:
    """64 KiB are read of an endless answer; its connection is closed and not used again."""
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    server.answer = endless
    answer = await post(client, server.url())
    assert answer.body == b"x" * ANSWER_BOUND
    await asyncio.sleep(0.1)
    assert sent < 16 * 1024 * 1024
    server.answer = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (await post(client, server.url())).body == b"ok"
    assert server.connections == 2


async def test_endless_headers_are_refused(server: RawServer, client: GuardedClient) -> None:
    """Headers have a bound too."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Long: " + b"y" * 4000 + b"\r\n")
            await writer.drain()

    server.answer = endless
    with pytest.raises(HttpFailed):
        await post(client, server.url())


async def test_nothing_is_unpacked(server: RawServer, client: GuardedClient) -> None:
    """A compressed answer stays compressed, so that a few kilobytes cannot become gigabytes."""
    bomb = gzip.compress(b"\x00" * 50_000_000)
    server.answer = writes(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    )
    assert (await post(client, server.url())).body == bomb[:ANSWER_BOUND]


async def test_a_large_body_arrives_whole(server: RawServer, client: GuardedClient) -> None:
    """Five megabytes are sent with their length, not in chunks."""
    body = bytes(range(256)) * 20_000
    await post(client, server.url(), body=body)
    _, headers, sent = server.requests[0]
    assert headers["content-length"] == str(len(body))
    assert sent == body


async def test_no_cookies_are_kept(server: RawServer, client: GuardedClient) -> None:
    """An answer's cookie does not come back with the next request."""
    server.answer = writes(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    await post(client, server.url("localhost"))
    await post(client, server.url("localhost"))
    assert "cookie" not in server.requests[1][1]


async def test_proxies_of_the_environment_are_not_trusted(
    server: RawServer, client: GuardedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect for us, past the guard."""
    async with listening() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert (await post(client, server.url())).status == 200
        assert proxy.connections == 0


async def test_userinfo_becomes_basic_authorization(server: RawServer, client: GuardedClient) -> None:
    """User and password of a URL are sent as HTTP asks for, and do not stand in the request line."""
    await post(client, server.url("ann:word@127.0.0.1", "/in?key=1"))
    line, headers, _ = server.requests[0]
    assert line == "POST /in?key=1 HTTP/1.1"
    assert headers["authorization"] == "Basic YW5uOndvcmQ="


@pytest.mark.parametrize(
    "url",
    ["", "hooks", "http://", "http:///x", "http://[::1/", "http://host:99999999/", "ftp://host/", "file:///etc/passwd"],
)
async def test_what_is_no_http_url_fails(client: GuardedClient, url: str) -> None:
    """Anything but http and https with a host fails at once, without the URL in the message."""
    with pytest.raises(HttpFailed, match=r"^the URL "):
        await post(client, url)


async def test_headers_cannot_be_smuggled(server: RawServer, client: GuardedClient) -> None:
    """A line break in a header is a failure, not a second header."""
    with pytest.raises(HttpFailed, match="does not allow"):
        await post(client, server.url(), headers={"X-A": "b\r\nX-C: d"})
    assert server.requests == []


@pytest.mark.parametrize("how", ["refused", "closed", "garbage", "timeout", "private", "dns"])
async def test_failures_name_the_host_and_no_secret(server: RawServer, client: GuardedClient, how: str) -> None:
    """Messages hold host and reason; not user, password, path or query, and no exception is chained that would."""
    host = "no-such-name.invalid" if how == "dns" else "127.0.0.1"
    server.answer = {"garbage": writes(b"no http\r\n\r\n"), "timeout": never}.get(how, closes)
    url = server.url(f"ann:s3cret@{host}", "/s3cret?token=s3cret")
    if how == "refused":
        url = url.replace(str(server.port), str(free_port()))
    with pytest.raises(HttpFailed) as caught:
        await post(client, url, private=how != "private", timeout=5 if how != "timeout" else 0.2)
    assert str(caught.value).startswith(f"{host}: ")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
async def test_a_reset_names_no_secret(client: GuardedClient, size: int) -> None:
    """A connection that is reset before or while the body is written is a failure without the URL in it."""

    def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/s3cret?token=s3cret"
        for _ in range(20):
            with pytest.raises(HttpFailed, match=r"^127\.0\.0\.1: the connection ") as caught:
                await post(client, url, body=b"x" * size)
            assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("size", [1_000, 5_000_000])
async def test_an_answer_before_the_body_is_read_counts(client: GuardedClient, size: int) -> None:
    """A server that says 413 after the head, without reading on, is understood."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        await over.wait()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        gone.set()

    over, gone = asyncio.Event(), asyncio.Event()
    async with await asyncio.start_server(early, "127.0.0.1", 0) as listener:
        answer = await post(client, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", body=b"x" * size)
        over.set()
        await client.close()
        await gone.wait()
    assert answer.status == 413


async def test_hanging_peers_leave_room_for_others(server: RawServer, client: GuardedClient) -> None:
    """With 300 sends waiting for one dead peer, a send to another is answered at once."""
    async with listening(backlog=512) as dead:
        dead.answer = never
        waiting = [asyncio.ensure_future(post(client, dead.url(), timeout=30)) for _ in range(300)]
        while len(dead.requests) < 300:
            await asyncio.sleep(0.02)
        assert (await post(client, server.url(), timeout=5)).status == 200
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """A self-signed certificate and one for another name are refused; a trusted one for the name is accepted."""
    trusted = ssl.create_default_context(cafile=make_certificate(tmp_path, "localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "localhost.pem", tmp_path / "localhost.key")
    async with listening(ssl=context) as server:
        url = server.url("localhost").replace("http:", "https:")
        async with GuardedClient() as client:
            with pytest.raises(HttpFailed, match=r"^localhost: TLS: self.signed certificate"):
                await post(client, url)
        async with GuardedClient(tls=trusted) as client:
            assert (await post(client, url)).status == 200
            with pytest.raises(HttpFailed, match=r"^127\.0\.0\.1: TLS: .*(mismatch|not valid for)"):
                await post(client, url.replace("localhost", "127.0.0.1"))
    assert len(server.requests) == 1


async def test_plain_http_where_tls_was_asked_for(client: GuardedClient) -> None:
    """An https URL at a port that speaks http fails with a TLS reason."""

    def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as listener:
        with pytest.raises(HttpFailed, match=r"^127\.0\.0\.1: TLS: \w+"):
            await post(client, f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")


async def test_closing_twice_is_safe(server: RawServer) -> None:
    """Close works unused, and twice."""
    client = GuardedClient()
    await client.close()
    await post(client, server.url())
    await client.close()
    await client.close()
