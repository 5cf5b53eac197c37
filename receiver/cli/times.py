"""Times as people say them on a command line: a moment, a day, or how long ago."""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from receiver.contract.errors import UsageError
from receiver.contract.times import from_ms
from receiver.store.listing import milliseconds

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def moment(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Turn `7d` into the moment seven days ago, at most as far back as times go; leave other times as they are.

    Raises UsageError.
    """
    if value is None:
        return None
    if (ago := _AGO.fullmatch(value)) is not None:
        return from_ms(max(0, int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)))
    try:
        milliseconds(value)
    except (ValueError, OverflowError):
        forms = "a time such as 2026-11-20T08:00:00Z, a day such as 2026-11-20, or how long ago: 7d, 12h, 30m"
        raise UsageError(f"--{(option.name or '').replace('_', '-')}: expected {forms}") from None
    return value


def narrowing(function: FunctionT) -> FunctionT:
    """Give a command `--since` and `--until`, each a text that `moment` has seen, or None."""
    since = "From this time on: 2026-11-20T08:00:00Z, a day, or so long ago (7d, 12h)."
    until = click.option("--until", metavar="TIME", callback=moment, help="Before this time.")
    return click.option("--since", metavar="TIME", callback=moment, help=since)(until(function))


def seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Turn `2h`, or a time to come, into seconds from now."""
    if value is None:
        return None
    ahead = _AGO.fullmatch(value)
    if ahead:
        return float(int(ahead[1]) * _SECONDS[ahead[2]])
    try:
        left = milliseconds(value) / 1000 - time.time()
    except (ValueError, OverflowError):
        raise click.BadParameter("expected 90m, 2h, 1d, or a time such as 2026-11-20T08:00:00Z") from None
    if left <= 0:
        raise click.BadParameter("this time is over")
    return left
