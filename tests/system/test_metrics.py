"""A real process tells Prometheus what it did, and nothing of what it was told."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from handlers.providers.callcov import CallCov, CallCovSettings
from receiver.contract.proof import SignatureSettings
from receiver.contract.settings import Secret
from system.harness import Process, Site, serving, until

pytestmark = pytest.mark.system

SECRETS = (b"system-callcov-secret-7Qm2", b"system-ringcentral-token", b"system-invox-token", b"words of a call")
COUNT = 5


async def post(process: Process, body: bytes, *, secret: str = "system-callcov-secret-7Qm2") -> int:
    """Send a callback of CallCov's; return the status of the answer."""
    signature = SignatureSettings(header="X-Signature", prefix="sha256=")
    settings = CallCovSettings(provider="callcov", secrets=(Secret(secret),), signature=signature)
    signed = CallCov("callcov", settings).sign(body, time.time())
    headers = [(name.decode(), value.decode()) for name, value in signed.headers]
    host, port = process.address() or ("", 0)
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"http://{host}:{port}/hooks/callcov", content=signed.body, headers=headers)
    return answer.status_code


async def scrape(process: Process, site: Site) -> bytes:
    """Read /metrics with the token that the process made."""
    started = process.said("serve.started")
    assert started is not None
    token = (site.folder / "store.db-admin-token").read_text().strip()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{started['admin']}/metrics")).status_code == 401
        answer = await http.get(f"{started['admin']}/metrics", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, token.encode() in answer.content) == (200, False)
    return answer.content


def numbers(text: bytes) -> dict[str, float]:
    """Return the values by name, those with labels summed, but for buckets."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


async def seen_by(process: Process, site: Site) -> tuple[dict[str, float], bytes]:
    """Read /metrics after a moment, as numbers and as it is."""
    await asyncio.sleep(0.1)
    text = await scrape(process, site)
    return numbers(text), text


async def test_a_process_tells_what_it_did(tmp_path: Path) -> None:
    """Callbacks, copies and refusals are counted, and carried to the sink; no token, secret or word of a call is told."""
    site = Site(tmp_path)
    async with serving(site) as process:
        bodies = [
            json.dumps({"id": f"job-{number}", "status": "completed", "transcript": "words of a call"}).encode()
            for number in range(COUNT)
        ]
        assert [await post(process, body) for body in (*bodies, bodies[0])] == [200] * (COUNT + 1)
        assert await post(process, bodies[0], secret="wrong-secret-0123456789") == 401
        await until(lambda: len(site.lines()) == COUNT, "the events")
        async with asyncio.timeout(30):
            seen, text = await seen_by(process, site)
            while seen["hookscribe_attempts_total"] < COUNT or not seen["hookscribe_event_loop_lag_seconds_count"]:
                seen, text = await seen_by(process, site)
    assert seen["hookscribe_receipts_total"] == COUNT + 1
    assert seen["hookscribe_refusals_total"] == 1
    assert seen["hookscribe_normalized_total"] == COUNT
    assert (seen["hookscribe_worker_up"], seen["hookscribe_store_up"]) == (1, 1)
    assert abs(seen["hookscribe_started_seconds"] - time.time()) < 600
    if Path("/proc/self/stat").exists():
        assert seen["process_resident_memory_bytes"] > 1_000_000
    assert [secret for secret in SECRETS if secret in text] == []
