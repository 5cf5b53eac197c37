"""Errors in settings: each names table and key and says what is allowed; none holds a secret."""

from collections.abc import Iterable, Mapping
from typing import Any

from receiver.config.declared import quoted
from receiver.config.interpolate import FromEnvironment, Place
from receiver.contract.errors import ConfigError
from receiver.registry import close_match

LONGEST_SHOWN = 40
SHORTEST_MASKED = 6


class Problems:
    """The errors found so far; no secret that was read is in any of them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.hidden: set[str] = set()
        """Secrets, and whatever came from a variable."""

    def report(self, place: Place, message: str) -> None:
        """Add an error about the key at the end of `place`."""
        self.lines.append(f"{written(place)}: {message}")

    def report_check(self, table: Place, error: ConfigError) -> None:
        """Add what a table's `check` said: one error a line, each beginning with a key; values read are masked."""
        prefix = f"[{'.'.join(table)}] " if table else ""
        self.lines += [f"{prefix}{self._masked(line)}" for line in str(error).splitlines()]

    def raise_any(self, file: str) -> None:
        """Raise ConfigError with all errors, one a line, where there are any."""
        if self.lines:
            raise ConfigError("\n".join(f"{file}: {line}" for line in dict.fromkeys(self.lines)))

    def _masked(self, line: str) -> str:
        for secret in sorted(self.hidden, key=len, reverse=True):
            if len(secret) >= SHORTEST_MASKED:
                line = line.replace(secret, "***")
        return line


def written(place: Place) -> str:
    """Write a place as messages have it: `[sources.invox] token`."""
    return f"[{'.'.join(place[:-1])}] {place[-1]}" if len(place) > 1 else ".".join(place)


def unknown(key: str, known: Iterable[str]) -> str:
    """Say that a key is not known, what is near and what is known."""
    return f"is not known here; {close_match(key, known)}known are {', '.join(known)}"


def shown(value: Any) -> str:  # noqa: PLR0911 -- a case a type
    """Return what was found, without any content that may be secret."""
    if isinstance(value, FromEnvironment):
        return "what " + " and ".join(f"${{{name}}}" for name in value.variables) + " holds"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str) and (len(value) > LONGEST_SHOWN or "@" in value or "://" in value):
        return "other text"
    if isinstance(value, str):
        return quoted(value)
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
