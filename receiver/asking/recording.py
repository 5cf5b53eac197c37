"""Recordings on this machine: looked at before they are sent: size, digest, format."""

import hashlib
import wave
from collections.abc import Callable
from pathlib import Path

from receiver.contract.asking import Recording
from receiver.contract.errors import UsageError

_PIECE = 1 << 20
_HEADS: tuple[tuple[int, bytes, str], ...] = (
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (4, b"ftyp", "audio/mp4"),
    (0, b"\x1aE\xdf\xa3", "audio/webm"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"FORM", "audio/aiff"),
)
"""Where in a file which bytes stand for which type."""
_NAMES = {
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".ogg": "audio/ogg", ".oga": "audio/ogg",
    ".opus": "audio/ogg", ".m4a": "audio/mp4", ".mp4": "audio/mp4", ".webm": "audio/webm", ".amr": "audio/amr",
    ".aac": "audio/aac", ".aif": "audio/aiff", ".aiff": "audio/aiff", ".wma": "audio/x-ms-wma",
}  # fmt: skip
_UNKNOWN = "application/octet-stream"

Progress = Callable[[int], None]


def recording_of(path: Path, progress: Progress | None = None, *, name: str | None = None) -> Recording:
    """Return what is to be known of a file; reads all of it, a piece at a time, and tells `progress` their sizes.

    `name` is what its owner calls it, where that is another name. Raises UsageError, which names the file and the way out.
    """
    shown = name or path
    try:
        if path.is_dir():
            raise UsageError(f"{shown} is a folder: name the files in it, such as {shown}/*.wav")
        digest, size, head = _read(path, progress)
    except FileNotFoundError:
        raise UsageError(f"{shown}: there is no such file; check the name") from None
    except PermissionError:
        raise UsageError(f"{shown} cannot be read: its permissions keep this user out") from None
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    if not size:
        raise UsageError(f"{shown} is empty: was the recording still being written?")
    rate, duration = _wave_facts(path) if head[8:12] == b"WAVE" else (None, None)
    return Recording(
        name=name or path.name,
        size=size,
        sha256=digest,
        content_type=content_type(name or path.name, head),
        sample_rate=rate,
        duration=duration,
    )


def content_type(name: str, head: bytes) -> str:
    """Return the media type that a file's first bytes show, else that of its name, else application/octet-stream."""
    for place, mark, found in _HEADS:
        if head[place : place + len(mark)] == mark:
            return found
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:  # an MPEG frame of layer III
        return "audio/mpeg"
    return _NAMES.get(Path(name).suffix.lower(), _UNKNOWN)


def _read(path: Path, progress: Progress | None) -> tuple[str, int, bytes]:
    digest, size, head = hashlib.sha256(), 0, b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            head = head or piece[:16]
            digest.update(piece)
            size += len(piece)
            if progress:
                progress(len(piece))
    return digest.hexdigest(), size, head


def _wave_facts(path: Path) -> tuple[int | None, float | None]:
    """Return sample rate and seconds of a PCM file; None for what its head does not tell."""
    try:
        with wave.open(str(path), "rb") as file:
            rate = file.getframerate()
            return rate, file.getnframes() / rate if rate else None
    except (wave.Error, EOFError, OSError):
        return None, None
