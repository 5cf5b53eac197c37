"""Roles: who of the speakers is the agent and who the customer, by the rules of a source. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from receiver.contract.model import Call, Outcome, Result, Segment, Speaker
from receiver.contract.reading import Role
from receiver.contract.settings import SourceSettings

_LONGEST = 32
"""Digits and signs of a telephone number."""


def ruled(outcomes: tuple[Outcome, ...], settings: SourceSettings) -> tuple[Outcome, ...]:
    """Return outcomes with the roles that the source's rules give; a rule that does not fit gives none."""
    if not (settings.roles or settings.channels or settings.own_numbers):
        return outcomes
    return tuple(_ruled(outcome, settings) if isinstance(outcome, Result) else outcome for outcome in outcomes)


def _ruled(result: Result, settings: SourceSettings) -> Result:
    segments, speakers = result.segments, result.speakers
    if settings.channels:
        segments, speakers = _channels_as_speakers(segments, speakers)
    by_channel = _by_channel(segments, settings.channels)
    by_number = _by_number(speakers, result.call, settings.own_numbers)
    named = tuple(_with_role(speaker, settings.roles, by_number, by_channel) for speaker in speakers)
    if named == result.speakers and segments is result.segments:
        return result
    return msgspec.structs.replace(result, segments=segments, speakers=named)


def _with_role(speaker: Speaker, *rules: Mapping[str, Role]) -> Speaker:
    """Give a role: the one that the rule by name says, else the provider's own, else that of the other rules."""
    names, *others = rules
    said = names.get(speaker.id) or (names.get(speaker.label) if speaker.label else None) or speaker.role
    role = said or next((rule[speaker.id] for rule in others if speaker.id in rule), None)
    return speaker if role == speaker.role else msgspec.structs.replace(speaker, role=role)


def _channels_as_speakers(
    segments: tuple[Segment, ...], speakers: tuple[Speaker, ...]
) -> tuple[tuple[Segment, ...], tuple[Speaker, ...]]:
    """Make a speaker of each channel, where the provider tells channels apart and no speakers."""
    silent = [one for one in segments if one.speaker is None and one.channel is not None]
    if speakers or not silent or any(one.speaker is not None for one in segments):
        return segments, speakers
    named = tuple(
        one if one.channel is None else msgspec.structs.replace(one, speaker=f"channel-{one.channel}")
        for one in segments
    )
    return named, tuple(
        Speaker(id=f"channel-{channel}", talk_time=_talk_time(one for one in silent if one.channel == channel))
        for channel in dict.fromkeys(one.channel for one in silent)
    )


def _talk_time(segments: Iterable[Segment]) -> float | None:
    spans = [one.end - one.start for one in segments if one.start is not None and one.end is not None]
    return round(sum(span for span in spans if span > 0), 3) if spans else None


def _by_channel(segments: Sequence[Segment], roles: Sequence[Role]) -> dict[str, Role]:
    """Return the role of each speaker who stays in one channel, where the channels are as many as the roles."""
    channels = sorted({str(one.channel) for one in segments if one.channel is not None}, key=_in_order)
    if not roles or len(channels) != len(roles):
        return {}
    heard: dict[str, set[str]] = {}
    for one in segments:
        if one.speaker is not None:
            heard.setdefault(one.speaker, set()).add(str(one.channel))
    known = dict(zip(channels, roles, strict=True))
    only = {speaker: next(iter(of)) for speaker, of in heard.items() if len(of) == 1}
    return {speaker: known[channel] for speaker, channel in only.items() if channel in known}


def _in_order(channel: str) -> tuple[int, str]:
    return (int(channel), "") if channel.isascii() and channel.isdigit() and len(channel) < 10 else (1 << 40, channel)


def _by_number(speakers: Sequence[Speaker], call: Call | None, own: Sequence[str]) -> dict[str, Role]:
    """Return the role of each speaker who is a telephone number: ours are agents, the call's other side the customer."""
    if not own:
        return {}
    ours, theirs = _sides(call, {number for one in own if (number := _digits(one))})
    roles: dict[str, Role] = {}
    for speaker in speakers:
        numbers = {_digits(speaker.id), _digits(speaker.label)}
        if numbers & ours:
            roles[speaker.id] = "agent"
        elif numbers & theirs:
            roles[speaker.id] = "customer"
    return roles


def _sides(call: Call | None, own: set[str]) -> tuple[set[str], set[str]]:
    """Return our numbers and the others' of a call; where none of its numbers is known as ours, its direction decides."""
    if call is None:
        return own, set()
    numbers = {number for one in (call.from_, call.to) if (number := _digits(one))}
    ends = {"inbound": call.to, "outbound": call.from_}
    if not numbers & own and call.direction is not None and (number := _digits(ends[call.direction])):
        own = own | {number}
    return own, numbers - own if numbers & own else set()


def _digits(text: str | None) -> str:
    """Return the digits of a telephone number, without + or 00 before them; "" for what is none."""
    if text is None or len(text) > _LONGEST or any(sign.isalpha() for sign in text):
        return ""
    digits = "".join(sign for sign in text if sign.isascii() and sign.isdigit())
    return digits.removeprefix("00") if not text.strip().startswith("+") else digits
