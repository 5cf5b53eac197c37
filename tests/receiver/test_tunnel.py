"""Tunnels: which one is ours, which one stops everything, and ngrok started where it is installed."""

import asyncio
from pathlib import Path

import pytest
from ngrok_fake import agent, install, install_failing, tunnel

from receiver.contract.errors import ConfigError
from receiver.testing.server import free_port
from receiver.tunnel import Agent, Tunnel, chosen, local_port
from receiver.tunnel import tunnel as opened

FORBIDDEN = {8081: "the admin listener"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder at the front of PATH, and no other ngrok."""
    monkeypatch.setattr("receiver.tunnel._START", 5.0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("target", "port"),
    [
        ("http://localhost:8080", 8080),
        ("https://127.0.0.1:8443", 8443),
        ("127.0.0.1:8080", 8080),
        ("localhost:22", 22),
        ("http://[::1]:8080", 8080),
        ("8080", 8080),
        (":8080", 8080),
        ("http://localhost", 80),
        ("https://localhost", 443),
        ("http://192.168.1.7:8080", None),
        ("http://example.com:8080", None),
        ("http://localhost.example.com:8080", None),
        ("http://localhost:99999", None),
        ("http://[broken", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_where_a_tunnel_leads(target: str, port: int | None) -> None:
    """A target is a port of this machine, or none of ours."""
    assert local_port(target) == port


def test_the_tunnel_to_the_public_listener_is_chosen() -> None:
    """Of several, the one to our port, and https before http; tunnels that are not HTTP do not count."""
    found = [
        Tunnel(url="https://other.example", port=3000),
        Tunnel(url="tcp://tcp.example:1", port=8080),
        Tunnel(url="http://ours.example", port=8080),
        Tunnel(url="https://ours.example", port=8080),
        Tunnel(url="https://elsewhere.example", port=None),
    ]
    assert chosen(found, 8080, FORBIDDEN) == "https://ours.example"
    assert chosen(found[:2], 8080, FORBIDDEN) is None


def test_a_tunnel_to_the_admin_listener_stops_everything() -> None:
    """Also beside a right one, and whatever its protocol."""
    found = [Tunnel(url="https://ours.example", port=8080), Tunnel(url="tcp://bad.example:1", port=8081)]
    with pytest.raises(ConfigError, match=r"tcp://bad\.example:1, leads to the admin listener .* `ngrok http 8080`"):
        chosen(found, 8080, FORBIDDEN)


async def test_the_agent_is_asked() -> None:
    """Its list is read; no agent, and something else on its port, are no tunnels."""
    with agent() as fake:
        fake.tunnels = [tunnel("https://a.example/", "http://localhost:8080"), tunnel("https://b.example", "3000")]
        one = Agent(fake.url, 8080, FORBIDDEN)
        assert await one.tunnels() == [
            Tunnel(url="https://a.example", port=8080),
            Tunnel(url="https://b.example", port=3000),
        ]
        assert await one.look() == "https://a.example"
        fake.raw = b"<html>Spark jobs</html>"
        assert await one.tunnels() is None
    assert await Agent(f"http://127.0.0.1:{free_port()}", 8080, FORBIDDEN).look() is None


async def test_a_running_agent_is_used_and_left_running() -> None:
    """Nothing is started where a tunnel is there."""
    with agent() as fake:
        fake.lead("https://a.example", "http://localhost:8080")
        async with opened(Agent(fake.url, 8080, FORBIDDEN), 8080) as found:
            assert (found.url, found.how) == ("https://a.example", "the running ngrok agent")


async def test_without_ngrok_it_is_said_how_to(programs: Path) -> None:
    """No agent and no program: no tunnel, and what to do."""
    async with opened(Agent(f"http://127.0.0.1:{free_port()}", 8080, FORBIDDEN), 8080) as found:
        assert found.url is None
        assert "ngrok is not installed" in found.how
        assert "--public-url" in found.how


async def test_ngrok_is_started_and_ended(programs: Path) -> None:
    """Where it is installed it runs as long as it is needed."""
    port = free_port()
    marker = install(programs, port)
    async with opened(Agent(f"http://127.0.0.1:{port}", 8080, FORBIDDEN), 8080) as found:
        assert found.url == "https://fake.ngrok.example"
        assert "`ngrok http 8080`" in found.how
        assert not marker.exists()
    assert marker.read_text() == "ended"


async def test_an_ngrok_that_ends_is_explained(programs: Path) -> None:
    """The first error and its code are shown, and nothing that may hold the account's token."""
    install_failing(programs)
    async with opened(Agent(f"http://127.0.0.1:{free_port()}", 8080, FORBIDDEN), 8080) as found:
        assert found.url is None
        assert "ngrok ended: authentication failed: this needs an account, ERR_NGROK_4018" in found.how
        assert "canary" not in found.how


async def test_an_ngrok_that_hangs_is_killed(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a tunnel that never comes nor a program that does not end holds anything up for long."""
    monkeypatch.setattr("receiver.tunnel._START", 0.3)
    monkeypatch.setattr("receiver.tunnel._STOP", 0.3)
    program = programs / "ngrok"
    program.write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.05; done\n")
    program.chmod(0o755)
    async with asyncio.timeout(10), opened(Agent(f"http://127.0.0.1:{free_port()}", 8080, FORBIDDEN), 8080) as found:
        assert found.url is None
        assert found.how.startswith("ngrok gave no tunnel in time; ")
