"""A sender that nobody here has heard of works by its configuration alone: real process, real HTTP, events in a file."""

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from system.harness import Process, Site, serving, until

pytestmark = pytest.mark.system

PASSWORD = "password-of-the-stranger-0"
SECRET = "secret-of-the-stranger"
SETTINGS = f"""
[sources.stranger]
provider = "generic"
basic = {{ user = "stranger", passwords = ["{PASSWORD}"] }}
secrets = ["{SECRET}"]
signature = {{ header = "X-Stranger", part = "s", timestamp_part = "t", signed = "{{timestamp}}.{{header:X-Id}}.{{body}}" }}
handshake = [
  {{ method = "GET", challenge = "query:challenge" }},
  {{ challenge = "body:nonce", when = "kind == 'hello'", reply = '{{"nonce":"{{challenge}}"}}', reply_type = "application/json" }},
]
event = "kind"
events = {{ "call.transcribed" = "completed", "call.failed" = "failed" }}
operation = "call-transcription"
job_id = "call.transcript_id"
segments = "call.turns"
segment = {{ text = "says", start = "at[0]", end = "at[1]", channel = "line" }}
time_unit = "ms"
call = {{ external_id = "call.id", direction = "call.way", from = "call.from", to = "call.to" }}
error = {{ message = "call.why" }}
channels = ["agent", "customer"]
ignore = ["generic.heartbeat"]
"""


def transcribed(number: int) -> dict[str, Any]:
    """Return a body of the stranger's."""
    turns = [
        {"line": 1, "at": [0, 1500], "says": "Hello?"},
        {"line": 2, "at": [1600, 2500], "says": f"It is {number}."},
    ]
    call = {"id": f"c-{number}", "way": "in", "from": "+34600111222", "to": "+34900", "turns": turns, "cost": 0.25}
    return {"kind": "call.transcribed", "call": {**call, "transcript_id": f"t-{number}"}}


class Stranger:
    """Calls a receiver as the stranger does."""

    def __init__(self, process: Process, client: httpx.AsyncClient) -> None:
        host, port = process.address() or ("", 0)
        self._url = f"http://{host}:{port}/hooks/stranger"
        self._client = client

    async def send(self, document: Any, *, password: str = PASSWORD, secret: str = SECRET) -> httpx.Response:
        """Send a body, signed."""
        body, stamp = json.dumps(document).encode(), str(int(time.time()))
        mac = hmac.new(secret.encode(), f"{stamp}.id-1.".encode() + body, "sha256").hexdigest()
        credentials = base64.b64encode(f"stranger:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "X-Id": "id-1", "X-Stranger": f"t={stamp},s={mac}"}
        return await self._client.post(self._url, content=body, headers=headers)

    async def ask(self, method: str, **request: Any) -> httpx.Response:
        """Send something unsigned."""
        return await self._client.request(method, self._url, **request)


async def test_a_stranger_works_by_configuration_only(tmp_path: Path) -> None:
    """Handshakes are answered, forgeries refused, results, failures and notices arrive as events, ignored ones do not."""
    site = Site(tmp_path)
    site.add_settings(SETTINGS)
    async with serving(site) as process, httpx.AsyncClient(trust_env=False) as client:
        stranger = Stranger(process, client)
        hello = await stranger.ask("GET", params={"challenge": "1158201444"})
        assert (hello.status_code, hello.text, hello.headers["content-type"]) == (200, "1158201444", "text/plain")
        assert hello.headers.get_list("x-content-type-options") == ["nosniff"]
        again = await stranger.ask("POST", json={"kind": "hello", "nonce": 'a"b'})
        assert (again.json(), again.headers.get_list("content-type")) == ({"nonce": 'a"b'}, ["application/json"])
        assert [(await stranger.ask(method)).status_code for method in ("GET", "OPTIONS", "PUT", "HEAD")] == [405] * 4

        assert (await stranger.ask("POST", json=transcribed(1))).status_code == 401
        assert (await stranger.send(transcribed(1), password="password-of-a-stranger-00")).status_code == 401
        assert (await stranger.send(transcribed(1), secret="another")).status_code == 401

        first = await stranger.send(transcribed(1))
        assert (first.status_code, first.json()["status"]) == (200, "accepted")
        assert (await stranger.send(transcribed(1))).json() == {"status": "duplicate", "id": first.json()["id"]}
        failed = {"kind": "call.failed", "call": {"transcript_id": "t-2", "why": "nobody spoke"}}
        for document in (failed, {"kind": "heartbeat"}, {"kind": "call.rang", "call": {"id": "c-1"}}):
            assert (await stranger.send(document)).status_code == 200
        await until(lambda: len(site.lines()) >= 3, "three events")
        await process.stop()
    done, broken, rang = sorted(
        site.lines(), key=lambda event: ["t-1", "t-2", ""].index(event["data"].get("job_id", ""))
    )
    assert [one["type"] for one in (done, broken, rang)] == [
        *("transcript.completed", "transcript.failed", "generic.call.rang")
    ]
    transcript = done["data"]
    assert transcript["operation"] == "call-transcription"
    assert transcript["text"] == "Hello?\nIt is 1."
    assert [(one["id"], one["role"], one["talk_time"]) for one in transcript["speakers"]] == [
        ("channel-1", "agent", 1.5),
        ("channel-2", "customer", 0.9),
    ]
    assert (transcript["call"]["external_id"], transcript["call"]["direction"]) == ("c-1", "inbound")
    assert transcript["metadata"] == {"kind": "call.transcribed", "call.cost": 0.25}
    assert transcript["provenance"]["verdict"] == "signature"
    assert broken["data"]["error"] == {"code": None, "message": "nobody spoke"}
    assert rang["data"]["body"] == {"kind": "call.rang", "call": {"id": "c-1"}}
    assert site.rows("SELECT outcome FROM receipts WHERE outcome LIKE '%ignored%'") == [
        ('[{"ignored":"generic.heartbeat"}]',)
    ]
    assert not any(secret in process.output() for secret in (PASSWORD, SECRET, "It is 1", "nobody spoke"))
