"""Canaries: secrets and words of calls are planted everywhere, and appear in nothing that is written to be read."""

import asyncio
import base64
import contextlib
import json
import os
import re
import resource
import socket
import sqlite3
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from handlers.providers.callcov import CallCov, CallCovSettings
from receiver.contract.proof import SignatureSettings
from receiver.contract.provider import SignedRequest
from receiver.contract.settings import Secret
from receiver.store.ids import encode
from system.hostile_harness import HOOKSCRIBE, ROOT, Serve, http, serving, talk, until

pytestmark = pytest.mark.system

CANARY = "kanari"
ENV = {"CANARY_ENV": f"from-env-{CANARY}-0123456789"}
DEAD = "SELECT count(DISTINCT sink) FROM deliveries WHERE state = 'dead'"
WHSEC = "whsec_" + (CANARY * 8)[:44].replace("=", "")
TOKENS = {name: f"token-{CANARY}-{name}-0123456789" for name in ("callcov", "invox", "ringcentral", "leaky")}
SIGNATURE = SignatureSettings(header="X-Signature", prefix="sha256=")
CALLCOV = CallCov(
    "callcov",
    CallCovSettings(
        provider="callcov",
        secrets=(Secret(f"secret-{CANARY}-0123456789"),),
        signature=SIGNATURE,
        token=(Secret(TOKENS["callcov"]),),
    ),
)
IMPATIENT = (
    sys.executable,
    "-c",
    "from receiver import cli; from receiver.store.sqlite import engine; engine.PRAGMAS['busy_timeout'] = '300'; cli.main()",
)
PRINTS_CONTENT = {
    "receipts ID --body": "SELECT max(id) FROM receipts WHERE source = 'invox'",
    "transcripts ID": "SELECT max(id) FROM transcripts WHERE source = 'invox' AND status = 'completed'",
    "events ID --json": "SELECT max(id) FROM events WHERE source = 'invox' AND type = 'transcript.completed'",
}
"""Commands that print what was said, for whoever asks for it by name, with what to ask for; `quarantine show --body` too.

They are what the others are told from: there the canary is seen.
"""


def _config(style: str, port: int, peer: int) -> str:
    dead = "retry = [0, 0.1]\ntimeout = 2.0\n"
    return f"""
store = "sqlite:store.db"
admin_token = "admin-{CANARY}-0123456789"
log = "{style}"
log_level = "debug"
grace = 2.0
public_url = "http://127.0.0.1:{port}"
[listen]
public = "127.0.0.1:{port}"
admin = "127.0.0.1:0"
[limits]
body_timeout = 1.0
[sources.callcov]
provider = "callcov"
token = "{TOKENS["callcov"]}"
secrets = ["secret-{CANARY}-0123456789", "${{CANARY_ENV}}"]
signature = {{ header = "X-Signature", prefix = "sha256=" }}
[sources.invox]
provider = "invox"
token = ["{TOKENS["invox"]}", "second-{CANARY}-0123456789"]
webhook_api_key = "api-key-{CANARY}-0123456789"
webhook_secret_key = "secret-key-{CANARY}-0123456789"
api_key = "ai-key-{CANARY}-0123456789"
[sources.ringcentral]
provider = "ringcentral"
token = "{TOKENS["ringcentral"]}"
[sources.leaky]
provider = "leaky"
token = "{TOKENS["leaky"]}"
secret = "leaky-{CANARY}-0123456789"
[sinks.archive]
kind = "jsonl"
path = "events.jsonl"
[sinks.dead]
kind = "webhook"
url = "http://127.0.0.1:1/{CANARY}?token={CANARY}"
allow_private = true
secrets = ["{WHSEC}"]
headers = {{ Authorization = "Bearer {CANARY}-0123456789", X-Key = "${{CANARY_ENV}}" }}
{dead}
[sinks.userinfo]
kind = "webhook"
url = "http://{CANARY}:{CANARY}@127.0.0.1:{peer}/{CANARY}"
allow_private = true
{dead}
[sinks.unresolved]
kind = "webhook"
url = "https://name.invalid/{CANARY}"
{dead}
[sinks.refusing]
kind = "slack"
url = "http://127.0.0.1:{peer}/services/{CANARY}"
allow_private = true
include_text = true
{dead}
[sinks.queue]
kind = "nats"
servers = ["nats://127.0.0.1:1"]
subject = "calls"
token = "nats-{CANARY}-0123456789"
timeout = 1.0
[sinks.leaky]
kind = "leaky"
url = "http://host/{CANARY}"
{dead}
[sinks.closed]
kind = "leaky"
url = "http://host/{CANARY}"
fails = "open"
"""


def _plugins(folder: Path) -> dict[str, str]:
    """Install the careless plugins for one process; return its environment."""
    info = folder / "site" / "canary-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: canary\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[hookscribe.providers]\nleaky = system.canary_plugins:LeakyProvider\n"
        "[hookscribe.sinks]\nleaky = system.canary_plugins:LeakySink\n"
    )
    return {**ENV, "PYTHONPATH": os.pathsep.join(map(str, (folder / "site", ROOT / "tests", ROOT)))}


_NAMES = frozenset(
    {
        "id",
        "object",
        "status",
        "jobId",
        "api",
        "requestId",
        "created",
        "creationTime",
        "completionTime",
        "language",
        "agent_id",
        "contact_id",
    }
)


def _spoken(value: Any, key: str = "") -> Any:
    """Put a canary into every text but names and times."""
    if isinstance(value, dict):
        return {name: _spoken(item, name) for name, item in value.items()} | {f"{CANARY}-member": CANARY}
    if isinstance(value, list):
        return [_spoken(item, key) for item in value]
    return f"{CANARY} {value}" if isinstance(value, str) and key not in _NAMES else value


def _requests() -> Iterator[bytes]:
    """Yield callbacks that are kept, read or not, and requests that are refused, canaries in all of them."""
    headers = (
        (b"authorization", f"Bearer {CANARY}".encode()),
        (b"x-api-key", CANARY.encode()),
        (b"verification-token", CANARY.encode()),
        (b"cookie", CANARY.encode()),
    )

    def to(source: str, body: bytes, token: str | None = None) -> bytes:
        return http(source, SignedRequest(token=token or TOKENS[source], headers=headers, body=body), close=True)

    bodies = {}
    for source, case in (("callcov", "completed"), ("invox", "two-speakers"), ("ringcentral", "interaction")):
        original = json.loads((ROOT / "fixtures" / source / case / "body").read_bytes())
        bodies[source] = json.dumps(_spoken(original)).encode()
    signed = CALLCOV.sign(bodies["callcov"], time.time())
    signed = msgspec.structs.replace(signed, headers=(*signed.headers, *headers))
    yield from [http("callcov", signed, close=True)] * 2
    large = CALLCOV.sign(
        json.dumps(_spoken(json.loads(CALLCOV.fresh(bodies["callcov"], "x", 600_000)))).encode(), time.time()
    )
    yield http("callcov", large, close=True)
    for wrong in (
        {"id": "a", "status": {CANARY: CANARY}}, {"id": "b", "status": "odd"}, {"id": {CANARY: 1}, "status": "completed"},
        {"id": "c", "status": "completed", "transcript": CANARY, "results": CANARY, "call": CANARY, "audio": [CANARY]},
        {"id": "d", "status": "failed", "error": CANARY}, [CANARY], CANARY,
    ):  # fmt: skip
        yield http("callcov", CALLCOV.sign(json.dumps(wrong).encode(), time.time()), close=True)
    yield to("callcov", signed.body)
    yield http("callcov", msgspec.structs.replace(signed, body=signed.body + b" "), close=True)
    yield http("callcov", msgspec.structs.replace(signed, token=f"wrong-{CANARY}"), close=True)
    for source in ("invox", "ringcentral"):
        yield to(source, bodies[source])
        yield to(source, bodies[source], f"wrong-{CANARY}")
        yield to(source, f"{CANARY} no json".encode())
        yield to(source, b'{"%b": ' % CANARY.encode() * 3)
        yield to(
            source,
            json.dumps(
                {
                    "requestId": "r",
                    "jobId": "j",
                    "status": "odd",
                    "transcription": CANARY,
                    "response": CANARY,
                    "api": CANARY,
                }
            ).encode(),
        )
        yield to(source, json.dumps({"requestId": CANARY * 100, "transcription": [CANARY, {CANARY: CANARY}]}).encode())
    for body in ("plain", "in-proof", "in-key", "x" * 300_000):
        yield to("leaky", f"{CANARY} {body}".encode())
    yield f"POST /hooks/{CANARY}/{CANARY} HTTP/1.1\r\nHost: {CANARY}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
    yield f"GET /{CANARY}?{CANARY} HTTP/1.1\r\nHost: {CANARY}\r\nConnection: close\r\n\r\n".encode()
    yield f"{CANARY} {CANARY} {CANARY}\r\n{CANARY}\r\n\r\n".encode()
    yield f"POST /hooks/callcov HTTP/1.1\r\nHost: x\r\n{CANARY}\x00: {CANARY}\r\n\r\n{CANARY}".encode()
    yield f"POST /hooks/callcov HTTP/1.1\r\nHost: x\r\nUpgrade: {CANARY}\r\nConnection: Upgrade, close\r\n\r\n{CANARY}".encode()
    yield f"POST /hooks/callcov/{CANARY} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{CANARY}".encode()
    yield (
        f"POST /hooks/ringcentral/{TOKENS['ringcentral']} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {40 << 20}\r\n\r\n".encode()
        + CANARY.encode() * (7 << 20)
    )


def _admin_requests() -> Iterator[bytes]:
    for path in (
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
        f"/{CANARY}",
        "/api/v1/receipts/nothing",
        f"/login?code={CANARY}",
        f"/api/v1/events?cursor={CANARY}",
    ):
        for header in (
            "X-None: x",
            f"Authorization: Bearer wrong-{CANARY}",
            f"Cookie: session={CANARY}",
            f"Authorization: Bearer admin-{CANARY}-0123456789",
        ):
            yield f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{header}\r\n\r\n".encode()


@contextlib.asynccontextmanager
async def _peer() -> AsyncIterator[int]:
    """A server that answers everything with 500 and a canary."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 500 {CANARY}\r\nX-Note: {CANARY}\r\nContent-Length: 6\r\nConnection: close\r\n\r\n{CANARY}".encode()
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _disguises() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """Yield the canary as it is, in hex, and in Base64 at each of its three places."""
    yield "as it is", re.compile(CANARY.encode(), re.IGNORECASE)
    yield "in hex", re.compile(CANARY.encode().hex().encode(), re.IGNORECASE)
    for place in range(3):
        encoded = base64.b64encode(b"\0" * place + CANARY.encode()).rstrip(b"=")
        yield f"in Base64, {place}", re.compile(re.escape(encoded[place + 1 : -1]))


_DISGUISES = tuple(_disguises())


def _leaks(name: str, text: bytes) -> list[str]:
    """Return where a canary is seen in something that was written."""
    found = []
    for how, pattern in _DISGUISES:
        for match in pattern.finditer(text):
            around = text[max(0, match.start() - 150) : match.end() + 60]
            found.append(f"{name}: {how}: {around!r}")
    return found


async def _run(serve: Serve, env: dict[str, str], *arguments: str) -> bytes:
    """Run a command beside the server; return everything that it wrote."""
    process = await asyncio.create_subprocess_exec(
        HOOKSCRIBE, *arguments, cwd=serve.folder, env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    written, _ = await process.communicate()
    assert b"Traceback" not in written, (arguments, written[-2000:])
    return written


def _titles(pid: int) -> bytes:
    """Return the command lines of a process and of its children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = " ".join((task / "children").read_text() for task in tasks).split()
    found = [Path(f"/proc/{one}/cmdline") for one in (str(pid), *children)]
    return b"\n".join(path.read_bytes() for path in found if path.exists())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("style", ["json", "text"])
async def test_nothing_of_it_is_written(tmp_path: Path, style: Literal["json", "text"]) -> None:
    """Log in both styles, answers, metrics, process titles and the output of every command are free of canaries."""
    env = _plugins(tmp_path)
    async with _peer() as peer:
        with serving(tmp_path, _config(style, _free_port(), peer), command=IMPATIENT, env=env) as serve:
            admin = int(serve.admin.rpartition(":")[2].rstrip("/"))
            written: dict[str, bytes] = {}
            for number, request in enumerate(_requests()):
                written[f"answer {number}"] = await talk(serve.port, request, wait=3)
            with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                body = json.dumps({"id": "locked", "status": "completed", "transcript": CANARY}).encode()
                locked = await talk(serve.port, http("callcov", CALLCOV.sign(body, time.time()), close=True))
                assert b" 503 " in locked
                other.execute("ROLLBACK")
            for number, request in enumerate(_admin_requests()):
                written[f"admin {number}"] = await talk(admin, request, wait=3)
            _broken_store(serve)
            await until(lambda: serve.rows("SELECT count(*) FROM receipts WHERE state = 'received'") == [(0,)])
            await until(lambda: serve.rows(DEAD)[0][0] >= 2)
            written["titles"] = _titles(serve.process.pid)
            if style == "json":
                written |= await _commands(serve, env)
            states = dict(serve.rows("SELECT state, count(*) FROM receipts GROUP BY 1"))
        written["log"] = serve.log.encode()
    assert states["normalized"] >= 4
    assert states["unreadable"] >= 8
    assert b"normalize.raised" in written["log"]
    assert b"delivery.dead" in written["log"]
    assert len(written["log"]) > 10_000
    leaks = [leak for name, text in written.items() for leak in _leaks(name, text)]
    assert not leaks, "\n".join(leaks[:20])


def _broken_store(serve: Serve) -> None:
    """Let no file grow for a moment, so that whatever writes fails."""
    before = resource.prlimit(serve.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    time.sleep(0.3)
    resource.prlimit(serve.process.pid, resource.RLIMIT_FSIZE, before)


async def _commands(serve: Serve, env: dict[str, str]) -> dict[str, bytes]:
    """Run every command but those of PRINTS_CONTENT; return what each wrote."""

    def ids(query: str, prefix: str) -> list[str]:
        return [encode(prefix, row[0]) for row in serve.rows(query)]

    receipts = ids("SELECT min(id) FROM receipts GROUP BY source, state", "rcp_")
    dead = ids("SELECT min(id) FROM deliveries GROUP BY sink, state", "dlv_")
    listed = [json.loads(line) for line in (await _run(serve, env, "quarantine", "list", "--json")).splitlines()]
    refused = list({one["reason"]: one["id"] for one in listed}.values())
    (serve.folder / "body").write_bytes(CANARY.encode())
    lines = [
        "config", "config --json", "config --reference", "doctor", "doctor --json", "migrate", "keygen", "keygen webhook --json",
        "quarantine list", *(f"quarantine show {one}" for one in refused), f"quarantine show {refused[0]} --json",
        f"verify {' '.join(refused)}", f"verify --json {' '.join(refused)}", f"verify {refused[0]} --token wrong-{CANARY}",
        f"verify --source callcov --body body --header X-Signature:{CANARY} --token {CANARY}", "verify --admit --all",
        "receipts", "receipts --json", *(f"receipts {one}" for one in receipts), f"receipts {receipts[0]} --json", f"verify {receipts[0]}",
        "deliveries", "deliveries --json", *(f"deliveries {one}" for one in dead), f"deliveries {dead[0]} --json",
        "sinks", "sinks --json", "sinks dead", "events", "transcripts", "calls", "simulate --list", "simulate ringcentral completed", "simulate callcov large",
        f"replay {dead[0]}", f"discard {dead[0]}", "demo --help", "dev --help",
        f"receipts {CANARY[:0]}rcp_none", "quarantine show qrn_none", "transcripts trn_none",
    ]  # fmt: skip
    found: dict[str, bytes] = {}
    gate = asyncio.Semaphore(3)

    async def run(line: str) -> None:
        async with gate:
            found[line] = await _run(serve, env, *line.split())

    await asyncio.gather(*(run(line) for line in lines))
    for (line, query), prefix in zip(PRINTS_CONTENT.items(), ("rcp_", "trn_", "evt_"), strict=True):
        (one,) = ids(query, prefix)
        assert _leaks(line, await _run(serve, env, *line.replace("ID", one).split())), line
    for name, command in (await _broken_configs(serve.folder)).items():
        found[name] = await _run(serve, env, "--config", command, "config")
        assert b"hookscribe" in found[name].lower() or b"Error" in found[name]
    return found


async def _broken_configs(folder: Path) -> dict[str, str]:
    """Write configurations that are wrong beside a secret, or in one."""
    whole = (folder / "hookscribe.toml").read_text()
    token = f'admin_token = "admin-{CANARY}-0123456789"'
    wrongs = {
        "short": whole.replace(token, f'admin_token = "{CANARY}"'),
        "of two": whole.replace(token, f'admin_token = ["{CANARY}-0123456789"]'),
        "spaces": whole.replace(token, f'admin_token = "{CANARY} {CANARY} 0123456789"'),
        "no url": whole.replace(f"http://127.0.0.1:1/{CANARY}", f"{CANARY} {CANARY}"),
        "no key": whole.replace(WHSEC, f"{CANARY}-no-key"),
        "no port": whole.replace("127.0.0.1:1/", "127.0.0.1:99999999/"),
        "header": whole.replace(f"Bearer {CANARY}-0123456789", f"Bearer\\n{CANARY}"),
        "store": whole.replace("sqlite:store.db", f"mysql://{CANARY}:{CANARY}@host/db"),
        "password": whole.replace("sqlite:store.db", f"postgresql://{CANARY}:{CANARY}@host/db"),
        "credentials": whole.replace("nats://", f"nats://{CANARY}:{CANARY}@"),
        "no toml": whole.replace(token, f'admin_token = "admin-{CANARY}'),
        "number": whole.replace(f'secret = "leaky-{CANARY}-0123456789"', "secret = 1"),
        "missing": whole.replace("${CANARY_ENV}", "${CANARY_MISSING}"),
    }
    found = {}
    for name, text in wrongs.items():
        assert text != whole, name
        path = folder / f"{urllib.parse.quote(name)}.toml"
        path.write_text(text)
        found[f"wrong: {name}"] = path.name
    return found
