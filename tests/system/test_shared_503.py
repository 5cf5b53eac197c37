"""A database that cannot keep what comes: 503 with Retry-After, and all is well when it can again, without a restart."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_cluster import Cluster, cluster, needs_cluster

from system.holds import everything_holds, settled
from system.hook import hooking
from system.hostile_harness import ask
from system.sender import Factory, Sender
from system.test_shared import SharedSite, fleet

Trouble = Callable[[Cluster, SharedSite], contextlib.AbstractContextManager[None]]
pytestmark = [pytest.mark.system, needs_cluster]


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """Give a private server."""
    with cluster() as made:
        yield made


@contextlib.contextmanager
def away(server: Cluster, site: SharedSite) -> Iterator[None]:
    """Stop it, as in a failover."""
    server.stop("immediate")
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def frozen(server: Cluster, site: SharedSite) -> Iterator[None]:
    """Have it answer nothing, with every connection open."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextlib.contextmanager
def read_only(server: Cluster, site: SharedSite) -> Iterator[None]:
    """Let it only be read."""
    _reload(server, "ALTER SYSTEM SET default_transaction_read_only = on", "on")
    try:
        yield
    finally:
        _reload(server, "ALTER SYSTEM RESET default_transaction_read_only", "off")


def _reload(server: Cluster, change: str, reads: str) -> None:
    """Change the setting, and wait until the server goes by it: it answers before, and tells all it has before it takes one more."""
    with psycopg.connect(server.server, autocommit=True) as operator:
        operator.execute(change)
        operator.execute("SELECT pg_reload_conf()")
    for _ in range(1000):
        with psycopg.connect(server.server) as newcomer:
            if newcomer.execute("SHOW default_transaction_read_only").fetchone() == (reads,):
                return
    raise AssertionError("the server did not take the setting up")


@pytest.mark.parametrize("trouble", [away, frozen, read_only])
async def test_who_sends_is_told_to_come_again(tmp_path: Path, server: Cluster, trouble: Trouble) -> None:
    """With the status and header that providers know; what was turned away is kept once when it comes again."""
    async with hooking() as hook, fleet(tmp_path, server, hook) as (site, running):
        sender, factory = Sender(site.address), Factory(site)
        await sender.send(factory.call("before", 3))
        (during,) = factory.call("during", 1)
        with trouble(server, site):
            address = site.address()
            assert address
            request = during.request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            answer = await ask(address[1], request, wait=60)
            assert (answer.status, answer.body) == (503, b'{"error":"cannot be kept now"}')
            assert "retry-after: 5" in answer.headers
        await sender.send([during, *factory.call("after", 3)])
        await settled(site, running.worker(), 120)
        everything_holds(site, sender.acknowledged, hook)
        assert (len(sender.acknowledged), sender.refused) == (7, [])
        assert site.rows("SELECT count(*) FROM receipts") == [(7,)]
