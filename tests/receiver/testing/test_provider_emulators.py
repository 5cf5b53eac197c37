"""Emulators of providers refuse what the providers' pages say is refused, in their words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from receiver.testing.emulators.callcov import CallCovEmulator
from receiver.testing.emulators.callcov_switches import Switches as CallCovSwitches
from receiver.testing.emulators.invox import TOKEN_PATH, InvoxEmulator
from receiver.testing.emulators.invox_switches import Switches as InvoxSwitches
from receiver.testing.emulators.posting import Callbacks, Sending, Window
from receiver.testing.emulators.serving import serving
from receiver.testing.server import closes, listening, writes

KEY = {"X-API-Key": "sk_test_emulator"}
PARTIES = {"agent_id": "a", "contact_id": "c"}
WAV = {"audio_file": ("a.wav", b"RIFF", "audio/wav")}
BASIC = {"Authorization": "Basic ZW11bGF0ZWQtYXBwOmVtdWxhdGVkLWFwaS1rZXk="}
GRANT = {"grant_type": "client_credentials"}


@contextlib.asynccontextmanager
async def at(emulator: CallCovEmulator | InvoxEmulator) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an emulator; give a client of it."""
    async with serving(emulator.app) as base, httpx.AsyncClient(base_url=base, timeout=10) as client:
        yield client
        await emulator.callbacks.settled()


@pytest.mark.parametrize("errors", ["error", "detail"])
@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        ("analysis/", {"data": PARTIES}, 400, "validation_error"),
        ("analysis/", {"data": {"agent_id": "a"}, "files": WAV}, 400, "validation_error"),
        ("calls/analyze", {"json": {"audio_url": "http://127.0.0.1:1/a.wav", **PARTIES}}, 400, "validation_error"),
        ("calls/analyze", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "json_invalid"),
        ("analysis/", {"json": PARTIES}, 422, "missing"),
        ("analysis/", {"data": PARTIES, "files": {"audio_file": ("a.pdf", b"%PDF")}}, 400, "invalid_file_format"),
        ("calls/analyze", {"data": PARTIES, "files": {"audio_file": ("a.webm", b"x")}}, 400, "invalid_file_format"),
    ],
)
async def test_what_callcov_refuses(path: str, sent: dict[str, Any], status: int, code: str, errors: Any) -> None:
    """Each error has its status and one of the two shapes."""
    emulator = CallCovEmulator(CallCovSwitches(errors=errors))
    sent = {**sent, "headers": {**KEY, **sent.get("headers", {})}}
    async with at(emulator) as client:
        answer = await client.post(f"/api/v1/{path}", **sent)
    expected = 422 if errors == "detail" and code == "validation_error" else status
    assert answer.status_code == expected
    assert answer.json()["error"]["code"] == code if errors == "error" else "detail" in answer.json()
    assert emulator.analyses == {}


@pytest.mark.parametrize("length", [b"Content-Length: 200000000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_callcov_does_not_read_what_is_too_large(length: bytes) -> None:
    """By its announced length, or because it announces none."""
    async with serving(CallCovEmulator().app) as base:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        head = b"POST /api/v1/calls/analyze HTTP/1.1\r\nHost: x\r\nX-API-Key: sk_test_emulator\r\n"
        writer.write(head + length + b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        await writer.wait_closed()


async def test_callcov_wants_its_key_and_its_slash() -> None:
    """Without the key 401; a path without its slash is redirected, unless that is switched off."""
    async with at(CallCovEmulator()) as client:
        assert (await client.get("/api/v1/analysis/")).status_code == 401
        assert (await client.get("/api/v1/analysis/x", headers=KEY)).status_code == 404
        assert (await client.get("/api/v1/analysis/?limit=1001", headers=KEY)).status_code == 422
        assert (await client.get("/api/v1/analysis/?limit=x", headers=KEY)).status_code == 422
        redirect = await client.post("/api/v1/analysis", headers=KEY)
        assert (redirect.status_code, redirect.headers["location"]) == (307, "/api/v1/analysis/")
    async with at(CallCovEmulator(CallCovSwitches(slash="either"))) as client:
        made = await client.post("/api/v1/analysis", headers=KEY, data=PARTIES, files=WAV)
        assert made.status_code == 201
        assert len((await client.get("/api/v1/analysis", headers=KEY)).json()["data"]) == 1


async def test_callcov_counts() -> None:
    """The sixth submission within a minute is refused, with the wait in the text; so is the 101st request."""
    times = [1000.0]
    emulator = CallCovEmulator(now=lambda: times[0])
    async with at(emulator) as client:
        answers = [await client.post("/api/v1/analysis/", headers=KEY, data=PARTIES, files=WAV) for _ in range(6)]
        assert [one.status_code for one in answers] == [201] * 5 + [429]
        assert "try again in 61 seconds" in answers[-1].json()["error"]["message"]
        times[0] += 60
        assert (await client.post("/api/v1/analysis/", headers=KEY, data=PARTIES, files=WAV)).status_code == 201
        asked = [(await client.get("/api/v1/analysis/x", headers=KEY)).status_code for _ in range(100)]
    assert asked == [404] * 99 + [429]
    assert emulator.refused == 2


async def token_of(client: httpx.AsyncClient) -> dict[str, str]:
    """Get a token; return the header that carries it."""
    answer = await client.post(TOKEN_PATH, headers=BASIC, data=GRANT)
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"mimeType": "audio/mpeg"}, 400, {"messsage": "mimeType is not supported", "errorType": "inconsistentInput"}),
        ({"mimeType": "audio/wav", "language": "es"}, 400,
         {"messsage": "The body has members that are not known", "errorType": "invalidRequestBody"}),
        ([], 400, {"messsage": "mimeType is not supported", "errorType": "inconsistentInput"}),
    ],
)  # fmt: skip
async def test_what_invox_refuses(asked: Any, status: int, said: dict[str, str]) -> None:
    """With three s in `messsage`, and the type of error."""
    async with at(InvoxEmulator()) as client:
        answer = await client.post("/api/v1/generate-presigned-url", headers=await token_of(client), json=asked)
    assert (answer.status_code, answer.json()) == (status, said)


async def test_invox_wants_credentials_token_permission_and_version() -> None:
    """Each lack has its status."""
    body = {"requestId": "r"}
    async with at(InvoxEmulator(InvoxSwitches(version="required"))) as client:
        assert (await client.post(TOKEN_PATH, headers=BASIC)).status_code == 401
        assert (await client.post(TOKEN_PATH, data=GRANT)).status_code == 401
        assert (await client.post("/api/v1/get-transcription", json=body)).status_code == 401
        headers = await token_of(client)
        assert (await client.post("/api/v1/get-transcription", headers=headers, json=body)).status_code == 400
        old = {**headers, "X-Invox-Medical-Api-Version": "2025-09-30"}
        assert (await client.post("/api/v1/get-transcription", headers=old, json=body)).status_code == 400
        good = {**headers, "X-Invox-Medical-Api-Version": "2025-10-01"}
        missing = await client.post("/api/v1/get-transcription", headers=good, json=body)
        assert (missing.status_code, list(missing.json())) == (404, ["message"])
    async with at(InvoxEmulator(InvoxSwitches(permitted=False))) as client:
        refused = await client.post("/api/v1/get-transcription", headers=await token_of(client), json=body)
        assert refused.status_code == 403


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Content-Type": "audio/mp3"}, True, 403),
        ({"Content-Type": "audio/wav", "Authorization": "Bearer x"}, True, 400),
        ({"Content-Type": "audio/wav"}, False, 403),
        ({"Content-Type": "audio/wav"}, True, 200),
    ],
)
async def test_the_storage_takes_what_was_signed(headers: dict[str, str], query: bool, status: int) -> None:
    """The very content type, no other authorization, the signature in the address, and a length."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"RIFF"

    emulator = InvoxEmulator()
    async with at(emulator) as client:
        asked = {"mimeType": "audio/wav"}
        made = await client.post("/api/v1/generate-presigned-url", headers=await token_of(client), json=asked)
        url = made.json()["presignedUrl"]
        chunked = await client.put(url, headers={"Content-Type": "audio/wav"}, content=pieces())
        assert chunked.status_code == 411
        given = await client.put(url if query else url.partition("?")[0], headers=headers, content=b"RIFF")
        await emulator.callbacks.settled()
    assert given.status_code == status
    assert [one.status for one in emulator.requests.values()] == ["COMPLETED" if status == 200 else "PENDING"]


async def test_callbacks_are_sent_again() -> None:
    """As often as switched on, until one is answered with 2xx; nobody there is 0."""
    async with listening() as server:
        callbacks = Callbacks(Sending(retries=2, pause=0))
        server.answer = writes(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        callbacks.begin(callbacks.send(server.url(), {}, b"{}"))
        await callbacks.settled()
        assert callbacks.answers == [503, 503, 503]
        server.answer = writes(b"HTTP/1.1 204 Yes\r\n\r\n")
        await callbacks.send(server.url(), {}, b"{}")
        server.answer = closes
        await callbacks.send(server.url(), {}, b"{}")
        assert callbacks.answers[3:] == [204, 0, 0, 0]


def test_a_window_slides() -> None:
    """Each place is free again when its stretch is over, and no earlier."""
    times = [0.0]
    window = Window(2, 10, lambda: times[0])
    assert [window.wait(), window.wait(), window.wait()] == [0, 0, 10]
    times[0] = 9.5
    assert window.wait() == 0.5
    times[0] = 10.0
    assert [window.wait(), window.wait(), window.wait()] == [0, 0, 10]
    assert window.refused == 3
