"""What RingCentral's AI jobs give, small, by the path that they were submitted to (SPEC, the guide's samples)."""

from typing import Any

_UTTERANCES = [
    {"start": 0.2, "end": 2.1, "text": "Good morning.", "speakerId": "0", "confidence": 0.94, "wordTimings": []},
    {"start": 2.4, "end": 5.0, "text": "My line is dead.", "speakerId": "1", "confidence": 0.91, "wordTimings": []},
]
_WORDS = [
    {"word": "good", "start": 0.2, "end": 0.8, "confidence": 0.93, "speakerId": "0"},
    {"word": "morning", "start": 0.9, "end": 2.1, "confidence": 0.95, "speakerId": "0"},
    {"word": "my", "start": 2.4, "end": 2.8, "confidence": 0.9, "speakerId": "1"},
]
_SUMMARY = {"name": "AbstractiveShort", "values": [{"value": "A line is dead.", "start": 0.2, "end": 5.0}]}

RESULTS: dict[str, dict[str, Any]] = {
    "/ai/audio/v1/async/speech-to-text": {
        "transcript": "Good morning. My line is dead.",
        "words": _WORDS,
        "confidence": 0.92,
        "speakerCount": 2,
        "utterances": _UTTERANCES,
    },
    "/ai/audio/v1/async/speaker-diarize": {
        "speakerCount": 2,
        "utterances": [{key: one[key] for key in ("start", "end", "speakerId", "confidence")} for one in _UTTERANCES],
    },
    "/ai/insights/v1/async/analyze-interaction": {
        "utteranceInsights": [{**one, "insights": []} for one in _UTTERANCES],
        "speakerInsights": {
            "speakerCount": 2,
            "insights": [{"name": "Pace", "values": [{"speakerId": "0", "value": "medium", "wpm": 131.4}]}],
        },
        "conversationalInsights": [{"name": "AbstractiveSummaryShort", "values": _SUMMARY["values"]}],
    },
    "/ai/text/v1/async/summarize": {"summaries": [_SUMMARY]},
    "/ai/text/v1/async/punctuate": {"texts": ["Good morning.", "My line is dead."]},
}
