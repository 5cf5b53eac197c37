"""A private PostgreSQL, a PgBouncer and a bad network for tests: stopped, frozen, cut without disturbing anybody else."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from postgres_server import SERVER
from psycopg import conninfo

from receiver.testing.server import free_port

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 64MB
max_wal_size = 256MB
log_min_messages = fatal
"""
_POOLER = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
"""


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, places), "/usr/sbin", os.environ.get("PATH", "")]))


def _needs(program: str) -> pytest.MarkDecorator:
    lacks = _program(program) is None
    return pytest.mark.skipif(
        lacks and "CI" not in os.environ, reason=f"{program} is not installed; with CI set this would fail"
    )


needs_cluster = _needs("initdb")
needs_pooler = _needs("pgbouncer")


def _as_other() -> Sequence[str]:
    """Return how to start what root may not."""
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


class Cluster:
    """A server of our own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / "data"
        self.server = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._frozen: list[int] = []
        self._run("initdb", "-D", str(self.folder), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        with (self.folder / "postgresql.conf").open("a") as settings:
            settings.write(f"{_SETTINGS}port = {self.port}\n")

    def _run(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program
        subprocess.run([*_as_other(), program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop: `immediate` is a crash, `fast` ends every connection."""
        self.thaw()
        self._run("pg_ctl", "-D", str(self.folder), "-m", mode, "-w", "stop")

    def freeze(self) -> None:
        """Stop every process of it where it stands; connections stay open."""
        first = int((self.folder / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)
        self._frozen = [first, *_children(first)]
        for number in self._frozen[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for number in reversed(self._frozen):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGCONT)
        self._frozen = []


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = entry.read_text().partition(" ")
            if rest.rpartition(")")[2].split()[1] == str(parent):
                found.append(int(number))
    return found


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Give a private server, running."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            Path(folder).chmod(0o755)
        made = Cluster(Path(folder))
        made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                made.stop()


@contextlib.contextmanager
def pooler(server: str = SERVER) -> Iterator[str]:
    """Give the address of a PgBouncer in transaction mode before a server; databases have the names that they have there."""
    program, own = _program("pgbouncer"), free_port()
    assert program
    parts = conninfo.conninfo_to_dict(server)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "pgbouncer.ini"
        place = {"host": parts["host"], "port": parts.get("port", 5432), "user": parts.get("user", "postgres")}
        place["password"] = parts.get("password", "none")
        file.write_text(_POOLER.format(own=own, folder=folder, **place))
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            Path(folder).chmod(0o755)
        with subprocess.Popen(
            [*_as_other(), program, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        ) as process:
            try:
                _wait(own)
                yield f"postgresql://{place['user']}@127.0.0.1:{own}"
            finally:
                _end(process)


def _wait(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what was started, the program behind runuser too."""
    for number in [*_children(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()


class Network:
    """A way to a server that can swallow what it answers, and then break."""

    def __init__(self, server: str) -> None:
        parts = conninfo.conninfo_to_dict(server)
        self._to = (str(parts["host"]), int(parts.get("port") or 5432))
        self.swallows = False
        """Requests go through, their answers do not; the connection ends instead."""
        self.port = 0
        self._ways: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = asyncio.current_task()
        assert way
        self._ways[way] = writer
        from_server, to_server = await asyncio.open_connection(*self._to)
        forth = asyncio.ensure_future(self._pass(reader, to_server))
        back = asyncio.ensure_future(self._pass_back(from_server, writer))
        await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
        for side in (writer, to_server):
            side.close()
        await asyncio.wait([forth, back])
        for task in (forth, back):
            task.exception()
        for side in (writer, to_server):
            with contextlib.suppress(OSError):
                await side.wait_closed()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self.swallows:
                self.swallows = False
                return
            writer.write(data)
            await writer.drain()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Network"]:
        """Listen as long as the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._ways.values():
                writer.close()
            if self._ways:
                await asyncio.wait(self._ways)


def counted(url: str, table: str) -> int:
    """Return how many rows a table has."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row
        return int(row[0])
