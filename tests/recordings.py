"""Small real recordings for tests."""

import wave
from pathlib import Path


def a_wave(path: Path, pitch: int = 1, seconds: float = 0.1) -> Path:
    """Write a recording of its own; `pitch` tells one from the other."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        frames = int(8000 * seconds)
        file.writeframes(b"".join((step * pitch % 30_000).to_bytes(2, "little") for step in range(frames)))
    return path
