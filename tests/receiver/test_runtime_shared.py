"""Several processes on one database: each does its part, and what one held goes on when it is gone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_fakes import until
from postgres_server import database, needs_postgres
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured
from studio import KEY
from studio_running import REGISTRY as STUDIO

from receiver.config import Config, build
from receiver.contract.errors import ConfigError, SchemaError
from receiver.contract.model import InboundRequest
from receiver.runtime import Running, opened, running
from receiver.store.opening import postgres_engine
from receiver.store.records import Kept

pytestmark = needs_postgres


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty database."""
    with database() as address:
        yield address


@pytest.fixture
async def config(url: str, tmp_path: Path) -> Config:
    """Give settings for a database with this release's schema."""
    engine = postgres_engine(url)
    await engine.migrate()
    await engine.close()
    return configured(tmp_path, store=url, admin_token=ADMIN)


async def receive(run: Running, body: bytes) -> Kept:
    """Receive a callback."""
    assert run.ingest is not None
    request = InboundRequest(source="acme", token=TOKEN, headers=(), body=body, received_at=1_780_000_000_000)
    kept = await run.ingest.receive(request)
    assert isinstance(kept, Kept)
    return kept


async def test_serve_does_not_migrate_a_database(url: str, tmp_path: Path) -> None:
    """Who shares it with others says when; what to do is told."""
    with pytest.raises(SchemaError, match="run `hookscribe migrate`"):
        async with running(configured(tmp_path, store=url, admin_token=ADMIN), REGISTRY):
            pass


async def test_processes_that_ask_need_one_key(config: Config, url: str) -> None:
    """Tokens of jobs are made with it, and each process must know the others'; without one nothing starts."""
    source = {"provider": "studio", "api": "http://127.0.0.1:1", "key": KEY}
    asks = build({"store": url, "admin_token": ADMIN, "sources": {"studio": source}}, {}, STUDIO)
    assert config.root.store == asks.root.store
    with pytest.raises(ConfigError, match="seal_key: with PostgreSQL it has to be set"):
        async with running(asks, STUDIO):
            pass


async def test_a_callback_goes_all_the_way(config: Config) -> None:
    """One process: received, normalized, delivered, and its redelivery is told so."""
    async with running(config, REGISTRY) as run:
        first = await receive(run, b"1")
        await until(lambda: Keeps.sent)
        assert await receive(run, b"1") == Kept(first.id, True)
    assert [one.event.type for one in Keeps.sent] == ["transcript.completed"]


async def test_two_web_and_two_worker_processes(config: Config) -> None:
    """Every callback is kept once, whoever receives it, and delivered once."""
    async with (
        running(config, REGISTRY, "web") as first,
        running(config, REGISTRY, "web") as second,
        running(config, REGISTRY, "worker"),
        running(config, REGISTRY, "worker"),
    ):
        kept = await asyncio.gather(*(receive(run, b"%d" % n) for n in range(100) for run in (first, second)))
        assert sum(one.duplicate for one in kept) == 100
        await until(lambda: len(Keeps.sent) >= 100)
        assert len({one.event.id for one in Keeps.sent}) == len(Keeps.sent) == 100


async def test_a_command_beside_them(config: Config) -> None:
    """A command sees what they keep."""
    async with running(config, REGISTRY) as run:
        await receive(run, b"1")
        async with opened(config, REGISTRY) as runtime:
            assert len(await runtime.store.engine.rows("list_receipts", {"limit": 5})) == 1
