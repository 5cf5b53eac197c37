"""A private redis-server for tests, on a port and an append-only file of its own; it can be frozen, filled and killed."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis.asyncio as client

from handlers.sinks.redis import Redis
from handlers.sinks.redis.settings import RedisSettings
from receiver.contract.settings import Secret
from receiver.contract.sink import SinkPorts
from receiver.testing.server import free_port
from receiver.testing.sink import Arrived, Behaviour

STREAM = "test:events"
MISSING = "redis-server is not installed; with CI set this would fail"


def binary() -> str | None:
    """Return the path of redis-server, if it is installed."""
    return shutil.which("redis-server", path="/usr/sbin:/usr/local/bin:/usr/bin:/bin")


class RedisServer:
    """One redis-server process."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False

    @property
    def url(self) -> str:
        """Return the address to connect to."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and wait until it answers."""
        program = binary()
        assert program
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        async with asyncio.timeout(10):
            while not await self._answers():
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.write(b"PING\r\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line.startswith((b"+PONG", b"-NOAUTH"))

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
        """Kill the process, frozen or not; the file stays."""
        self.frozen = False
        if self.process:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
            self.process = None

    async def ask(self, *command: str | int) -> Any:
        """Ask it something."""
        async with client.Redis.from_url(self.url, protocol=2) as asking:
            return await asking.execute_command(*command)  # type: ignore[no-untyped-call, unused-ignore]

    async def fill(self) -> None:
        """Let it have no memory left: writes are refused."""
        await self.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")

    async def empty(self) -> None:
        """Let it have memory again."""
        await self.ask("CONFIG", "SET", "maxmemory", "0")


class RedisPeer:
    """The other side of the sink: a stream on a private server."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this server."""
        return {"url": self.server.url, "stream": STREAM, "timeout": 5.0}

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        if how is Behaviour.GONE:
            await self.server.stop()
        elif how is Behaviour.HANGS:
            self.server.freeze()
        elif how is Behaviour.LATER:
            await self.server.fill()
        elif self.server.process is None:
            await self.server.start()
        else:
            self.server.thaw()
            await self.server.empty()

    async def arrived(self) -> Sequence[Arrived]:
        """Return what the stream holds."""
        return [Arrived(raw=entry[b"event"], event=entry[b"event"]) for entry in await stored(self.server)]


async def stored(server: RedisServer) -> list[dict[bytes, bytes]]:
    """Return the fields of all entries of the stream, in order."""
    entries = await server.ask("XRANGE", STREAM, "-", "+")
    return [fields for _, fields in entries]


@contextlib.asynccontextmanager
async def server(*options: str) -> AsyncIterator[RedisServer]:
    """Give a private server, running."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        running = RedisServer(Path(folder), *options)
        try:
            await running.start()
            yield running
        finally:
            await running.stop()


def made(url: str, **settings: Any) -> RedisSettings:
    """Return checked settings."""
    result = RedisSettings(**{"kind": "redis", "url": Secret(url), "stream": STREAM, "timeout": 5.0, **settings})
    result.check()
    return result


@contextlib.asynccontextmanager
async def running(url: str, **settings: Any) -> AsyncIterator[Redis]:
    """Give a sink, and close it."""
    sink = Redis("queue", made(url, **settings), SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        async with asyncio.timeout(3):
            await sink.close()
