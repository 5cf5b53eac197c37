"""What CallMissed concluded of a voice session: the same words in a webhook and in a fetched session."""

from collections.abc import Mapping
from typing import Any, get_args

from receiver.contract.model import Analysis, Flag, Sentiment
from receiver.contract.reading import Table, first, insights, text

_SENTIMENTS: Mapping[str, Sentiment] = {word: word for word in get_args(Sentiment)}
"""The vendor lists no values: these words mean what they say, any other stays an insight."""


def conclusions(found: Table, raw: Any) -> Analysis:
    """Take the conclusions out of `found`; what they have no place for is left in it."""
    goal = found.get("goal_met")
    flags = (Flag(name="goal_met", ok=found.pop("goal_met")),) if isinstance(goal, bool) else ()
    summary, sentiment = first(text, (found, "summary")), _sentiment(found)
    named = ("sentiment", "disposition", "extracted")
    return Analysis(
        summary=summary,
        sentiment=sentiment,
        flags=flags,
        insights=tuple(one for key in named for one in insights(key, found.pop(key, None))),
        raw=raw,
    )


def left_over(rest: Table, own: Table | None = None, **parts: Table) -> Table:
    """Return what has no place: the submitter's `own` under its names, and ours, those of parts under their path.

    Where a name of ours is taken, it is told apart.
    """
    kept = dict(own or {})
    below = {f"{part}.{key}": value for part, members in parts.items() for key, value in members.items()}
    for key, value in {**below, **rest}.items():
        kept[f"callmissed.{key}" if key in kept else key] = value
    return {key: value for key, value in kept.items() if _says_something(value)}


def _says_something(value: Any) -> bool:
    """Say whether a value does; after its retention CallMissed leaves empty texts behind."""
    return value is not None and value not in ("", [], {})


def _sentiment(found: Table) -> Sentiment | None:
    """Read a recognisable word; one that is not ours to the letter stays in `found` as well."""
    word = found.get("sentiment")
    sentiment = _SENTIMENTS.get(word.casefold()) if isinstance(word, str) else None
    if word == sentiment:
        found.pop("sentiment", None)
    return sentiment
