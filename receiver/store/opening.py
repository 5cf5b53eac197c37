"""Opens a store by its address: `sqlite:PATH`, or `postgresql://user@host/db`."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from receiver.contract.errors import ConfigError
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Store

if TYPE_CHECKING:
    from receiver.store.postgres.engine import PostgresEngine

PACKAGE = "receiver.store.sqlite"


def is_shared(url: str) -> bool:
    """Say whether an address is that of a database which several processes and hosts may share."""
    return url.startswith(("postgresql:", "postgres:"))


def sqlite_path(url: str) -> Path:
    """Return the file of an embedded store. Raises ConfigError for any other address."""
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite" or not rest:
        raise ConfigError(f"store: {scheme}: is no file; use sqlite:PATH here")
    return Path(rest)


def postgres_engine(url: str, files: Sequence[str] | None = None) -> "PostgresEngine":
    """Return an engine; it connects when it is first used. Raises ConfigError."""
    if find_spec("psycopg") is None:
        raise ConfigError("store: PostgreSQL needs its client: pip install 'hookscribe[postgres]'")
    from receiver.store.postgres.engine import FILES, PostgresEngine  # noqa: PLC0415 -- an extra

    return PostgresEngine(url, files or FILES)


async def open_store(url: str, now: Callable[[], float], *, checkpoint: bool = False) -> Store:
    """Open a store as it is: nothing is migrated, nothing registered. `now` is Unix time in seconds.

    Raises ConfigError or StoreUnavailable, this also while it is being restored.
    """
    if is_shared(url):
        engine = postgres_engine(url)
        from receiver.store.postgres.store import SharedStore  # noqa: PLC0415 -- an extra

        return SharedStore(engine, now)
    embedded = SqliteEngine(sqlite_path(url), PACKAGE)
    try:
        await embedded.open(checkpoint=checkpoint, shared=True)
    except BaseException:
        await embedded.close()  # a connection left open keeps the process from ending
        raise
    return Store(embedded, now)
