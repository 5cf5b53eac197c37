"""Transcripts for the tests of exports: made by hand, and those of every recorded case."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from receiver.contract.model import Result, Segment, Transcript, Word

FIXTURES = Path(__file__).parents[1] / "fixtures"


def a_transcript(**changes: Any) -> Transcript:
    """Return a small transcript of two speakers."""
    known: dict[str, Any] = {
        "id": "trn_0000000000001",
        "version": 1,
        "source": "acme",
        "provider": "acme",
        "operation": "transcription",
        "job_id": "job-1",
        "job": None,
        "call": None,
        "status": "completed",
        "language": "en",
        "duration": 8.0,
        "received_at": "2026-11-20T08:00:00.000Z",
        "created_at": None,
        "completed_at": None,
        "text": "hello world",
        "speakers": [],
        "segments": [],
        "analysis": None,
        "error": None,
        "metadata": {},
        "provenance": {"receipt_id": "rcp_0000000000001", "verdict": "token", "normalizer": "acme/1"},
    }
    return msgspec.convert(msgspec.to_builtins({**known, **changes}), Transcript)


def said(start: float | None, end: float | None, text: str, speaker: str | None = "A", **more: Any) -> Segment:
    """Return a segment."""
    return Segment(start=start, end=end, speaker=speaker, text=text, **more)


def spoken(text: str, start: float = 0.0, pace: float = 0.5) -> tuple[Word, ...]:
    """Return the words of a text, each as long as the next."""
    return tuple(
        Word(start=start + number * pace, end=start + (number + 1) * pace, text=word)
        for number, word in enumerate(text.split())
    )


def recorded() -> Iterator[tuple[str, Transcript]]:
    """Yield a transcript for each result of each recorded case, by the case's name."""
    for file in sorted(FIXTURES.glob("*/*/expected.json")):
        outcomes = msgspec.json.decode(file.read_bytes()).get("outcomes", [])
        for outcome in outcomes:
            if "result" in outcome:
                yield (
                    f"{file.parts[-3]}-{file.parts[-2]}",
                    of_result(msgspec.convert(_whole(outcome["result"]), Result)),
                )


def of_result(result: Result) -> Transcript:
    """Return a result as the transcript that it becomes."""
    shared = {name: getattr(result, name) for name in Result.__struct_fields__ if name in Transcript.__struct_fields__}
    return a_transcript(**shared)


def _whole(result: dict[str, Any]) -> dict[str, Any]:
    """Recorded cases leave out what is null; put it back where it must stand."""
    times = {"start": None, "end": None}
    segments = [{**times, "speaker": None, "text": None, **one} for one in result.get("segments", [])]
    for one in segments:
        if "words" in one:
            one["words"] = [{**times, **word} for word in one["words"]]
    error = {"code": None, "message": None, **result["error"]} if result.get("error") else None
    found = result.get("analysis")
    if found:
        marks = [{"ok": None, **flag} for flag in found.get("flags", [])]
        insights = [{"value": None, **insight} for insight in found.get("insights", [])]
        found = {**found, "flags": marks, "insights": insights}
    return {**result, "segments": segments, "error": error, "analysis": found}
