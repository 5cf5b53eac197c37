"""A private SQS for tests: moto's server in a process of its own, reached through a proxy; it can be frozen and cut."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiobotocore.session import get_session
from tcp_proxy import TcpProxy, proxied

from handlers.sinks.sqs import Sqs
from receiver.contract.sink import HttpClient, SinkPorts
from receiver.testing.peer import Arrived, Behaviour
from receiver.testing.server import free_port
from receiver.testing.tables import settings_of

SECRET = "canary-secret-0123456789"
_ACCOUNT = "123456789012"


class MotoServer:
    """One process of moto's server."""

    def __init__(self) -> None:
        self.port = free_port()
        launcher = Path(__file__).with_name("moto_launcher.py")
        self.process = subprocess.Popen([sys.executable, str(launcher), str(self.port)], env=_without_coverage())

    def look(self, path: str) -> Any:
        """Get a page of it, as JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return json.load(answer)

    def wait(self) -> None:
        """Wait until it answers."""
        for _ in range(300):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                self.look("/moto-api/data.json")
                return
            time.sleep(0.1)
        raise AssertionError("moto's server did not start")

    def freeze(self) -> None:
        """Stop answering, with every connection left open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.process.send_signal(signal.SIGCONT)


def _without_coverage() -> dict[str, str]:
    """Return the environment without what would measure moto, and without anybody's AWS settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_", "AWS_"))}


@contextlib.contextmanager
def moto() -> Iterator[MotoServer]:
    """Give a server, answering."""
    server = MotoServer()
    try:
        server.wait()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


class Queue:
    """One queue of a server, behind a proxy of its own: the other side of a sink."""

    def __init__(self, server: MotoServer, proxy: TcpProxy, *, fifo: bool) -> None:
        self.server = server
        self.proxy = proxy
        self.fifo = fifo
        self.name = f"q-{uuid.uuid4().hex}" + (".fifo" if fifo else "")
        self.url = f"http://127.0.0.1:{server.port}/{_ACCOUNT}/{self.name}"

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this queue."""
        return {
            "queue_url": self.url,
            "endpoint_url": f"http://127.0.0.1:{self.proxy.port}",
            "region": "us-east-1",
            "access_key_id": "test",
            "secret_access_key": SECRET,
            "timeout": 5.0,
        }

    async def ask(self, operation: str, **given: Any) -> Any:
        """Ask the server itself, past the proxy."""
        async with get_session().create_client(
            "sqs",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.server.port}",
            aws_access_key_id="test",
            aws_secret_access_key=SECRET,
        ) as client:
            return await getattr(client, operation)(**given)

    async def make(self, **attributes: str) -> None:
        """Create the queue."""
        fifo = {"FifoQueue": "true"} if self.fifo else {}
        await self.ask("create_queue", QueueName=self.name, Attributes={**fifo, **attributes})

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        if how is Behaviour.GONE:
            await self.proxy.stop()
        elif how is Behaviour.HANGS:
            self.proxy.freeze()
        elif how is Behaviour.REFUSES:
            await self.limit(1024)
        elif how is Behaviour.LATER:
            await self.ask("delete_queue", QueueUrl=self.url)
        else:
            await self.proxy.start()
            with contextlib.suppress(Exception):
                await self.make()
            await self.limit(1024 * 1024)

    async def limit(self, size: int) -> None:
        """Have the queue take messages of at most so many bytes."""
        await self.ask("set_queue_attributes", QueueUrl=self.url, Attributes={"MaximumMessageSize": str(size)})

    async def waiting(self) -> list[dict[str, Any]]:
        """Return what the queue holds."""
        found: list[dict[str, Any]] = await asyncio.to_thread(self.server.look, f"/waiting/{self.name}")
        return found

    async def arrived(self) -> Sequence[Arrived]:
        """Return the messages, in their order."""
        bodies = [one["body"].encode() for one in await self.waiting()]
        return [Arrived(raw=body, event=body) for body in bodies]


@contextlib.asynccontextmanager
async def queue(server: MotoServer, *, fifo: bool = True) -> AsyncIterator[Queue]:
    """Give a new queue."""
    async with proxied(server.port) as proxy:
        made = Queue(server, proxy, fifo=fifo)
        await made.make()
        yield made


@contextlib.asynccontextmanager
async def sending(peer: Queue, http: HttpClient | None = None, **settings: Any) -> AsyncIterator[Sqs]:
    """Give a sink for a queue, and close it; a setting that is None is left out."""
    table = {"kind": "sqs", **peer.settings(), **settings}
    table = {name: value for name, value in table.items() if value is not None}
    sink = Sqs("queue", settings_of(Sqs.Settings, table), SinkPorts(http=http, links=None, now=time.time))  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        await sink.close()
