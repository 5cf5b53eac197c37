"""Newest matches are found part by part: the same rows as all at once, and far fewer looked at."""

import random

import pytest

from receiver.store.postgres.finding import newest
from receiver.store.store import Row

ALL = 100_000


class Rows:
    """Rows of which some fit; counts how many were looked at, and how often."""

    def __init__(self, fitting: list[int]) -> None:
        self.fitting = sorted(fitting, reverse=True)
        self.parts: list[tuple[int, int]] = []

    async def look(self, low: int, before: int, limit: int) -> list[Row]:
        """Return rows that fit, as the store does."""
        self.parts.append((low, before))
        return [(number,) for number in self.fitting if low <= number < before][:limit]


@pytest.mark.parametrize("share", [0.7, 0.02, 0.0005, 0.00001, 0.0])
async def test_the_newest_are_found(share: float) -> None:
    """Whatever part of all fits; no row is looked at twice."""
    dice = random.Random(7)
    rows = Rows([number for number in range(ALL) if dice.random() < share])
    found = await newest(rows.look, 0, ALL, 51)
    assert [row[0] for row in found] == rows.fitting[:51]
    assert [before for _, before in rows.parts] == [ALL, *(low for low, _ in rows.parts[:-1])]
    assert len(rows.parts) <= 4


async def test_where_many_fit_few_are_looked_at() -> None:
    """A common word is not gathered from the whole index."""
    rows = Rows(list(range(0, ALL, 50)))
    assert len(await newest(rows.look, 0, ALL, 51)) == 51
    assert ALL - rows.parts[-1][0] < 10_000


async def test_only_between_the_bounds() -> None:
    """A call's segments, or a page behind another."""
    rows = Rows(list(range(ALL)))
    assert await newest(rows.look, 10, 13, 51) == [(12,), (11,), (10,)]
    assert await newest(rows.look, 13, 13, 51) == []


@pytest.mark.parametrize("limit", [21, 2001])
async def test_a_word_that_only_the_newest_hold_takes_few_parts(limit: int) -> None:
    """All but one of those wanted fit at once, and nothing behind them: the rest is not looked at crumb by crumb."""
    rows = Rows(list(range(ALL * 100 - limit + 1, ALL * 100)))
    assert len(await newest(rows.look, 0, ALL * 100, limit)) == limit - 1
    assert len(rows.parts) <= 25
