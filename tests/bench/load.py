"""Load for a receiver: signed CallCov callbacks of 1.5 kB, each one different, over many connections.

    python tests/bench/load.py http://127.0.0.1:8080/hooks/callcov --seconds 10 --connections 64

Prints one JSON object: answers by status, rate (accepted a second), and the 50th and 99th percentile in milliseconds.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import uvloop

SECRET = "bench-secret-0123456789abcdef"
_SEGMENT = '{"speaker":"%s","text":"I see the last payment on the fourth, and I will send the corrected bill today.","start":%s,"end":%s}'


def body(serial: str) -> bytes:
    """Return a completed analysis of about 1.5 kB; `serial` makes it another one."""
    segments = ",".join(_SEGMENT % ("AB"[i % 2], i * 4.5, i * 4.5 + 4.0) for i in range(8))
    return (
        f'{{"id":"{serial}","object":"analysis","created":1768219200,"status":"completed","livemode":false,'
        '"call":{"agent_id":"agent_7","contact_id":"contact_88","duration_ms":36000,"duration_seconds":36.0},'
        f'"transcript":{{"text":"…","segments":[{segments}],"language":"en"}},'
        '"results":{"compliance":{"identity_verification":{"verified":true,"timestamp":1.2,"flagged":false}},'
        '"quality":{},"coaching":{}},"metadata":{"completed_at":"2026-01-12T12:02:11Z","error_message":null}}'
    ).encode()


class Requests:
    """Makes request after request, signed."""

    def __init__(self, url: str, run: str) -> None:
        parts = urlsplit(url)
        self._head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._before, self._after = body("SERIAL").split(b"SERIAL")
        self._run = run
        self._count = 0

    def next(self) -> bytes:
        """Return the next request, whole."""
        self._count += 1
        text = self._before + f"{self._run}-{self._count:09d}".encode() + self._after
        mac = hmac.digest(SECRET.encode(), text, hashlib.sha256).hex()
        return f"{self._head}X-Signature: sha256={mac}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


class Client(asyncio.Protocol):
    """One connection that sends a request as soon as the last one is answered."""

    def __init__(self, make: Callable[[], bytes], statuses: Counter[int], times: list[float]) -> None:
        self._make = make
        self._statuses = statuses
        self._times = times
        self._buffer = b""
        self._sent = 0.0
        self.stopping = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._make())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._times.append(time.perf_counter() - self._sent)
        self._statuses[int(head[9:12])] += 1
        if self.stopping:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def run(url: str, *, seconds: float, connections: int, name: str) -> dict[str, object]:
    """Load `url` for so long, and say how it went."""
    parts = urlsplit(url)
    statuses: Counter[int] = Counter()
    times: list[float] = []
    requests = Requests(url, name)
    loop = asyncio.get_running_loop()
    clients = []
    started = time.perf_counter()
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(requests.next, statuses, times), parts.hostname, parts.port
        )
        clients.append(client)
    await asyncio.sleep(seconds)
    for client in clients:
        client.stopping = True
    await asyncio.wait_for(asyncio.gather(*(client.closed for client in clients)), 30)
    took = time.perf_counter() - started
    times.sort()
    return {
        "statuses": dict(statuses),
        "rate": round(statuses[200] / took, 1),
        "p50_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    name = f"{time.time_ns():x}"
    print(json.dumps(uvloop.run(run(options.url, seconds=options.seconds, connections=options.connections, name=name))))
