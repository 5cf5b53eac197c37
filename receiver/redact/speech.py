"""Speech: the segments of a transcript, their words, and the whole text, masked alike.

A value may run over several words, and over several segments of one speaker with no more than a few words of another
between them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from receiver.redact.found import Span
from receiver.redact.lines import find_over, merged, placed
from receiver.redact.redactor import Redactor

INTERJECTION = 6
"""Words of another speaker that may stand in the middle of a value: "okay, go ahead"."""

Segment = dict[str, Any]


Walk = Callable[[Any], Any]
"""Masks any JSON."""

_TIMES = frozenset({"start", "end", "confidence"})


class _Names:
    """Speakers, whose names stay different where they are masked."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._known: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if name not in self._known:
            masked, number = self._redactor.text(name), 2
            shown = masked
            while shown in self._taken and shown != name:
                shown, number = f"{masked} {number}", number + 1
            self._known[name] = shown
            self._taken.add(shown)
        return self._known[name]


def mask_speech(event: dict[str, Any], redactor: Redactor, walk: Walk) -> dict[str, Any]:
    """Return those of `text`, `speakers` and `segments` that an event has in a transcript's form, masked.

    `walk` masks what they hold beyond that form.
    """
    segments = event.get("segments")
    if not isinstance(segments, list) or not all(isinstance(one, dict) for one in segments):
        return {}
    names = _Names(redactor)
    said: dict[str, Any] = {}
    speakers = event.get("speakers")
    if isinstance(speakers, list) and all(isinstance(one, dict) for one in speakers):
        said["speakers"] = [_speaker(one, names, walk) for one in speakers]
    found = _found(segments, redactor)
    said["segments"] = [
        _Masking(redactor, names, walk).segment(segment, spans, words)
        for segment, (spans, words) in zip(segments, found, strict=True)
    ]
    if isinstance(text := event.get("text"), str):
        said["text"] = redactor.masked(text, [*redactor.find(text), *_moved(segments, found, text)])
    return said


def _speaker(speaker: dict[str, Any], names: _Names, walk: Walk) -> dict[str, Any]:
    return {key: names.of(value) if key == "id" else walk(value) for key, value in speaker.items()}


Found = tuple[list[Span], list[list[Span]]]
"""What is masked in a segment's text, and in each of its words."""


def _found(segments: Sequence[Segment], redactor: Redactor) -> list[Found]:
    found: list[Found] = [([], []) for _ in segments]
    for chain in chains(segments):
        texts = [_text(segments[at]) for at in chain]
        alone = [redactor.find(text) for text in texts]
        over = find_over(texts, redactor.find) if len(texts) > 1 else [[] for _ in texts]
        words = [_words(segments[at]) for at in chain]
        each = iter(find_over([word for one in words for word in one], redactor.find))
        for number, at in enumerate(chain):
            spans = [*alone[number], *over[number]]
            by_word = [next(each) for _ in words[number]]
            found[at] = _both_ways(texts[number], words[number], spans, by_word)
    return found


def _both_ways(text: str, words: list[str], spans: list[Span], by_word: list[list[Span]]) -> Found:
    """Add to the words what was found in the text, and to the text what was found in the words."""
    if not spans and not any(by_word):
        return spans, by_word
    places = placed(words, text)
    wider = list(spans)
    for place, found in zip(places, by_word, strict=True):
        if place is not None:
            wider += [Span(place[0] + one.start, place[0] + one.end, one.kind, one.value) for one in found]
    cut = [[*found, *parts] for parts, found in zip(_parts(merged(spans), places), by_word, strict=True)]
    return wider, cut


def _parts(spans: Sequence[Span], places: Sequence[tuple[int, int] | None]) -> Iterator[list[Span]]:
    """Yield for each place the parts of spans that lie in it, counted from its begin; both are in order."""
    first = 0
    for place in places:
        parts: list[Span] = []
        start, end = place or (0, 0)
        while place and first < len(spans) and spans[first].end <= start:
            first += 1
        here = first
        while here < len(spans) and spans[here].start < end:
            one = spans[here]
            parts.append(Span(max(one.start, start) - start, min(one.end, end) - start, one.kind, one.value))
            here += 1
        yield parts


def chains(segments: Sequence[Segment]) -> list[list[int]]:
    """Return which segments are read as one: a speaker's, as long as others only interject."""
    done: list[list[int]] = []
    going: dict[Any, list[int]] = {}
    for at, segment in enumerate(segments):
        speaker = str(segment.get("speaker"))
        if len(_text(segment).split(None, INTERJECTION + 1)) > INTERJECTION:
            going = {speaker: going[speaker]} if speaker in going else {}
        if speaker not in going:
            going[speaker] = []
            done.append(going[speaker])
        going[speaker].append(at)
    return done


def _text(segment: Segment) -> str:
    text = segment.get("text")
    return text if isinstance(text, str) else ""


def _words(segment: Segment) -> list[str]:
    words = segment.get("words")
    if not isinstance(words, list):
        return []
    return [word["text"] if isinstance(word, dict) and isinstance(word.get("text"), str) else "" for word in words]


class _Masking:
    """Makes masked segments and words of what was found in them."""

    def __init__(self, redactor: Redactor, names: _Names, walk: Walk) -> None:
        self._redactor = redactor
        self._names = names
        self._walk = walk

    def segment(self, segment: Segment, spans: list[Span], by_word: list[list[Span]]) -> Segment:
        words = segment.get("words")
        masked = self._members({**segment, "words": None} if "words" in segment else segment, spans)
        if isinstance(words, list):
            masked["words"] = [
                self._members(word, found) if isinstance(word, dict) else self._walk(word)
                for word, found in zip(words, by_word, strict=True)
            ]
        elif words is not None:
            masked["words"] = self._walk(words)
        return masked

    def _members(self, said: dict[str, Any], spans: list[Span]) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        for key, value in said.items():
            if key == "text" and isinstance(value, str):
                masked[key] = self._redactor.masked(value, spans)
            elif key in ("speaker", "channel"):
                masked[key] = self._names.of(value)
            else:
                masked[key] = value if key in _TIMES or value is None else self._walk(value)
        return masked


def _moved(segments: Sequence[Segment], found: Sequence[Found], text: str) -> list[Span]:
    """Return what was found in segments, where they stand in the whole text."""
    places = placed([_text(segment) for segment in segments], text)
    return [
        Span(place[0] + one.start, place[0] + one.end, one.kind, one.value)
        for place, (spans, _) in zip(places, found, strict=True)
        if place is not None
        for one in spans
    ]
