"""A recording larger than the memory that may be used goes out in chunks, from a process whose memory is measured."""

import asyncio
import sys
from pathlib import Path

import pytest
from programs import environment

from receiver.testing.emulators.rythmex import CHUNK, RythmexEmulator
from receiver.testing.emulators.serving import serving

pytestmark = pytest.mark.system

TESTS = Path(__file__).parents[1]
SIZE = 2 << 30
MOST = 150 * 1024
"""KiB."""


async def test_two_gibibytes_take_little_memory(tmp_path: Path) -> None:
    """2 GiB arrive whole, in chunks of 5 MiB, and the process that sends them stays below 150 MiB."""
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(SIZE)
    emulator = RythmexEmulator(token="token-of-the-large-upload")
    async with serving(emulator.app) as base:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(TESTS / "system" / "uploading.py"),
            *(base, str(path), emulator.token),
            env=environment(PYTHONPATH=str(TESTS)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(child.communicate(), 300)
    assert child.returncode == 0
    (upload,) = emulator.uploads.values()
    assert (upload.size, len(upload.chunks), upload.complete) == (SIZE, -(-SIZE // CHUNK), True)
    assert int(said) < MOST
