"""Databases for tests: each takes one of its own on the running server, and drops it at the end."""

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from functools import cache

import psycopg
import pytest
from psycopg import sql

from receiver.store.postgres.engine import PostgresEngine
from receiver.store.postgres.store import SharedStore
from receiver.testing.store import Clock

SERVER = os.environ.get("HOOKSCRIBE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")
"""Where tests may make databases; in CI it has to be there."""


@cache
def missing() -> str | None:
    """Return why there is no server to test with, None where there is one."""
    try:
        psycopg.connect(SERVER, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        return f"no PostgreSQL to test with (HOOKSCRIBE_TEST_POSTGRES names one): {str(error).splitlines()[0]}"
    return None


needs_postgres = pytest.mark.skipif(
    missing() is not None and "CI" not in os.environ, reason=missing() or "with CI set this would fail"
)


@contextlib.contextmanager
def database(server: str = SERVER) -> Iterator[str]:
    """Give the address of an empty database."""
    name = f"hookscribe_test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.asynccontextmanager
async def migrated(url: str, clock: Clock) -> AsyncIterator[SharedStore]:
    """Open a store, migrated and registered."""
    engine = PostgresEngine(url)
    try:
        await engine.migrate()
        store = SharedStore(engine, clock)
        await store.register("test")
        yield store
    finally:
        await engine.close()
