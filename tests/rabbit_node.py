"""RabbitMQ for tests: queues on the broker of this machine behind a proxy, and a private node to restart and to fill."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from tcp_proxy import TcpProxy, proxied

from handlers.sinks.rabbitmq import RabbitMQ
from receiver.contract.sink import HttpClient, SinkPorts
from receiver.testing.peer import Arrived, Behaviour
from receiver.testing.server import free_port
from receiver.testing.tables import settings_of

PORT = 5672
PASSWORD = "guest"
MISSING = "no RabbitMQ at 127.0.0.1:5672 (guest/guest); with CI set this would fail"
_PROGRAMS = "/usr/lib/rabbitmq/bin"
_START = 60.0


def is_there() -> bool:
    """Say whether the broker of this machine answers, or must."""
    if "CI" in os.environ:
        return True
    try:
        with socket.create_connection(("127.0.0.1", PORT), 1):
            return True
    except OSError:
        return False


def program(name: str = "rabbitmq-server") -> str | None:
    """Return the path of one of RabbitMQ's programs, past Debian's wrapper, which changes user."""
    return shutil.which(name, path=_PROGRAMS)


def needs_broker() -> pytest.MarkDecorator:
    """Skip where no broker runs, unless CI is set."""
    return pytest.mark.skipif(not is_there(), reason=MISSING)


def needs_node() -> pytest.MarkDecorator:
    """Skip where RabbitMQ is not installed, or may not be started by us, unless CI is set."""
    missing = "rabbitmq-server is not installed; with CI set this would fail"
    return pytest.mark.skipif(program() is None and "CI" not in os.environ, reason=missing)


@contextlib.asynccontextmanager
async def channel(port: int = PORT) -> AsyncIterator[AbstractChannel]:
    """Give a channel of a connection of its own."""
    connection = await aiormq.connect(f"amqp://guest:{PASSWORD}@127.0.0.1:{port}/")
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def taken(port: int, queue: str) -> list[Any]:
    """Take all messages of a queue, in their order."""
    async with channel(port) as open_channel:
        found = []
        while (message := await open_channel.basic_get(queue, no_ack=True)).delivery.name == "Basic.GetOk":
            found.append(message)
        return found


class Queue:
    """One queue of a broker, behind a proxy: the other side of a sink."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.name = f"hookscribe-{uuid.uuid4().hex}"
        self.full = False
        self.messages: list[Any] = []

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings for this queue."""
        url = f"amqp://guest:{PASSWORD}@127.0.0.1:{self.proxy.port}/"
        return {"url": url, "queue": self.name, "timeout": 5.0}

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        if how is Behaviour.GONE:
            await self.proxy.stop()
        elif how is Behaviour.HANGS:
            self.proxy.freeze()
        elif how is Behaviour.LATER:
            await self.make(**{"x-max-length": 0, "x-overflow": "reject-publish"})
        else:
            await self.proxy.start()
            if self.full:
                await self.make()

    async def make(self, **arguments: Any) -> None:
        """Create the queue, or another one in its place."""
        self.full = bool(arguments)
        async with channel() as broker:
            await broker.queue_delete(self.name)
            await broker.queue_declare(self.name, durable=True, arguments=arguments)

    async def arrived(self) -> Sequence[Arrived]:
        """Return what came, in its order."""
        self.messages += await taken(PORT, self.name)
        return [Arrived(raw=one.body, event=one.body) for one in self.messages]


@contextlib.asynccontextmanager
async def queue() -> AsyncIterator[Queue]:
    """Give a name for a queue of this machine's broker, and delete it in the end."""
    async with proxied(PORT) as proxy:
        made = Queue(proxy)
        yield made
    async with channel() as broker:
        await broker.queue_delete(made.name)


@contextlib.asynccontextmanager
async def sending(settings: Mapping[str, Any], http: HttpClient | None = None) -> AsyncIterator[RabbitMQ]:
    """Give a sink, and close it."""
    checked = settings_of(RabbitMQ.Settings, {"kind": "rabbitmq", **settings})
    sink = RabbitMQ("queue", checked, SinkPorts(http=http, links=None, now=time.time))  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        async with asyncio.timeout(6):
            await sink.close()


class Node:
    """A private node: a process group of its own, in a folder of its own."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.port = free_port()
        self.name = f"hookscribe-{self.port}@localhost"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n{extra}\n")
        (folder / "plugins").write_text("[].")
        (folder / "env").touch()
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    @property
    def url(self) -> str:
        """Return the address to connect to."""
        return f"amqp://guest:{PASSWORD}@127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Start, and wait until it takes connections; where its name is still taken by one just killed, start again."""
        async with asyncio.timeout(_START):
            while not await self._answers():
                if self.process is None or self.process.poll() is not None:
                    self._launch()
                await asyncio.sleep(0.2)

    def _launch(self) -> None:
        server = program()
        assert server
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [server], env=self.environment, start_new_session=True, stdout=output, stderr=output
            )

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        greeted = b""
        with contextlib.suppress(OSError):
            writer.write(b"AMQP\x00\x00\x09\x01")
            greeted = await reader.read(1)
        writer.transport.abort()
        return bool(greeted)

    async def kill(self) -> None:
        """Kill it in the middle of whatever it does; the folder stays."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            await asyncio.to_thread(self.process.wait)
            self.process = None

    async def stop(self) -> None:
        """End it as a service manager does, in the middle of whatever it does; the folder stays."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            await asyncio.to_thread(self.process.wait)
            self.process = None

    async def memory(self, fraction: str) -> None:
        """Set how much memory it may use: next to none, and it blocks every connection that publishes."""
        control = program("rabbitmqctl")
        assert control
        command = [control, "-n", self.name, "set_vm_memory_high_watermark", fraction]
        done = await asyncio.to_thread(subprocess.run, command, env=self.environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


@contextlib.asynccontextmanager
async def node(extra: str = "") -> AsyncIterator[Node]:
    """Give a private node, running."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Node(Path(folder), extra)
        try:
            await made.start()
            yield made
        finally:
            await made.kill()
