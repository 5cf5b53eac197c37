"""Times as people say them on a command line: a moment, a day, or how long ago."""

import re
import time

import click

from receiver.contract.times import from_ms

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def moment(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Turn `7d` into the moment seven days ago; leave the rest to who reads moments."""
    ago = _AGO.fullmatch(value) if value else None
    return from_ms(int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)) if ago else value
