"""Who submits is seen to live, and seen to be dead at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from receiver.store.owners import LockFiles

HOLDS = """
import sys
from pathlib import Path
from receiver.store.owners import LockFiles
with LockFiles(Path(sys.argv[1])).held(7):
    print("held", flush=True)
    sys.stdin.read()
"""


async def test_an_owner_lives_as_long_as_its_block(tmp_path: Path) -> None:
    """Nothing is left behind."""
    owners = LockFiles(tmp_path / "store.db")
    assert not await owners.alive(7)
    with owners.held(7):
        assert await owners.alive(7)
        assert not await owners.alive(8)
    assert not await owners.alive(7)
    assert list(tmp_path.iterdir()) == []


async def test_a_killed_owner_is_dead_at_once(tmp_path: Path) -> None:
    """Its file is left and taken away."""
    owners = LockFiles(tmp_path / "store.db")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "store.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert await owners.alive(7)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert list(tmp_path.iterdir()) != []
        assert not await owners.alive(7)
    assert list(tmp_path.iterdir()) == []
