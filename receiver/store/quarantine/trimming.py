"""Keeps the quarantine within its bounds: the kind that takes most gives its oldest, so that no flood drives out the rest.

A kind is a source with a reason.
"""

from typing import Protocol

from receiver.store.ids import at
from receiver.store.store import Tx

_STEP = 64


class Bounds(Protocol):
    """How much is kept, and how long."""

    @property
    def max_count(self) -> int:
        """Return how many requests are kept at most."""
        ...

    @property
    def max_bytes(self) -> int:
        """Return how many bytes of headers and bodies are kept at most."""
        ...

    @property
    def max_age(self) -> float:
        """Return for how many seconds one is kept."""
        ...


class _Kind:
    """How much of a kind is left, and its oldest requests: (id, bytes), the oldest last."""

    def __init__(self, source: str, reason: str, requests: int, size: int) -> None:
        self.source = source
        self.reason = reason
        self.requests = requests
        self.size = size
        self._oldest: list[tuple[int, int]] = []
        self._after = 0

    def share(self, bounds: Bounds) -> float:
        return max(self.requests / bounds.max_count, self.size / bounds.max_bytes)

    async def give(self, tx: Tx) -> int:
        """Return the id of the oldest request left, which is left no more; 0 where none is."""
        if not self._oldest:
            params = {"source": self.source, "reason": self.reason, "after": self._after, "limit": _STEP}
            self._oldest = [(number, size) for number, size in await tx.rows("oldest", params)][::-1]
        if not self._oldest:
            self.requests = self.size = 0
            return 0
        number, size = self._oldest.pop()
        self._after = number
        self.requests -= 1
        self.size -= size
        return number


async def trim(tx: Tx, bounds: Bounds, now: float) -> int:
    """Drop what is too old, then what is too much; return how many requests went."""
    expired = await tx.run("expired", {"before": at(int((now - bounds.max_age) * 1000))})
    kinds = [_Kind(*row) for row in await tx.rows("kinds")]
    chosen = []
    while (
        sum(kind.requests for kind in kinds) > bounds.max_count or sum(kind.size for kind in kinds) > bounds.max_bytes
    ):
        heaviest = max(kinds, key=lambda kind: kind.share(bounds))
        chosen.append(await heaviest.give(tx))
    if chosen:
        await tx.run("drop", {"ids": chosen})
    return expired + len(chosen)
