"""The listeners of each role: which doors there are, and how they open and close."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pipeline_fakes import PATIENCE, until
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured

from receiver.contract.errors import ConfigError
from receiver.runtime import Running, running
from receiver.web.access import admin_token, token_file
from receiver.web.serve import Addresses, Started, serve, serving


@pytest.fixture
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that knows nothing."""
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that knows the token."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {ADMIN}"}) as client:
        yield client


async def test_two_listeners(tmp_path: Path, http: httpx.AsyncClient, anybody: httpx.AsyncClient) -> None:
    """Providers and people have different doors, and neither opens the other's."""
    async with serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (_, where):
        assert (await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"1")).status_code == 200
        assert (await http.get(f"{where.admin}/api/v1/receipts")).json()["items"]
        assert (await http.get(f"{where.public}/api/v1/receipts")).status_code == 404
        assert (await http.post(f"{where.admin}/hooks/acme/{TOKEN}", content=b"2")).status_code in (404, 405)
        assert (await anybody.get(f"{where.admin}/api/v1/receipts")).status_code == 401
        assert (await http.get(f"{where.public}/healthz")).status_code == 200
        await until(lambda: Keeps.sent)


async def test_one_port_for_both(tmp_path: Path, http: httpx.AsyncClient, anybody: httpx.AsyncClient) -> None:
    """Under its path the page is as locked as ever; the rest of the port is the providers'."""
    listen = {"public": "127.0.0.1:0", "admin": "/people"}
    async with serving(configured(tmp_path, admin_token=ADMIN, listen=listen), REGISTRY) as (_, where):
        assert where.admin == f"{where.public}/people"
        assert (await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"1")).status_code == 200
        assert (await http.get(f"{where.admin}/api/v1/receipts")).json()["items"]
        assert (await http.get(f"{where.public}/api/v1/receipts")).status_code == 404
        assert (await http.get(f"{where.public}/peoples")).status_code == 404
        assert (await anybody.get(f"{where.admin}/api/v1/receipts")).status_code == 401
        login = await anybody.get(where.admin)
        assert (login.status_code, login.headers.get("location")) == (303, "/people/login")


async def test_metrics_and_probes_alone(tmp_path: Path, anybody: httpx.AsyncClient) -> None:
    """On an address of their own, without a token, also where nothing else listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listen = {"public": "127.0.0.1:0", "admin": "127.0.0.1:0", "metrics": f"127.0.0.1:{port}"}
    async with serving(configured(tmp_path, listen=listen), REGISTRY, "worker") as (run, where):
        assert (where, run.ingest) == (Addresses(), None)
        worker = run.worker
        assert worker is not None
        assert (await anybody.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        await until(lambda: worker.trouble() is None, "the worker to take work")
        assert (await anybody.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        assert "hookscribe_worker_up 1.0" in (await anybody.get(f"http://127.0.0.1:{port}/metrics")).text
        assert (await anybody.get(f"http://127.0.0.1:{port}/api/v1/receipts")).status_code == 404


async def test_the_web_role_listens_and_does_not_work(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """It answers as ever; what it keeps waits for a worker."""
    config = configured(tmp_path, admin_token=ADMIN)
    async with serving(config, REGISTRY, "web") as (run, where):
        assert run.worker is None
        assert (await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"1")).status_code == 200
    assert Keeps.sent == []


async def test_an_ipv6_address_is_written_as_one(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Brackets in the URL, and it answers."""
    listen = {"public": "[::1]:0", "admin": "127.0.0.1:0"}
    async with serving(configured(tmp_path, listen=listen), REGISTRY, "web") as (_, where):
        assert where.public is not None
        assert where.public.startswith("http://[::1]:")
        assert (await http.get(f"{where.public}/healthz")).status_code == 200


@pytest.mark.parametrize("which", ["public", "admin", "metrics"])
@pytest.mark.parametrize("busy", ["listening", "bound"])
async def test_an_address_that_is_taken_is_told(tmp_path: Path, which: str, busy: str) -> None:
    """Nothing is started, nothing keeps running: with another address the same store opens."""
    with socket.socket() as taken:
        if busy == "bound":
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listen = {"public": "127.0.0.1:0", "admin": "127.0.0.1:0", which: address}
        with pytest.raises(ConfigError, match=f"{address} cannot be listened on: Address already in use"):
            async with serving(configured(tmp_path, listen=listen), REGISTRY):
                pass
    async with asyncio.timeout(PATIENCE), serving(configured(tmp_path), REGISTRY):
        pass


async def test_a_request_under_way_is_answered_before_the_end(tmp_path: Path, http: httpx.AsyncClient) -> None:
    """A stop takes nothing new, and lets end what has begun."""
    config = configured(tmp_path, admin_token=ADMIN)
    async with serving(config, REGISTRY) as (_, where):
        assert where.public is not None
        host, port = where.public.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /hooks/acme/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n1".encode())
        await writer.drain()
        await asyncio.sleep(0.1)

        async def rest() -> bytes:
            await asyncio.sleep(0.2)
            writer.write(b"2" * 1999)
            return await reader.read()

        ending = asyncio.create_task(rest())
    assert (await ending).startswith(b"HTTP/1.1 200")
    writer.close()
    with pytest.raises(httpx.ConnectError):
        await http.get(f"{where.public}/healthz")


# Serving until a signal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """Told once that everything listens, stopped by either signal."""
    told: list[Any] = []

    class Told(Started):
        """Notes, and asks to stop."""

        def __call__(self, run: Running, addresses: Addresses) -> None:
            super().__call__(run, addresses)
            told.append(addresses)
            os.kill(os.getpid(), number)

    async with asyncio.timeout(PATIENCE):
        await serve(configured(tmp_path), REGISTRY, "all", Told())
    assert len(told) == 1


async def test_a_signal_ends_it_while_it_waits_for_another_worker(tmp_path: Path) -> None:
    """Who waits can be stopped, and leaves the one who works alone."""
    config = configured(tmp_path)
    async with running(config, REGISTRY):
        waits = asyncio.create_task(serve(config, REGISTRY, "worker", Started()))
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await waits


async def test_a_cancelled_serve_is_cancelled(tmp_path: Path) -> None:
    """Only a signal is an ordinary end."""
    for wait in (0.0, 0.3):
        task = asyncio.create_task(serve(configured(tmp_path), REGISTRY, "all", Started()))
        await asyncio.sleep(wait)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()


async def test_the_start_announces_what_is_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses and ways of proof; a source that takes anything; at a terminal the way to the page."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    sources = {"acme": {"provider": "acme", "token": TOKEN}, "open": {"provider": "acme", "verify": "none"}}
    async with serving(configured(tmp_path, sources=sources), REGISTRY) as (run, where):
        capsys.readouterr()
        Started()(run, where)
    said = capsys.readouterr()
    assert "serve.started" in said.err
    assert "source.unverified" in said.err
    assert f"The page: {where.admin}/login?code=" in said.out
    assert TOKEN not in said.out + said.err


# The admin token


def test_the_token_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """Made beside the store with mode 0600, unguessable, and the same at the next start; set, it is not made."""
    config = configured(tmp_path)
    made = admin_token(config)
    assert len(made.value) >= 40
    assert stat.S_IMODE(token_file(config).stat().st_mode) == 0o600
    assert admin_token(config) == made
    assert admin_token(configured(tmp_path, admin_token=ADMIN)).value == ADMIN
    assert [path.name for path in tmp_path.iterdir()] == ["store.db-admin-token"]


def test_two_processes_that_start_at_once_have_one_token(tmp_path: Path) -> None:
    """Whoever is first made it; nobody goes on with another one, and no draft stays behind."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom running_fakes import configured\n"
        "from receiver.web.access import admin_token\nconfig = configured(Path(sys.argv[1]))\n"
        "print('ready', flush=True)\ninput()\nprint(admin_token(config).value)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(4) as pool:
        said = [out for out, _ in pool.map(lambda process: process.communicate("\n", timeout=PATIENCE * 3), processes)]
    assert len(set(said)) == 1
    assert len(said[0].strip()) >= 40
    assert [found.name for found in tmp_path.iterdir()] == ["store.db-admin-token"]


def test_a_token_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """A folder that is none, or a file with something else in it."""
    config = configured(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="set admin_token instead"):
        admin_token(config)
    config = configured(tmp_path)
    token_file(config).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="set admin_token instead"):
        admin_token(config)
