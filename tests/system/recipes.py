"""The recipes of docs/operating.md, run as they stand there."""

import asyncio
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from system.harness import HERE, Site

PAGE = (HERE.parents[1] / "docs" / "operating.md").read_text("utf-8")


class Ran(msgspec.Struct, frozen=True):
    """A command that has ended: exit code, what it printed, and the most memory that it took, in bytes."""

    code: int
    output: str
    memory: int


async def ran(site: Site, *words: str) -> Ran:
    """Run a command of `hookscribe`, beside whatever else runs."""

    def run() -> Ran:
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                site.command(*words), stdout=printed, stderr=subprocess.STDOUT, env=site.environment()
            )
            memory = _watched(process)
            printed.seek(0)
            return Ran(process.returncode, printed.read().decode(), memory)

    return await asyncio.to_thread(run)


def _watched(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end; return the peak of its memory in bytes, as last seen (its rusage would count ours, from before)."""
    peak = 0
    while True:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text("ascii"))
            peak = int(found[1]) * 1024 if found else peak
        else:
            return peak


async def recipe(
    site: Site, heading: str, *, block: int = 0, ends: Sequence[int] | None = None, **names: str
) -> list[str]:
    """Run the commands of a block below a heading, with other names in place of the page's; return what each printed.

    Each must end with 0, but for `doctor`, which says that there is something to be done, or as `ends` says.
    """
    section = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, heading
    lines = re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)[block].splitlines()
    commands = [[names.get(word, word) for word in shlex.split(line, comments=True)] for line in lines]
    expected = [int(words[1] == "doctor") for words in commands] if ends is None else ends
    printed = []
    for words, end in zip(commands, expected, strict=True):
        assert words[0] == "hookscribe"
        done = await ran(site, *words[1:])
        assert done.code == end, done.output
        printed.append(done.output)
    return printed
