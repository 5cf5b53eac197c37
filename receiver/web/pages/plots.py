"""Plots as numbers: where bars and marks stand, in percent across and pixels down; templates draw them as SVG."""

from collections.abc import Sequence

import msgspec

HEIGHT = 40
"""Pixels of a bar plot."""


class Bar(msgspec.Struct, frozen=True):
    """One stretch of time: place and width in percent, top and height in pixels, and what it says."""

    x: float
    width: float
    y: float
    height: float
    label: str


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """A small plot of counts over time."""

    name: str
    bars: tuple[Bar, ...]
    total: int
    most: int
    capped: bool
    """Some stretches were counted no further."""


def bars(name: str, counts: Sequence[int], labels: Sequence[str], cap: int) -> Bars:
    """Return the plot of counts, the oldest first; `labels` name their stretches of time."""
    most = max(counts, default=0)
    width = 100 / max(1, len(counts))
    found = []
    for place, (count, label) in enumerate(zip(counts, labels, strict=True)):
        height = max(2.0, round(HEIGHT * count / most, 1)) if count else 0.0
        told = f"{label}: {count:,}{' or more' if count >= cap else ''}"
        found.append(Bar(round(place * width, 3), round(width * 0.8, 3), HEIGHT - height, height, told))
    return Bars(name=name, bars=tuple(found), total=sum(counts), most=most, capped=most >= cap)
