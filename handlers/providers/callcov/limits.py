"""What CallCov takes: formats, sizes, members and times of submissions, checked before anything is sent."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from receiver.contract.asking import MIB, Submission
from receiver.contract.errors import UsageError
from receiver.contract.times import to_rfc3339

Generation = Literal["analysis", "calls"]

_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/mp4": "mp4",
    "video/mp4": "mp4",
    "audio/webm": "webm",
    "video/webm": "webm",
}
_LARGEST: Mapping[Generation, Mapping[str, int]] = {
    "calls": {"wav": 100, "flac": 100, "mp3": 50, "m4a": 50, "ogg": 50},
    "analysis": dict.fromkeys(("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"), 500),
}
"""Formats and the most that each may have, in what the pages call MB (S0, S3): taken as MiB, so that nothing is refused here
that CallCov might take."""
_EXTENSIONS = {"mpga": "mp3", "mpeg": "mp3", "oga": "ogg", "opus": "ogg"}
_LOWEST_RATE = 16_000
"""Hertz: the least that S0 advises; a recording below it, such as one of a telephone network, is taken all the same."""
_OPTIONS = frozenset({"agent", "contact", "direction", "timestamp"})


def check(submission: Submission, generation: Generation, *, by_url: bool) -> None:
    """Raise UsageError, naming file and way out, for what is known to be refused."""
    name = submission.recording.name
    if unknown := sorted(submission.options.keys() - _OPTIONS):
        raise UsageError(
            f"{name}: call-analysis has no option {', '.join(unknown)}; it has {', '.join(sorted(_OPTIONS))}"
        )
    for option, member in (("agent", "agent_id"), ("contact", "contact_id")):
        if not party(submission, option):
            raise UsageError(f"{name}: CallCov wants to know {member}: give the option {option}")
    _check_call(submission, generation)
    _check_format(submission, generation)
    if by_url and not submission.recording.url:
        raise UsageError(f"{name}: CallCov is to fetch it, and there is no address: give a URL, or set public_url")


def party(submission: Submission, option: str) -> str | None:
    """Return who took part: by the option, else as the call says."""
    call = submission.call
    told = (call.agent_id if option == "agent" else call.contact_id) if call else None
    return str(submission.options.get(option) or told or "") or None


def direction(submission: Submission) -> str | None:
    """Return the call's direction: by the option, else as the call says."""
    return submission.options.get("direction") or (submission.call.direction if submission.call else None)


def began(submission: Submission) -> str | None:
    """Return when the call began, in ISO 8601: by the option, else as the call says."""
    return to_rfc3339(submission.options.get("timestamp")) or (submission.call.started_at if submission.call else None)


def advice(submission: Submission) -> tuple[str, ...]:
    """Return what CallCov advises against, in words."""
    rate = submission.recording.sample_rate
    if rate is None or rate >= _LOWEST_RATE:
        return ()
    return (f"{submission.recording.name}: {rate} Hz; CallCov advises {_LOWEST_RATE} Hz or more",)


def opens(now: float, window: tuple[time, time], zone: str | None) -> float:
    """Return the first moment from `now` on that lies in a window of each day; one that ends earlier spans midnight."""
    place: tzinfo = ZoneInfo(zone) if zone else UTC
    here = datetime.fromtimestamp(now, place)
    start, end = window
    clock = here.time()
    inside = start <= clock < end if start < end else clock >= start or clock < end
    if inside:
        return now
    day = here.date() if clock < start else here.date() + timedelta(days=1)
    return datetime.combine(day, start, place).timestamp()


def _check_call(submission: Submission, generation: Generation) -> None:
    name = submission.recording.name
    given = [option for option in ("direction", "timestamp") if option in submission.options]
    if given and generation == "analysis":
        raise UsageError(
            f'{name}: generation "analysis" has no {" and no ".join(given)}; set generation = "calls", or leave it out'
        )
    if direction(submission) not in {None, "inbound", "outbound"}:
        raise UsageError(f"{name}: direction is inbound or outbound")
    if "timestamp" in submission.options and to_rfc3339(submission.options["timestamp"]) is None:
        raise UsageError(f"{name}: timestamp is a time of ISO 8601 with its zone, such as 2026-01-15T10:30:00Z")


def _check_format(submission: Submission, generation: Generation) -> None:
    recording, largest = submission.recording, _LARGEST[generation]
    kind = _format(recording.content_type, recording.name, generation)
    if kind is None or kind not in largest:
        raise UsageError(
            f"{recording.name}: CallCov takes no {recording.content_type}; it takes {', '.join(sorted(largest))}"
        )
    if recording.size == 0:
        raise UsageError(f"{recording.name}: it is empty")
    if recording.size is not None and recording.size > largest[kind] * MIB:
        raise UsageError(
            f"{recording.name}: {recording.size:,} bytes are more than the {largest[kind]} MB of {kind} that CallCov takes; "
            "compress it, or split it"
        )


def _format(content_type: str, name: str, generation: Generation) -> str | None:
    """Return CallCov's word for a format; MPEG-4 sound is m4a where there is no mp4."""
    found = _FORMATS.get(content_type)
    if found is None and content_type in {"", "application/octet-stream"}:
        extension = name.rpartition(".")[2].lower()
        found = _EXTENSIONS.get(extension, extension)
    return "m4a" if found == "mp4" and generation == "calls" and not name.lower().endswith(".mp4") else found
