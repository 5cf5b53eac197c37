"""Opens a store by its address: `sqlite:PATH`."""

from collections.abc import Callable
from pathlib import Path

from receiver.contract.errors import ConfigError
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Store

PACKAGE = "receiver.store.sqlite"


def sqlite_path(url: str) -> Path:
    """Return the file of an embedded store. Raises ConfigError for any other address."""
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite" or not rest:
        raise ConfigError(f"store: {scheme}: is not supported by this release; use sqlite:PATH")
    return Path(rest)


async def open_store(url: str, now: Callable[[], float], *, checkpoint: bool = False) -> Store:
    """Open a store as it is: nothing is migrated, nothing registered. `now` is Unix time in seconds.

    Raises ConfigError or StoreUnavailable, this also while it is being restored.
    """
    engine = SqliteEngine(sqlite_path(url), PACKAGE)
    try:
        await engine.open(checkpoint=checkpoint, shared=True)
    except BaseException:
        await engine.close()  # a connection left open keeps the process from ending
        raise
    return Store(engine, now)
