"""Who submits: each start of a process is seen to live, and to be dead, by those that would go on with its jobs."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from receiver.store.store import Engine


class Owners(Protocol):
    """Tells living processes from dead ones."""

    def held(self, start: int) -> contextlib.AbstractContextManager[None]:
        """Be the living owner of what a start submits, as long as the block runs."""

    async def alive(self, start: int) -> bool:
        """Say whether the process of a start still submits. Raises StoreError."""


class Leases:
    """The leases in a shared database: a process that died is seen to be dead when its lease has run out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def held(self, start: int) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002 -- its beat renews the lease
        """Be the living owner of what a start submits, as long as its lease is renewed."""
        return contextlib.nullcontext()

    async def alive(self, start: int) -> bool:
        """Say whether the lease of a start still runs. Raises StoreError."""
        return bool(await self._engine.rows("lives", {"start": start}))


class LockFiles:
    """The lock files beside an embedded store, one for each start: a process that died is seen to be dead at once."""

    def __init__(self, store: Path) -> None:
        self._store = store

    @contextlib.contextmanager
    def held(self, start: int) -> Iterator[None]:
        """Be the living owner of what a start submits, as long as the block runs."""
        path = self._path(start)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    async def alive(self, start: int) -> bool:
        """Say whether the process of a start still submits."""
        path = self._path(start)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        path.unlink(missing_ok=True)
        return False

    def _path(self, start: int) -> Path:
        return self._store.with_name(f"{self._store.name}-submit-{start}")
