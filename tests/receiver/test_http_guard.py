"""The guarded client and addresses: no spelling, name or change of mind leads to a private one."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from receiver import http
from receiver.contract.sink import HttpAnswer, HttpFailed
from receiver.http import GuardedClient, is_public
from receiver.testing.server import RawServer, listening, writes


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Give a server on the loopback address."""
    async with listening() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    """Give a guarded client."""
    async with GuardedClient() as guarded:
        yield guarded


async def post(client: GuardedClient, url: str, *, private: bool = True, timeout: float = 5) -> HttpAnswer:
    """Post a small body."""
    return await client.post(url, body=b"{}", headers={}, timeout=timeout, allow_private=private)


class Resolver(AbstractResolver):
    """A name server that answers everything with the address of the moment."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer any name."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Have nothing to close."""


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "user@127.0.0.1",
        "hooks.example.com:443@127.0.0.1",
        "user:word@localhost",
        "①②⑦.⓪.⓪.①",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
async def test_no_spelling_of_a_private_address_is_reached(server: RawServer, client: GuardedClient, host: str) -> None:
    """Every way to write a private address ends in a refusal, and nothing connects."""
    with pytest.raises(HttpFailed, match=r"not a public address|not found|cannot be read"):
        await post(client, server.url(host), private=False)
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "user@127.0.0.1", "localhost"])
async def test_private_addresses_are_reached_where_allowed(server: RawServer, client: GuardedClient, host: str) -> None:
    """The same spellings work for a sink with `allow_private`."""
    assert (await post(client, server.url(host))).status == 200


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("172.15.255.255", True),
        ("172.16.0.1", False),
        ("100.64.0.1", False),
        ("100.128.0.1", True),
        ("168.63.129.16", False),
        ("192.168.1.1", False),
        ("198.19.0.1", False),
        ("203.0.113.5", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("2606:4700:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::1", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("2002:808:808::", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("100::1", False),
        ("5f00::1", False),
        ("/run/socket", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """The special-purpose registries of IANA, and addresses that hide a private one."""
    assert is_public(address) is public


async def test_a_name_with_a_private_address_is_refused(server: RawServer) -> None:
    """What counts is the address that a name leads to; several private ones give the same plain reason."""
    async with GuardedClient(resolver=Resolver("127.0.0.1", "127.0.0.2")) as client:
        with pytest.raises(HttpFailed, match=r"^hooks\.example\.com: not a public address, and allow_private is off$"):
            await post(client, server.url("hooks.example.com"), private=False)
        assert server.connections == 0
        assert (await post(client, server.url("hooks.example.com"))).status == 200


async def test_a_name_that_changes_its_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public at first and then leads to this machine is checked again at the connection."""
    monkeypatch.setattr(http, "is_public", lambda address: address == "127.0.0.2")
    resolver = Resolver("127.0.0.2")
    async with (
        listening("127.0.0.2") as outside,
        listening("127.0.0.1", outside.port) as inside,
        GuardedClient(resolver=resolver) as client,
    ):
        outside.answer = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert (await post(client, outside.url("hooks.example.com"), private=False)).status == 200
        resolver.addresses = ("127.0.0.1",)
        connector = client._sessions[False].connector
        assert isinstance(connector, aiohttp.TCPConnector)
        connector.clear_dns_cache()
        with pytest.raises(HttpFailed, match=r"not a public address"):
            await post(client, outside.url("hooks.example.com"), private=False)
        assert (outside.connections, inside.connections) == (1, 0)


async def test_the_pools_are_apart(server: RawServer, client: GuardedClient) -> None:
    """An idle connection of a sink that may is not lent to one that may not."""
    await post(client, server.url())
    await post(client, server.url())
    assert server.connections == 1
    with pytest.raises(HttpFailed, match=r"not a public address"):
        await post(client, server.url(), private=False)
    assert len(server.requests) == 2
