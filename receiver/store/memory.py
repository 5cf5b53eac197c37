"""What a sink remembers between sends: small texts under keys of its own, forgotten some time after they were written."""

from receiver.store.store import Store

LONGEST = 4096
"""Characters of a key, and of a value."""
FORGET_AFTER = 90 * 86_400_000
"""Milliseconds."""
_AT_ONCE = 100
"""Old texts that are dropped with one that is written, so that no write takes long."""


class StoredMemory:
    """The memory of one sink, in the store; another process sees what was written."""

    def __init__(self, store: Store, sink: str) -> None:
        self._store = store
        self._sink = sink

    async def get(self, key: str) -> str | None:
        """Return what was written under a key, or None. Raises StoreUnavailable."""
        rows = await self._store.engine.rows("sink_remembers", {"sink": self._sink, "key": key})
        return rows[0][0] if rows else None

    async def put(self, key: str, value: str) -> None:
        """Write a text durably. Raises ValueError for one that is too long, and StoreUnavailable."""
        if len(key) > LONGEST or len(value) > LONGEST:
            raise ValueError(f"keys and values have at most {LONGEST} characters")
        now = self._store.now_ms()
        async with self._store.engine.transaction() as tx:
            await tx.run("remember", {"sink": self._sink, "key": key, "value": value, "now": now})
            await tx.run("forget", {"before": now - FORGET_AFTER, "limit": _AT_ONCE})
