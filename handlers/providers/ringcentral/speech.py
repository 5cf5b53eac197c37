"""What was said: text, segments and words, from whichever of transcript, words, utterances and texts are there."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any

import msgspec

from handlers.providers.ringcentral.typed import Number, read, unplaced
from receiver.contract.model import Segment, Word
from receiver.contract.reading import identifier, joined

MEMBERS = frozenset({"transcript", "words", "utterances", "utteranceInsights", "texts"})
"""Members of `response` that are read here."""

UTTERANCES = ("utterances", "utteranceInsights")
"""Speech to text, diarization and identification name them so; interaction analysis adds insights to each."""


class _Word(msgspec.Struct, rename="camel", gc=False):
    """`words[]` and `wordTimings[]`: SPEC gives the latter only word and times, samples since 2024 give all."""

    word: str | None = None
    start: Number | None = None
    end: Number | None = None
    confidence: Number | None = None
    speaker_id: str | int | None = None


class _Utterance(msgspec.Struct, rename="camel"):
    """One of `utterances[]`, `utteranceInsights[]`; identify's confidence is no probability (35.42 in a sample)."""

    start: Number | None = None
    end: Number | None = None
    text: str | None = None
    confidence: Number | None = None
    speaker_id: str | int | None = None
    word_timings: list[_Word] | None = None


_WORD = frozenset(_Word.__struct_encode_fields__)
_UTTERANCE = frozenset((*_Utterance.__struct_encode_fields__, "insights"))


class Speech(msgspec.Struct, frozen=True):
    """Text and segments; `unplaced` holds members that neither has a place for, by path."""

    text: str | None
    segments: tuple[Segment, ...]
    unplaced: dict[str, Any]


def read_speech(response: Mapping[str, Any]) -> Speech:
    """Read what was said. Raises Unreadable."""
    given = response.get("transcript")
    transcript = None if given is None else read(str, given, "response.transcript")
    words, rest = _words(response.get("words"))
    utterances: list[_Utterance] = []
    for member in UTTERANCES:
        more, unknown = _utterances(response.get(member), f"response.{member}")
        utterances += more
        rest |= unknown
    texts = read(list[str], _listed(response.get("texts")), "response.texts")
    segments = _segments(transcript, words, utterances)
    segments += [Segment(start=None, end=None, speaker=None, text=text) for text in texts]
    text = joined(segments) if transcript is None else transcript
    return Speech(text, tuple(segments), rest)


def _words(given: Any) -> tuple[list[_Word], dict[str, Any]]:
    given = _listed(given)
    words = read(list[_Word], given, "response.words")
    return words, unplaced(given, _WORD, "response.words")


def _utterances(given: Any, path: str) -> tuple[list[_Utterance], dict[str, Any]]:
    given = _listed(given)
    utterances = read(list[_Utterance], given, path)
    rest = unplaced(given, _UTTERANCE, path)
    for index, item in enumerate(given):
        rest |= unplaced(_listed(item.get("wordTimings")), _WORD, f"{path}[{index}].wordTimings")
    return utterances, rest


def _listed(given: Any) -> Any:
    return [] if given is None else given


def _segments(transcript: str | None, words: list[_Word], utterances: list[_Utterance]) -> list[Segment]:
    if not utterances:
        return _turns(words, transcript)
    if words:
        _complete(utterances, words)
    return [_segment(utterance) for utterance in utterances]


def _segment(utterance: _Utterance) -> Segment:
    timings = utterance.word_timings
    return Segment(
        start=utterance.start,
        end=utterance.end,
        speaker=identifier(utterance.speaker_id),
        text=utterance.text,
        confidence=utterance.confidence,
        words=None if timings is None else _placed(timings),
    )


def _placed(words: Iterable[_Word]) -> tuple[Word, ...]:
    return tuple(
        [
            Word(
                start=word.start,
                end=word.end,
                text=word.word or "",
                confidence=word.confidence,
                speaker=identifier(word.speaker_id),
            )
            for word in words
        ]
    )


def _complete(utterances: list[_Utterance], words: list[_Word]) -> None:
    """Give utterances what only the top-level `words` say: confidence and speaker, or the words themselves."""
    lacking = [utterance for utterance in utterances if utterance.word_timings is None]
    if lacking:
        _hand_out(words, utterances, lacking)
        return
    timings = list(chain.from_iterable(utterance.word_timings or () for utterance in utterances))
    if len(timings) != len(words) or any(a.word != b.word for a, b in zip(timings, words, strict=True)):
        return
    for timing, word in zip(timings, words, strict=True):
        if timing.confidence is None:
            timing.confidence = word.confidence
        if timing.speaker_id is None:
            timing.speaker_id = word.speaker_id


def _hand_out(words: list[_Word], utterances: list[_Utterance], lacking: list[_Utterance]) -> None:
    """Give each word to the last utterance that starts before it, if that one has no words of its own."""
    starts = sorted((one.start, index) for index, one in enumerate(utterances) if one.start is not None)
    taken: dict[int, list[_Word]] = {id(one): [] for one in lacking}
    for word in words if starts else ():
        at = bisect_right(starts, (word.start or 0.0, len(utterances))) - 1
        home = utterances[starts[max(at, 0)][1]]
        if id(home) in taken:
            taken[id(home)].append(word)
    for one in lacking:
        one.word_timings = taken[id(one)] or None


def _turns(words: list[_Word], transcript: str | None) -> list[Segment]:
    """Make a segment of each run of words by one speaker; without speakers that is one segment."""
    runs = [list(run) for _, run in groupby(words, key=attrgetter("speaker_id"))]
    return [
        Segment(
            start=run[0].start,
            end=run[-1].end,
            speaker=identifier(run[0].speaker_id),
            text=text,
            words=_placed(run),
        )
        for run, text in zip(runs, _texts(runs, transcript), strict=True)
    ]


def _texts(runs: Sequence[list[_Word]], transcript: str | None) -> list[str]:
    """Return each run's text: its piece of the transcript where that has the same words, else its bare words."""
    if len(runs) == 1 and transcript:
        return [transcript]
    bare = [[word.word or "" for word in run] for run in runs]
    tokens = (transcript or "").split()
    words = list(chain.from_iterable(bare))
    same = len(tokens) == len(words) and _letters(tokens) == _letters(words)
    if not same:
        return [" ".join(run) for run in bare]
    pieces = iter(tokens)
    return [" ".join(islice(pieces, len(run))) for run in bare]


def _letters(words: Iterable[str]) -> list[str]:
    """Return words without punctuation and capitals."""
    return re.sub(r"[^\w\n]+", "", "\n".join(words)).casefold().split("\n")
