"""Recordings that CallMissed analyses at once, and questions about their text.

Sources: S0 docs/stt-batch, S3 docs/call-analytics. Later indexes of the vendor's pages list neither any more (S18).
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from receiver.contract.asking import MIB, Fetched, Form, FormFile, Recording, Submission
from receiver.contract.errors import ProviderRefused, UsageError

ANALYZE = "/api/v1/analytics/calls/analyze"
QUESTION = "/api/v1/analytics/calls/question"
PATIENCE = 300.0
"""Seconds; what the vendor's sample gives one request, which returns everything (S3)."""
JOB_ID = b"hookscribe-job-id"

_LARGEST = 100 * MIB
"""Bytes; the pages say "100 MB", and the larger reading refuses nothing that might be taken."""
_FORMATS: Mapping[str, str] = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".mp4": "audio/mp4",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".webm": "audio/webm",
    ".aac": "audio/aac",
    ".amr": "audio/amr",
}
"""The nine formats (S0), by the end of the file's name."""
_LONGEST = 1 << 20
"""Characters of a transcript that goes with a question; no limit is documented, this is ours."""


def check(submission: Submission) -> None:
    """Raise UsageError for what is no file of ours, empty, too large, of another format, or has options."""
    recording = submission.recording
    if recording.size is None:
        raise UsageError(f"{recording.name}: CallMissed takes files only, not addresses; download it first")
    if recording.size == 0:
        raise UsageError(f"{recording.name}: the file is empty")
    if recording.size > _LARGEST:
        raise UsageError(
            f"{recording.name}: {recording.size} bytes; CallMissed takes 100 MB, compress it or cut it into parts"
        )
    if _kind(recording) is None:
        known = ", ".join(sorted(_FORMATS))
        raise UsageError(f"{recording.name}: CallMissed takes {known}; convert it, or rename it if it is one of these")
    if submission.options:
        raise UsageError(f"{recording.name}: CallMissed knows no {', '.join(submission.options)}; it knows --language")


def _kind(recording: Recording) -> str | None:
    return _FORMATS.get(PurePath(recording.name).suffix.lower())


def form(submission: Submission) -> Form:
    """Return the body of an upload that was checked."""
    fields = (("language", submission.language),) if submission.language else ()
    kind = _kind(submission.recording) or submission.recording.content_type
    return Form(fields=fields, file=FormFile(field="file", name=submission.recording.name, content_type=kind))


def job_id(submission: Submission) -> str:
    """Return what names the analysis: the answer has no id, so it is recording and language that do."""
    return f"sha256:{submission.recording.sha256 or submission.serial}:{submission.language or 'unknown'}"


def result(body: bytes, name: str) -> Fetched:
    """Return the answer to an upload. Raises ProviderRefused for what is no analysis."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("transcript"), str):
        raise ProviderRefused("CallMissed's answer holds no transcript")
    return Fetched(body=body, headers=((JOB_ID, name.encode()),), job_id=name)


def question(transcript: str, asked: str) -> dict[str, Any]:
    """Return the body of a question. Raises UsageError where there is nothing to ask about."""
    if not transcript.strip():
        raise UsageError("the transcript has no text that could be asked about")
    if not asked.strip():
        raise UsageError("the question is empty")
    if len(transcript) > _LONGEST:
        raise UsageError(f"the transcript has {len(transcript)} characters; {_LONGEST} are the most")
    return {"transcript": transcript, "question": asked}
