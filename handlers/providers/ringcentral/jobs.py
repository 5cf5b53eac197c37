"""RingCentral's AI jobs: what is sent for each operation, and what its answers say.

Source: SPEC of 2025-09-23, the last with all of them, and https://developers.ringcentral.com/guide/ai (deprecated since 2026-05).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from receiver.contract.asking import Answer, Recording, Submission
from receiver.contract.errors import ProviderRefused, UsageError

PATHS = {
    "transcription": "/ai/audio/v1/async/speech-to-text",
    "diarization": "/ai/audio/v1/async/speaker-diarize",
    "interaction-analysis": "/ai/insights/v1/async/analyze-interaction",
    "summarization": "/ai/text/v1/async/summarize",
    "punctuation": "/ai/text/v1/async/punctuate",
}
STATUS = "/ai/status/v1/jobs/"
LATEST = 1800.0
"""Seconds in which a job is usually done: five to ten minutes, half an hour at the most (FAQ of the guide)."""

_ENCODINGS = {
    "audio/mpeg": "Mpeg",
    "audio/mp3": "Mpeg",
    "audio/mp4": "Mp4",
    "audio/x-m4a": "Mp4",
    "audio/m4a": "Mp4",
    "video/mp4": "Mp4",
    "audio/wav": "Wav",
    "audio/x-wav": "Wav",
    "audio/wave": "Wav",
    "audio/webm": "Webm",
    "video/webm": "Webm",
    "audio/aac": "Aac",
    "audio/ogg": "Ogg",
}
"""The words of the API's `encoding`, by media type."""
_AUDIO = frozenset(
    {"source", "audioType", "speakerCount", "separateSpeakerPerChannel", "enableVoiceActivityDetection", "sampleRate"}
)
_OPTIONS = {
    "transcription": _AUDIO | {"enablePunctuation", "enableSpeakerDiarization", "speechContexts", "enableWordTimings"},
    "diarization": _AUDIO,
    "interaction-analysis": _AUDIO | {"insights", "speechContexts", "enableWordTimings"},
    "summarization": frozenset({"summaryType", "utterances"}),
    "punctuation": frozenset({"texts"}),
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "transcription": {
        "enablePunctuation": True,
        "enableSpeakerDiarization": True,
        "enableVoiceActivityDetection": True,
    },
    "diarization": {"enableVoiceActivityDetection": True},
    "interaction-analysis": {"insights": ["All"], "enableVoiceActivityDetection": True},
    "summarization": {"summaryType": "All"},
    "punctuation": {},
}
"""What the guide recommends; an option of the same name counts instead."""


def check(submission: Submission) -> None:
    """Raise UsageError for an operation, an option or a format that the API does not know."""
    operation, name = submission.operation, submission.recording.name
    if operation not in PATHS:
        raise UsageError(f"ringcentral: there is no operation {operation}; there are {', '.join(PATHS)}")
    if unknown := sorted(submission.options.keys() - _OPTIONS[operation]):
        known = ", ".join(sorted(_OPTIONS[operation]))
        raise UsageError(f"{name}: {operation} has no option {', '.join(unknown)}; it has {known}")
    if operation in ("summarization", "punctuation"):
        key = "utterances" if operation == "summarization" else "texts"
        if not submission.options.get(key):
            raise UsageError(f"{name}: {operation} needs the option {key}, a JSON list that is not empty")
    elif submission.recording.content_type not in _ENCODINGS:
        raise UsageError(
            f"{name}: RingCentral takes no {submission.recording.content_type}; it takes {', '.join(sorted(_ENCODINGS))}"
        )
    language = submission.language or "en-US"
    if not language.startswith("en"):
        raise UsageError(f"{name}: RingCentral's AI understands English only, not {language}")


def body(submission: Submission, encoding: str | None = None) -> bytes:
    """Return the JSON of a submission that was checked."""
    options = _DEFAULTS[submission.operation] | submission.options
    if submission.operation in ("summarization", "punctuation"):
        return msgspec.json.encode(options)
    recording = submission.recording
    media = {"contentUri": recording.url, "encoding": encoding or encoding_of(recording)}
    return msgspec.json.encode({**media, "languageCode": submission.language or "en-US", **options})


def encoding_of(recording: Recording) -> str:
    """Return the API's word for a recording's format."""
    return _ENCODINGS[recording.content_type]


def job_id(answer: Answer) -> str:
    """Read the answer to a submission: 202 with `jobId`. Raises ProviderRefused."""
    found = answer.members().get("jobId")
    try:
        return str(UUID(str(found)))
    except ValueError:
        raise ProviderRefused("RingCentral's answer holds no jobId") from None


def is_running(document: Mapping[str, Any]) -> bool:
    """Say whether a status is none of a job that ended; words that nobody documents count as running."""
    return str(document.get("status")) not in {"Success", "Fail"} and "response" not in document
