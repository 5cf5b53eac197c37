"""A private nats-server for tests, on a port and a store of its own; it can be stopped, frozen and started again."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext

from handlers.sinks.nats import Nats
from handlers.sinks.nats.settings import NatsSettings
from receiver.contract.sink import HttpClient, SinkPorts
from receiver.testing.sink import Arrived, Behaviour

STREAM = "TEST"
"""The stream of the sink under test."""


MISSING = "nats-server is not installed; with CI set this would fail"


def binary() -> str | None:
    """Return the path of nats-server, if it is installed."""
    return shutil.which("nats-server", path="/usr/sbin:/usr/local/bin:/usr/bin:/bin")


class NatsServer:
    """One nats-server process."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        self.config = folder / "nats.conf"
        self.config.write_text(f'jetstream {{ store_dir: "{folder}" }}\n{extra}\n')
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False

    @property
    def url(self) -> str:
        """Return the address to connect to."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and wait until it answers."""
        program = binary()
        assert program
        command = [program, "-c", str(self.config), "-a", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        async with asyncio.timeout(10):
            while not await self._answers():
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line.startswith(b"INFO")

    def freeze(self) -> None:
        """Stop answering, with every connection left open."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)
        self.frozen = True

    def thaw(self) -> None:
        """Go on."""
        if self.process and self.frozen:
            self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    async def stop(self) -> None:
        """Kill the process, frozen or not; the store stays."""
        self.frozen = False
        if self.process:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
            self.process = None


class NatsPeer:
    """The other side of the sink: a stream on a private server."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.refusing = False

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this server."""
        return {"servers": [self.server.url], "stream": STREAM, "subject": "test.{type}", "timeout": 5.0}

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        if how is Behaviour.GONE:
            await self.server.stop()
        elif how is Behaviour.HANGS:
            self.server.freeze()
        elif how is Behaviour.REFUSES:
            await self._limits(max_msg_size=10)
        elif how is Behaviour.LATER:
            await self._limits(max_bytes=1)
        else:
            await self._recover()

    async def _recover(self) -> None:
        self.server.thaw()
        if self.server.process is None:
            await self.server.start()
        if self.refusing:
            await self._limits(max_msg_size=-1, max_bytes=-1)

    async def _limits(self, **limits: int) -> None:
        self.refusing = True
        async with Jet(self.server.url) as jet:
            config = (await jet.stream_info(STREAM)).config
            await jet.update_stream(config.evolve(**{"discard": "new", **limits}))

    async def arrived(self) -> Sequence[Arrived]:
        """Return what the stream holds."""
        return [Arrived(raw=data, event=data) for _, data, _ in await stored(self.server.url, STREAM)]


class Jet:
    """A JetStream context for a test, closed at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client()

    async def __aenter__(self) -> JetStreamContext:
        await self.client.connect(self.url, allow_reconnect=False, connect_timeout=2)
        return self.client.jetstream()

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()


async def stored(url: str, stream: str) -> list[tuple[str, bytes, dict[str, str]]]:
    """Return subject, data and headers of all messages of a stream, in order."""
    async with Jet(url) as jet:
        state = (await jet.stream_info(stream)).state
        if not state.messages:
            return []
        messages = [await jet.get_msg(stream, seq=number) for number in range(state.first_seq, state.last_seq + 1)]
        return [(item.subject or "", item.data or b"", dict(item.headers or {})) for item in messages]


async def make(url: str, name: str, *subjects: str) -> None:
    """Create a stream."""
    async with Jet(url) as jet:
        await jet.add_stream(StreamConfig(name=name, subjects=list(subjects)))


@contextlib.asynccontextmanager
async def server(extra: str = "") -> AsyncIterator[NatsServer]:
    """Give a private server, running."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        running = NatsServer(Path(folder), extra)
        try:
            await running.start()
            yield running
        finally:
            await running.stop()


def made(**settings: Any) -> NatsSettings:
    """Return checked settings."""
    result = NatsSettings(**{"kind": "nats", "stream": STREAM, "subject": "test.{type}", "timeout": 5.0, **settings})
    result.check()
    return result


@contextlib.asynccontextmanager
async def running(http: HttpClient | None = None, **settings: Any) -> AsyncIterator[Nats]:
    """Give a sink, and close it."""
    sink = Nats("queue", made(**settings), SinkPorts(http=http, links=None, now=time.time))  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        async with asyncio.timeout(6):
            await sink.close()
