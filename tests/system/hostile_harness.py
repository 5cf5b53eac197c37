"""A real `hookscribe serve`, raw sockets to it, genuine senders that keep time, and what to read afterwards.

Run as a program, it sends genuine callbacks: `python -m system.hostile_harness PORT NAME COUNT PAUSE`.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from handlers.providers.callcov import CallCov, CallCovSettings
from handlers.providers.invox import Invox, InvoxSettings
from handlers.providers.ringcentral import RingCentral, RingCentralSettings
from receiver.contract.proof import SignatureSettings
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret

ROOT = Path(__file__).parents[2]
HOOKSCRIBE = str(Path(sys.executable).with_name("hookscribe"))

SIGNED, REQUIRED, ADVISED, BY_TOKEN = "callcov", "invox-required", "invox-advised", "ringcentral"
TOKENS = {name: f"token-of-{name}-0123456789abcdef" for name in (REQUIRED, ADVISED, BY_TOKEN)}
SECRET = "secret-of-callcov-0123456789abcdef"
API_KEY, SECRET_KEY = "organization-api-key-0123456789", "organization-secret-key-0123456789"
HEADER, PREFIX = "X-Signature", "sha256="

CONFIG = f"""
store = "sqlite:store.db"
log = "json"
log_level = "debug"
grace = 2.0
[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[sources.{SIGNED}]
provider = "callcov"
secrets = ["{SECRET}"]
signature = {{ header = "{HEADER}", prefix = "{PREFIX}" }}
[sources.{REQUIRED}]
provider = "invox"
token = "{TOKENS[REQUIRED]}"
webhook_api_key = "{API_KEY}"
webhook_secret_key = "{SECRET_KEY}"
callback_signature = "required"
[sources.{ADVISED}]
provider = "invox"
token = "{TOKENS[ADVISED]}"
webhook_api_key = "{API_KEY}"
webhook_secret_key = "{SECRET_KEY}"
[sources.{BY_TOKEN}]
provider = "ringcentral"
token = "{TOKENS[BY_TOKEN]}"
[sinks.archive]
kind = "jsonl"
path = "events.jsonl"
"""


def _invox(name: str, **more: Any) -> Invox:
    keys: dict[str, Any] = {"webhook_api_key": (Secret(API_KEY),), "webhook_secret_key": (Secret(SECRET_KEY),)}
    return Invox(name, InvoxSettings(provider="invox", token=(Secret(TOKENS[name]),), **keys, **more))


PROVIDERS: dict[str, Provider[Any]] = {
    SIGNED: CallCov(
        SIGNED,
        CallCovSettings(
            provider="callcov",
            secrets=(Secret(SECRET),),
            signature=SignatureSettings(header=HEADER, prefix=PREFIX),
        ),
    ),
    REQUIRED: _invox(REQUIRED, callback_signature="required"),
    ADVISED: _invox(ADVISED),
    BY_TOKEN: RingCentral(BY_TOKEN, RingCentralSettings(provider="ringcentral", token=(Secret(TOKENS[BY_TOKEN]),))),
}
_BODIES = {
    SIGNED: "callcov/completed",
    REQUIRED: "invox/two-speakers",
    ADVISED: "invox/two-speakers",
    BY_TOKEN: "ringcentral/interaction",
}


def genuine(source: str, serial: str, grow_to: int = 0) -> SignedRequest:
    """Return a callback as the source's provider would send it, another one for each serial."""
    provider = PROVIDERS[source]
    body = (ROOT / "fixtures" / _BODIES[source] / "body").read_bytes()
    return provider.sign(provider.fresh(body, serial, grow_to), time.time())


def http(source: str, request: SignedRequest, *, close: bool = False) -> bytes:
    """Return a signed request as the bytes of HTTP/1.1."""
    path = f"/hooks/{source}" + (f"/{request.token}" if request.token else "")
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: localhost", b"Content-Length: %d" % len(request.body)]
    lines += [name + b": " + value for name, value in request.headers]
    lines += [b"Connection: close"] * close
    return b"\r\n".join([*lines, b"", request.body])


class Serve:
    """A running `hookscribe serve`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.port = 0
        self.admin = ""

    @property
    def log(self) -> str:
        """Everything that it wrote so far."""
        return (self.folder / "serve.log").read_text("utf-8", "replace")

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of its log, JSON each."""
        return [json.loads(line) for line in self.log.splitlines()]

    def status(self, name: str) -> int:
        """Return a number of /proc/PID/status: VmRSS and VmHWM are in KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])

    def descriptors(self) -> list[str]:
        """Return what its open file descriptors are."""
        found = []
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(str(entry.readlink()))
        return found

    def sockets(self) -> int:
        """Return how many sockets it has open."""
        return len([one for one in self.descriptors() if one.startswith("socket:")])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask its store."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'store.db'}?mode=ro", uri=True)) as store:
            return store.execute(query).fetchall()

    def assert_quiet(self) -> None:
        """Fail where the log holds a traceback, or an error that nobody planted."""
        lines = self.lines()
        assert not [line for line in lines if line["level"] in ("error", "critical") or "exception" in line]
        assert "Traceback" not in self.log


@contextlib.contextmanager
def serving(
    folder: Path,
    config: str = CONFIG,
    *,
    limits: str = "",
    command: Sequence[str] = (HOOKSCRIBE,),
    env: Mapping[str, str] | None = None,
) -> Iterator[Serve]:
    """Run `hookscribe serve` in a folder until the block ends; it must then stop by itself, with exit code 0."""
    (folder / "hookscribe.toml").write_text(f"{config}\n[limits]\n{limits}\n" if limits else config)
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "serve"], cwd=folder, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
    serve = Serve(folder, process)
    try:
        _wait_for_start(serve)
        yield serve
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, serve.log[-2000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


_STARTED = re.compile(r'serve\.started.*public"?[=:]"?http://[^" ]+:(\d+)"?.*admin"?[=:]"?(http[^" ]+)')


def _wait_for_start(serve: Serve) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if found := _STARTED.search(serve.log):
            serve.port, serve.admin = int(found[1]), found[2]
            return
        assert serve.process.poll() is None, serve.log[-3000:]
        time.sleep(0.05)
    raise AssertionError(serve.log[-3000:])


class Answer(msgspec.Struct, frozen=True):
    """One answer: status, its headers but the date, body."""

    status: int
    headers: tuple[str, ...]
    body: bytes


def answers(raw: bytes) -> list[Answer]:
    """Read the whole answers in what came over a connection; interim ones are left out."""
    found: list[Answer] = []
    while True:
        head, whole, rest = raw.partition(b"\r\n\r\n")
        if not whole:
            return found
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        if status < 200:
            raw = rest
            continue
        headers = tuple(sorted(line for line in lines if not line.lower().startswith("date:")))
        size = next((int(line.partition(":")[2]) for line in headers if line.startswith("content-length:")), 0)
        if len(rest) < size:
            return found
        found.append(Answer(status, headers, rest[:size]))
        raw = rest[size:]


async def talk(port: int, *parts: bytes, wait: float = 10.0, half_close: bool = False, pause: float = 0.0) -> bytes:
    """Send parts over a connection of their own; return what comes back until the server closes, or `wait` is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = asyncio.create_task(everything(reader))
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(wait):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            if half_close:
                writer.write_eof()
            await asyncio.shield(heard)
    await cut(writer)
    return await heard


async def everything(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other side closes, or resets, the connection."""
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            got += data
    return bytes(got)


async def cut(writer: asyncio.StreamWriter) -> None:
    """Drop a connection."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def ask(port: int, data: bytes, *, wait: float = 10.0) -> Answer:
    """Send a request that ends its connection, and return its answer."""
    raw = await talk(port, data, wait=wait)
    (answer,) = answers(raw)
    return answer


class Flow(msgspec.Struct):
    """How genuine callbacks went: seconds that each took, answers by status, and receipts by id."""

    times: list[float] = []
    statuses: dict[int, int] = {}
    ids: list[str] = []

    @property
    def p99(self) -> float:
        """The 99th percentile, in seconds."""
        return sorted(self.times)[int(len(self.times) * 0.99)]

    def __add__(self, other: "Flow") -> "Flow":
        statuses = dict(Counter(self.statuses) + Counter(other.statuses))
        return Flow(self.times + other.times, statuses, self.ids + other.ids)


async def flow(port: int, name: str, count: int, every: float) -> Flow:
    """Send genuine callbacks one after the other over one connection, one source after the other, from this process."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = Flow()
    statuses: Counter[int] = Counter()
    for number in range(count):
        source = (SIGNED, REQUIRED, ADVISED, BY_TOKEN)[number % 4]
        data = http(source, genuine(source, f"{name}-{number}"))
        started = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
        sent.times.append(time.perf_counter() - started)
        statuses[int(head[9:12])] += 1
        sent.ids.append(json.loads(body).get("id", ""))
        await asyncio.sleep(every)
    await cut(writer)
    sent.statuses = dict(statuses)
    return sent


async def flowing(port: int, name: str, count: int, every: float) -> Flow:
    """Send genuine callbacks from a process of its own, so that what this one does is not in their times."""
    command = (sys.executable, "-m", "system.hostile_harness", str(port), name, str(count), str(every))
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return msgspec.json.decode(told, type=Flow)


async def until(true: Any, seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    _, where, called, how_many, pause = sys.argv
    told = asyncio.run(flow(int(where), called, int(how_many), float(pause)))
    sys.stdout.buffer.write(msgspec.json.encode(told))
