"""The turns of a Call Analytics result: who said what, when, how loud, how sure, and what was found in it.

Source: tca-output-batch of the Amazon Transcribe guide; Contact Lens (Amazon Connect) has the same turns with other names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from receiver.contract.model import Insight, Segment, Word
from receiver.contract.reading import Table, first, insights, number, text

FOUND = ("IssuesDetected", "OutcomesDetected", "ActionItemsDetected")
_CLOSED_UP = "punctuation"


class Turn:
    """One turn, read: its segment, and what else it says."""

    def __init__(self, turn: Table, roles: Mapping[str, str]) -> None:
        """`roles` says who a `ParticipantId` is (Contact Lens)."""
        speaker = first(text, (turn, "ParticipantRole"))
        if speaker is None and (name := first(text, (turn, "ParticipantId"))) is not None:
            speaker = roles.get(name, name)
        begin, end = seconds(turn, "BeginOffsetMillis"), seconds(turn, "EndOffsetMillis")
        content = first(text, (turn, "Content"))
        words, rest = _words(turn.pop("Items", None))
        sure = [word.confidence for word in words if word.confidence is not None]
        self.segment = Segment(
            start=begin,
            end=end,
            speaker=speaker,
            text=content,
            confidence=round(sum(sure) / len(sure), 4) if sure else None,
            sentiment=_sentiment(turn),
            words=tuple(words) if words else None,
        )
        self.actions = tuple(phrase for _, phrase in _with_phrase(turn.get("ActionItemsDetected"), content) if phrase)
        found = (*self._found(turn, content), *self._rest(turn), *map(self._insight, rest))
        self.insights = tuple(one for one in found if one.value not in ([], {}))

    def _found(self, turn: Table, content: str | None) -> Iterator[Insight]:
        for kind in FOUND:
            for one, phrase in _with_phrase(turn.pop(kind, None), content):
                value = {"text": phrase, **one} if isinstance(one, dict) else one
                yield self._insight((kind, value))

    def _rest(self, turn: Table) -> Iterator[Insight]:
        """Yield everything that has no place of its own: loudness, redaction, members of other versions."""
        turn.pop("Id", None)
        for key, value in turn.items():
            if isinstance(value, list) and value:
                yield self._insight((key, value))
            else:
                yield from (self._insight((one.name, one.value)) for one in insights(key, value))

    def _insight(self, found: tuple[str, Any]) -> Insight:
        segment = self.segment
        return Insight(name=found[0], value=found[1], speaker=segment.speaker, start=segment.start, end=segment.end)


def seconds(place: Table, key: str) -> float | None:
    """Take milliseconds out of a table and return them as seconds."""
    found = first(number, (place, key))
    return None if found is None else round(found / 1000, 3)


def _sentiment(turn: Table) -> str | None:
    found = first(text, (turn, "Sentiment"))
    return found.lower() if found else None


def _with_phrase(found: Any, content: str | None) -> Iterator[tuple[Any, str | None]]:
    """Yield each finding with its words: its own `Text`, else what its offsets cut out of the turn.

    Offsets count characters from 0, the end is exclusive; those of one published example are off by one, so they are
    clamped and never believed to be whole words.
    """
    for one in found if isinstance(found, list) else ():
        yield one, _phrase(one, content) if isinstance(one, dict) else None


def _phrase(one: Table, content: str | None) -> str | None:
    if (own := text(one.get("Text"))) is not None:
        return own
    for name in ("CharacterOffsets", "RedactedCharacterOffsets", "UnredactedCharacterOffsets"):
        offsets = one.get(name)
        if isinstance(offsets, dict) and content is not None:
            begin = number(offsets.get("Begin", offsets.get("BeginOffsetChar")))
            end = number(offsets.get("End", offsets.get("EndOffsetChar")))
            if begin is not None and end is not None:
                return content[max(0, int(begin)) : max(0, int(end))] or None
    return None


def _words(items: Any) -> tuple[list[Word], list[tuple[str, Any]]]:
    """Return the words, each with the punctuation that follows it, and what items say beyond that."""
    words: list[Word] = []
    rest: list[tuple[str, Any]] = []
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            rest.append(("Items", item))
            continue
        said = first(text, (item, "Content")) or ""
        if item.get("Type") == _CLOSED_UP:
            del item["Type"]
            if item.get("Confidence") == 0:
                del item["Confidence"]
            if words:
                words[-1] = _closed_up(words[-1], said)
            else:
                item["Content"] = said
        else:
            words.append(_word(item, said))
        rest += [(f"Items.{one.name}", one.value) for key, value in item.items() for one in insights(key, value)]
    return words, rest


def _word(item: Table, said: str) -> Word:
    if item.get("Type") == "pronunciation":
        del item["Type"]
    sure = first(_share, (item, "Confidence"))
    if sure is None:
        sure = _of_redaction(item)
    return Word(
        start=seconds(item, "BeginOffsetMillis"), end=seconds(item, "EndOffsetMillis"), text=said, confidence=sure
    )


def _closed_up(word: Word, mark: str) -> Word:
    return Word(start=word.start, end=word.end, text=word.text + mark, confidence=word.confidence)


def _of_redaction(item: Table) -> float | None:
    """Return how sure it is that a `[PII]` hides something: such an item has no confidence of its own."""
    marks = item.get("Redaction")
    if isinstance(marks, list) and marks and isinstance(marks[0], dict):
        return first(_share, (marks[0], "Confidence"))
    return None


def _share(value: Any) -> float | None:
    """Return a number that may stand in a text: Amazon writes confidences either way."""
    if isinstance(value, str):
        try:
            return number(float(value))
        except ValueError:
            return None
    return number(value)


def participants(document: Table) -> dict[str, str]:
    """Return who each `ParticipantId` is; the participants stay where they are."""
    listed = document.get("Participants")
    known = {}
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and (name := text(one.get("ParticipantId"))) is not None:
            known[name] = text(one.get("ParticipantRole")) or name
    return known
