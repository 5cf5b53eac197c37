"""Refusals in memory: how many of each kind, and the few requests that wait to be written to the quarantine.

A kind is a source with a reason. No kind takes more memory than it leaves to the others, so that a flood of one does
not hide a mistake in the settings that shows as another.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from receiver.contract.model import InboundRequest
from receiver.contract.proof import Check

MOST_WAITING = 1024
MOST_BYTES = 32 * 1024 * 1024

_PER_REQUEST = 2048
_PER_HEADER = 192
"""Bytes of memory besides what came, about."""


class Kind:
    """Refusals of one source for one reason: how many, not yet written, not yet told, and what of them waits."""

    __slots__ = ("bytes", "count", "detail", "reason", "source", "tell_at", "uncounted", "untold", "waiting")

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        self.count = 0
        self.uncounted = 0
        self.untold = 0
        self.tell_at = float("-inf")
        self.detail: str | None = None
        self.waiting = 0
        self.bytes = 0


class Held:
    """A refused request on its way to the disk; `size` is its cost."""

    __slots__ = ("checks", "id", "kind", "request", "size")

    def __init__(self, number: int, kind: Kind, request: InboundRequest, checks: tuple[Check, ...], size: int) -> None:
        self.id = number
        self.kind = kind
        self.request = request
        self.checks = checks
        self.size = size


class Waiting:
    """What waits to be written: bounded in count and bytes, shared fairly."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def has_room(self, kind: Kind, size: int) -> bool:
        """Say whether one more may wait: no kind takes more than it leaves; alone, one may be of any size."""
        if not self._held:
            return True
        fits = kind.bytes + size <= MOST_BYTES - self.bytes
        return fits and kind.waiting < MOST_WAITING - len(self._held)

    def add(self, one: Held) -> None:
        """Take a request that there is room for."""
        self._held.append(one)
        self._change(one, 1)

    def all(self) -> list[Held]:
        """Return what waits now, oldest first."""
        return self._held.copy()

    def done(self, batch: Sequence[Held]) -> None:
        """Let go of a batch: the first of those that wait."""
        del self._held[: len(batch)]
        for one in batch:
            self._change(one, -1)

    def _change(self, one: Held, sign: int) -> None:
        self.bytes += sign * one.size
        one.kind.bytes += sign * one.size
        one.kind.waiting += sign


def cost(request: InboundRequest) -> int:
    """Return how many bytes of memory a request takes, about."""
    token = 4 * len(request.token) if isinstance(request.token, str) else 0
    headers = sum([len(name) + len(value) + _PER_HEADER for name, value in request.headers])
    return len(request.body) + headers + token + _PER_REQUEST


def in_turns(batch: Iterable[Held]) -> list[Held]:
    """Return the first of each kind, then the second of each, and so on."""
    seen: Counter[Kind] = Counter()
    ranked = []
    for one in batch:
        ranked.append((seen[one.kind], one))
        seen[one.kind] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]
