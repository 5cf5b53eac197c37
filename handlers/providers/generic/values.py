"""Values as senders write them: times, words, directions; None for what is none."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from receiver.contract.model import Sentiment
from receiver.contract.reading import Role, Table, identifier, number, text, texts

Direction = Literal["inbound", "outbound"]

_SENTIMENTS: Mapping[str, Sentiment] = {
    "positive": "positive",
    "negative": "negative",
    "neutral": "neutral",
    "mixed": "mixed",
}
_DIRECTIONS: Mapping[str, Direction] = {
    "inbound": "inbound",
    "in": "inbound",
    "incoming": "inbound",
    "outbound": "outbound",
    "out": "outbound",
    "outgoing": "outbound",
}
_ROLES: Mapping[str, Role] = {"agent": "agent", "customer": "customer"}


def seconds(value: Any, unit: str) -> float | None:
    """Return seconds: a number, or a text that is one, in `s` or `ms`."""
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            return None
    found = number(value)
    if found is None or not math.isfinite(found):
        return None
    return found / 1000 if unit == "ms" else found


def word_of(value: Any) -> str | None:
    """Return a word: a text, a whole number, or `true` and `false`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return identifier(value)


def direction(value: Any) -> Direction | None:
    """Return a direction, as most senders write it."""
    return _DIRECTIONS.get(value.lower()) if isinstance(value, str) else None


def members(value: Any) -> Table | None:
    """Return an object that has members."""
    return value if isinstance(value, dict) and value else None


def channel(value: Any) -> Any:
    """Return a channel: a whole number or a name."""
    return value if type(value) is int else text(value)


def one_or_more(value: Any) -> tuple[str, ...] | None:
    """Return texts: a list of nothing else, or one alone."""
    one = text(value)
    return (one,) if one is not None else texts(value)


def said(value: Any) -> str | None:
    """Return a word that is no `true` or `false`."""
    return word_of(value) if not isinstance(value, bool) else None


def role(value: Any) -> Role | None:
    """Return a role by its own word."""
    return _ROLES.get(value.lower()) if isinstance(value, str) else None


def sentiment(value: Any) -> Sentiment | None:
    """Return a sentiment by its own word."""
    return _SENTIMENTS.get(value.lower()) if isinstance(value, str) else None
