"""Changes: what a batch says of one thing several times, put together or one after the other."""

from collections import Counter
from collections.abc import Sequence
from typing import Any


def folded(changes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one change for each call: from what it was before the first to what it is after the last."""
    found: dict[int, dict[str, Any]] = {}
    for change in changes:
        first = found.get(change["id"], change)
        found[change["id"]] = {**change, "before": first["before"]}
    return [*found.values()]


def rounds(changes: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return changes in their order, in as few rounds as it takes that none changes a thing twice."""
    made: list[list[dict[str, Any]]] = []
    times: Counter[int] = Counter()
    for change in changes:
        if times[change["id"]] == len(made):
            made.append([])
        made[times[change["id"]]].append(change)
        times[change["id"]] += 1
    return made
