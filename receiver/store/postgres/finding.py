"""Finding the newest rows that a full-text condition fits, part by part: the index of words knows no order.

Asked for the newest of all at once, the database either reads every row from the newest on, which takes for ever where few
fit, or gets every row that fits, which takes for ever where many do. So some of the newest are looked at first; how
many of these fit tells how far back the next part goes.
"""

from collections.abc import Awaitable, Callable

from receiver.store.store import Row

_FIRST = 512
"""Rows of the first part; more, where more are wanted."""
_EACH = 4
_AMPLE = 1.5
"""How much further than the rows so far would have it."""
_STEP = 32
"""How many times as much as was looked at so far one part is at most: what comes first may be all that does not fit."""
_REST = 0.5
"""A part that would be so much of what is left takes all of it."""

Look = Callable[[int, int, int], Awaitable[list[Row]]]
"""Returns rows that fit, newest first: from this number on, below this number, so many at most."""


async def newest(look: Look, low: int, before: int, limit: int) -> list[Row]:
    """Return the newest rows that fit, at most `limit`, whose numbers are from `low` on and below `before`."""
    found: list[Row] = []
    edge, span = before, max(_FIRST, _EACH * limit)
    while edge > low and len(found) < limit:
        start = low if span > (edge - low) * _REST else edge - span
        found += await look(start, edge, limit - len(found))
        edge = start
        looked = before - edge
        wanted = int(_AMPLE * (limit - len(found)) * looked / (len(found) + 1))
        span = max(
            looked // 2, min(_STEP * looked, wanted)
        )  # half as far again at least: the missing may be far behind
    return found
