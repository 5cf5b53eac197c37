"""`hookscribe demo`: everything arrives everywhere, or what is missing is said; nothing stays behind."""

import asyncio
import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import nats_server
import pytest
from programs import run, running
from standardwebhooks.webhooks import Webhook

from handlers.providers.ringcentral import RingCentral
from receiver.contract.webhooks import generate
from receiver.demo.outcome import Became, faults
from receiver.demo.peers import Peers, WebhookReceiver
from receiver.demo.queue import Queue, queue
from receiver.demo.run import Answered, Setting
from receiver.demo.sources import Callback, Prepared, prepare, promised
from receiver.registry import Registry, discover
from receiver.testing.server import free_port

NOWHERE = "nats://127.0.0.1:9"


def test_once_delivers_everything_everywhere(tmp_path: Path) -> None:
    """Every event arrives in every sink, within seconds; nothing is left behind, no error is printed."""
    started = time.monotonic()
    done = run("demo", "--once", "--nats", NOWHERE, cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert time.monotonic() - started < 20
    assert [*tmp_path.iterdir()] == []
    events = re.search(r"All (\d+) events arrived in all 4 sinks", done.stdout)
    assert events is not None
    assert len(re.findall(rf"^  \w+ +{events[1]} of {events[1]} events", done.stdout, re.MULTILINE)) == 4
    assert "queue    not shown: no NATS server with JetStream answers at 127.0.0.1:9" in done.stdout
    for provider in discover().providers:
        assert re.search(rf"^{provider}\S* +\S+ +200 accepted +\w+\.completed trn_\w+", done.stdout, re.MULTILINE)
        assert re.search(rf"^{provider}\S* +\S+ \(again\) +200 duplicate +no second event", done.stdout, re.MULTILINE)


@pytest.mark.skipif(nats_server.binary() is None, reason=nats_server.MISSING)
async def test_nats_gets_a_stream_that_is_removed(tmp_path: Path) -> None:
    """Where NATS runs, it is one sink more; its stream is gone afterwards."""
    async with nats_server.server() as server:
        done = await asyncio.to_thread(run, "demo", "--once", "--nats", server.url, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "arrived in all 5 sinks" in done.stdout
        async with nats_server.Jet(server.url) as jet:
            assert await jet.streams_info() == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Too little time is a failure, with what has not arrived where; here Slack is as slow as it is in truth."""
    arguments = ["demo", "--once", "--nats", NOWHERE, "--patience", "0.2"]
    slow = (
        f"import receiver.demo.run as run; run.SLACK_RATE = 1.0; from receiver import cli; exit(cli.run({arguments}))"
    )
    done = subprocess.run([sys.executable, "-c", slow], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NOT everything is as it should be:" in done.stdout
    assert "after 0.2 seconds not everything was normalized and delivered" in done.stdout
    assert re.search(r"^  slack: \d+ of \d+ events arrived", done.stdout, re.MULTILINE)


def test_it_stays_until_ctrl_c(tmp_path: Path) -> None:
    """Without --once the page can be opened with the link shown; Ctrl-C ends it, and takes everything along."""
    with running("demo", "--nats", NOWHERE, cwd=tmp_path, TMPDIR=str(tmp_path)) as program:
        link = program.until("Page  ").split()[1]
        program.until("Ctrl-C")
        assert (next(tmp_path.glob("hookscribe-demo-*")) / "events.jsonl").stat().st_size
        with httpx.Client(trust_env=False, follow_redirects=True) as client:
            assert client.get(link.partition("/login")[0] + "/").url.path == "/login"
            page = client.get(link)
            assert (page.status_code, page.url.path) == (200, "/")
        assert program.stop() == 0
    assert [*tmp_path.iterdir()] == []
    assert "Traceback" not in program.output


def test_every_provider_has_its_strongest_proof() -> None:
    """Each way of proof is a source with secrets of its own; recorded secrets are not used again."""
    prepared = prepare(discover(), time.time())
    assert prepared.left_out == []
    assert "hmac" in prepared.proofs["callcov-signature"]
    assert prepared.tables["invox-signature"]["callback_signature"] == "required"
    assert prepared.tables["ringcentral"]["token"]
    assert "fixture" not in json.dumps(prepared.tables)
    again = prepare(discover(), time.time())
    assert again.tables["ringcentral"] != prepared.tables["ringcentral"]


class Bare(RingCentral):
    """A provider that brings no cases."""

    name = "bare"


class Broken(RingCentral):
    """A provider that refuses what it signs."""

    def sign(self, body: bytes, now: float) -> Any:
        return msgspec.structs.replace(super().sign(body, now), token="somebody-else-0123456789", headers=())


def test_providers_that_cannot_be_shown_are_left_out() -> None:
    """One without cases, one whose own settings do not prove: said, and the others go on."""
    prepared = prepare(Registry({"bare": Bare, "broken": Broken, "ringcentral": RingCentral}, {}), time.time())
    assert prepared.left_out == ["bare: brings no recorded callbacks", "broken: HookscribeError"]
    assert list(prepared.tables) == ["ringcentral"]


def test_what_is_promised_is_counted_by_itself() -> None:
    """Results count once for each job, notices and unreadable callbacks each; progress does not."""
    result = {"result": {"operation": "o", "job_id": "1"}}
    expected: list[dict[str, Any]] = [
        {"outcomes": [result, {"notice": {}}, {"progress": {}}]},
        {"outcomes": [result]},
        {"unreadable": "why"},
    ]
    assert promised([_callback(one) for one in expected]) == 3


def _callback(expected: dict[str, Any]) -> Callback:
    request = RingCentral("s", _settings()).sign(b"{}", 0)
    return Callback(source="s", case="c", request=request, expected=expected)


def _settings() -> Any:
    return RingCentral.Settings(provider="ringcentral")


def test_the_verifier_agrees_with_the_library() -> None:
    """The demo's receiver takes what the standardwebhooks package signs, and nothing that is changed, late or unsigned."""
    secret = generate().secret.value
    verifier, now, body = WebhookReceiver(secret), int(time.time()), '{"id":"evt_1"}'
    signature = Webhook(secret).sign("msg_1", _moment(now), body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": f"v1,AAAA {signature}"}
    assert verifier.verified(headers, body.encode(), now)
    assert not verifier.verified(headers, b"{}", now)
    assert not verifier.verified({**headers, "webhook-id": "msg_2"}, body.encode(), now)
    assert not verifier.verified(headers, body.encode(), now + 301)
    assert not verifier.verified({**headers, "webhook-timestamp": "soon"}, body.encode(), now)
    assert not verifier.verified({"webhook-timestamp": str(now)}, body.encode(), now)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def test_the_peer_refuses_what_is_not_signed() -> None:
    """An unsigned delivery is answered 401, and not counted as arrived."""
    async with Peers(generate().secret.value, 25, "http://x").running() as peers, httpx.AsyncClient() as client:
        assert (await client.post(peers.webhook_url, content=b'{"id":"evt_1"}')).status_code == 401
        assert (await client.get(peers.webhook_url)).status_code == 405
    assert (peers.webhook.ids, peers.webhook.refused) == (set(), 1)


async def test_no_nats_is_no_queue() -> None:
    """Where nothing answers, it is said and nothing raised."""
    async with queue(f"nats://127.0.0.1:{free_port()}") as none:
        assert "no NATS server" in none.why_not
        assert await none.ids() == set()


async def test_no_library_is_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nats-py the demo runs all the same."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    async with queue() as none:
        assert "pip install 'nats-py[nkeys]'" in none.why_not


def test_everything_wrong_is_found(tmp_path: Path) -> None:
    """Answers, counts, live text and missing events each have their line; long lists are cut."""
    setting = Setting.make(tmp_path, Prepared(callbacks=[_callback({"unreadable": "x"})]), Queue("none"))
    setting.peers.slack.alive.append("<!channel>")
    events = {f"evt_{number:02}": "transcript.completed" for number in range(12)}
    state = Became(
        events=events, of_receipt={}, expected=1, new=2, delivered={}, troubles={"file": "No space left on device"}
    )
    answers = [
        Answered(callback=_callback({}), status=401, word="not proven", receipt=None),
        Answered(callback=_callback({}), status=200, word="accepted", receipt=None, again=True),
        Answered(callback=_callback({}), status=200, word="duplicate", receipt=None, again=True),
    ]
    wrong = faults(answers, setting, state, {"file": {"evt_00"}, "slack": 3, "webhook": set(events)})
    assert wrong[:7] == [
        "s c: answered 401 not proven",
        "s c: answered 200 accepted",
        "1 events should follow from the receipts, and there are 12",
        "the recorded cases promise 1 events, and 2 came of them",
        "slack: 1 texts are not inert",
        "file: 1 of 12 events arrived (No space left on device)",
        "  evt_01 transcript.completed",
    ]
    assert wrong[-2:] == ["  and 1 more", "slack: 3 of 12 events arrived"]
