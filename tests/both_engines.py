"""A store on each engine, for tests that use only its verbs."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kept import kept_in
from postgres_server import database, migrated, needs_postgres

from receiver.store.opening import postgres_engine
from receiver.store.store import Store
from receiver.testing.store import Clock

ENGINES = ["sqlite", pytest.param("postgresql", marks=needs_postgres)]
"""Parameters of a fixture."""


@contextlib.asynccontextmanager
async def kept_on(engine: str, folder: Path, clock: Clock) -> AsyncIterator[Store]:
    """Open an empty store on an engine, migrated and registered; SQLite's is `store.db` in the folder."""
    if engine == "sqlite":
        async with kept_in(folder / "store.db", clock) as store:
            yield store
    else:
        with database() as url:
            async with migrated(url, clock) as shared:
                yield shared


@contextlib.asynccontextmanager
async def address_on(engine: str, folder: Path) -> AsyncIterator[str]:
    """Give the address of an empty store on an engine; a database has its schema."""
    if engine == "sqlite":
        yield f"sqlite:{folder / 'store.db'}"
    else:
        with database() as url:
            made = postgres_engine(url)
            await made.migrate()
            await made.close()
            yield url
