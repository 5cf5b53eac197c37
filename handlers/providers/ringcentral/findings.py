"""What RingCentral concluded: insights by name, and from them summary, topics, action items and sentiment.

Names and extras are open (SPEC, guide, samples and demo code each know others), so nothing here refuses a shape.
An insight's value is the provider's value alone, or an object of everything that has no place of its own
(`{"value": "slow", "wpm": 118.2}`). `x.y` is member y of insight x.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import msgspec

from handlers.providers.ringcentral.speech import UTTERANCES
from handlers.providers.ringcentral.typed import Number
from receiver.contract.model import Analysis, Insight, Sentiment
from receiver.contract.reading import identifier

GROUPS = frozenset({"conversationalInsights", "trackerInsights", "summaries"})
"""Members of `response` that are lists of `{name, values[]}`; trackerInsights is only seen in demo code of 2024-01."""

MEMBERS = GROUPS | {"speakerInsights"}

_SUMMARIES = (
    "AbstractiveSummaryShort",
    "AbstractiveShort",
    "AbstractiveSummaryLong",
    "AbstractiveLong",
    "ExtractiveSummary",
    "Extractive",
    "Summary",
    "BulletedSummary",
)
"""Which becomes `summary`: the first that says something. The short one fits where summaries are shown.

The last two are ACE's, as are NextSteps and Sentiment.
"""

_TOPICS = "Topics"
_TASKS = ("Tasks", "NextSteps")
_SENTIMENTS = ("OverallSentiment", "Sentiment")

_WORDING = ("value", "sentence", "text", "emotion")
"""Where a finding's wording stands: `sentence` is the guide's word for ExtractiveSummary, `text` is of trackers."""

_SPLIT = ("questions",)
"""Members that list findings of their own (QuestionsAsked)."""


class _Place(msgspec.Struct, rename="camel"):
    start: Number | None = None
    end: Number | None = None
    confidence: Number | None = None
    speaker_id: str | int | None = None


_PLACE = frozenset(_Place.__struct_encode_fields__)


def read_insights(response: Any) -> tuple[Insight, ...]:
    """Return every finding of a response, in its order; an array is that of recognize-emotion (2022)."""
    if isinstance(response, list):
        return tuple(insight for item in response for insight in _finding("Emotion", item))
    return tuple(insight for member, value in response.items() for insight in _section(member, value))


def conclude(insights: tuple[Insight, ...], raw: Any) -> Analysis | None:
    """Return the analysis that insights make up, None where there are none."""
    if not insights:
        return None
    return Analysis(
        summary=next((text for name in _SUMMARIES if (text := "\n".join(_said(insights, name)))), None),
        sentiment=_sentiment(_said(insights, *_SENTIMENTS)),
        topics=tuple(dict.fromkeys(_said(insights, _TOPICS))),
        action_items=tuple(_said(insights, *_TASKS)),
        insights=insights,
        raw=raw,
    )


def named(name: str, values: Any, *, timed: bool = True) -> Iterator[Insight]:
    """Yield the findings of one name; where they are not `timed`, start and end are no seconds and stay in the value."""
    if not isinstance(values, list) or not values:
        yield Insight(name=name, value=values)
        return
    for item in values:
        if timed or not isinstance(item, dict):
            yield from _finding(name, item)
        else:
            yield Insight(name=name, value=_value(item))


def _section(member: str, value: Any) -> Iterator[Insight]:
    if member in UTTERANCES:
        yield from _of_utterances(value)
    elif member in GROUPS and isinstance(value, list):
        for group in value:
            yield from _group(group, member)
    elif member == "speakerInsights" and isinstance(value, dict):
        for name, inner in value.items():
            yield from _section("conversationalInsights", inner) if name == "insights" else _plain(name, inner)
    else:
        yield from _plain(member, value)


def _plain(name: str, value: Any) -> Iterator[Insight]:
    if value is not None:
        yield Insight(name=name, value=value)


def _of_utterances(utterances: Any) -> Iterator[Insight]:
    for utterance in utterances or ():
        given = utterance.get("insights")
        for item in given if isinstance(given, list) else () if given is None else (given,):
            yield from _of_utterance(utterance, item)


def _of_utterance(utterance: Mapping[str, Any], item: Any) -> Iterator[Insight]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        yield Insight(name="insights", value=item)
        return
    within = {member: utterance.get(member) for member in ("start", "end", "speakerId")}
    rest = {member: value for member, value in item.items() if member != "name"}
    yield from _finding(item["name"], {**within, **rest})


def _group(group: Any, section: str) -> Iterator[Insight]:
    if not isinstance(group, dict) or not isinstance(group.get("name"), str):
        yield Insight(name=section, value=group)
        return
    name = group["name"]
    yield from named(name, group.get("values"))
    for member, value in group.items():
        if member not in ("name", "values"):
            yield from _plain(f"{name}.{member}", value)


def _finding(name: str, item: Any) -> Iterator[Insight]:
    place = _place(item)
    if place is None:
        yield Insight(name=name, value=item)
        return
    speaker = identifier(place.speaker_id)
    rest = {member: value for member, value in item.items() if member not in _PLACE}
    lists = [(member, rest.pop(member)) for member in _SPLIT if isinstance(rest.get(member), list)]
    yield Insight(
        name=name,
        value=_value(rest),
        speaker=speaker,
        start=place.start,
        end=place.end,
        confidence=place.confidence,
    )
    for member, items in lists:
        for inner in items:
            told = {"speakerId": speaker, **inner} if isinstance(inner, dict) else inner
            yield from _finding(f"{name}.{member}", told)


def _place(item: Any) -> _Place | None:
    try:
        return msgspec.convert(item, _Place, strict=False)
    except msgspec.ValidationError:
        return None


def _value(rest: Mapping[str, Any]) -> Any:
    if len(rest) == 1:
        ((member, value),) = rest.items()
        if member in _WORDING:
            return value
    return dict(rest) or None


def _said(insights: Iterable[Insight], *names: str) -> list[str]:
    return [text for insight in insights if insight.name in names and (text := _wording(insight.value))]


def _wording(value: Any) -> str | None:
    if isinstance(value, dict):
        value = next((value[member] for member in _WORDING if member in value), None)
    return value if isinstance(value, str) else None


def _sentiment(words: list[str]) -> Sentiment | None:
    known = {word.casefold() for word in words}
    return next((word for word in get_args(Sentiment) if known == {word}), None)
