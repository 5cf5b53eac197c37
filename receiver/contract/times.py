"""Times as the public shape has them: RFC 3339 in UTC, seconds as numbers."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

_MS_FROM = 100_000_000_000
"""Numbers from here on (1973 in ms, 5138 in s) are milliseconds."""
_DIGITS = (10, 13)
"""How long Unix times are as text, in s and in ms, from 2001 to 2286; `20260112` is a date."""


def from_ms(milliseconds: int) -> str:
    """Return RFC 3339 in UTC with milliseconds."""
    return _from_whole_ms(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _from_whole_ms(milliseconds: int) -> datetime:
    """Do without a float, which loses milliseconds in far years."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def to_rfc3339(value: Any, timezone: str | None = None) -> str | None:
    """Read a provider's time: RFC 3339 or ISO 8601 text, or Unix time in seconds or milliseconds.

    Text without an offset is read in `timezone` (IANA name); without one, and for anything unreadable, the answer
    is None: a time is never guessed.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _from_number(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    if value.isascii() and value.isdigit():
        return _from_number(int(value)) if len(value) in _DIGITS else None
    return _from_text(value, timezone)


def _from_number(value: float) -> str | None:
    try:
        if abs(value) >= _MS_FROM:
            return _text(_from_whole_ms(round(value)))
        return _text(datetime.fromtimestamp(value, UTC))
    except (OverflowError, ValueError, OSError):
        return None


def _from_text(value: str, timezone: str | None) -> str | None:
    if "T" not in value and ":" not in value:
        return None  # a day is no time
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            if timezone is None:
                return None
            moment = moment.replace(tzinfo=ZoneInfo(timezone))
        return _text(moment.astimezone(UTC))
    except (ValueError, OverflowError, KeyError, OSError):
        return None


def _text(moment: datetime) -> str:
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def to_seconds(value: Any, timezone: str | None = None) -> float | None:
    """Read a provider's time as `to_rfc3339` does, and return Unix time in seconds, or None."""
    found = to_rfc3339(value, timezone)
    return datetime.fromisoformat(found).timestamp() if found else None
