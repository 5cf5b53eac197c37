"""How values are written on the pages: times, sizes, counts and stretches of time."""

from typing import Any

import msgspec
from markupsafe import Markup

_UNITS = ("bytes", "KiB", "MiB", "GiB")


def when(text: str | None) -> Markup | str:
    """Return a time (RFC 3339, UTC) as people read it, to the second; a dash where there is none."""
    if not text:
        return "—"
    readable = text[:19].replace("T", " ")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, f"{readable} UTC", readable)


def clock(seconds: float | None) -> str:
    """Return a place in a recording: `1:05` or `1:02:03`; empty where it has none."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def took(seconds: float | None) -> str:
    """Return a stretch of time in its two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds is None:
        return "—"
    if 0 < seconds < 10:
        return f"{seconds:.3g} s"
    parts: list[str] = []
    left = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def size(count: int) -> str:
    """Return a number of bytes in a fitting unit."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def number(count: int) -> str:
    """Return a count with its thousands apart."""
    return f"{count:,}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: `1 delivery`, `2 deliveries`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pretty(value: Any) -> str:
    """Return a JSON value laid out over lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8", "replace")
