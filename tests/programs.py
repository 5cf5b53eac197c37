"""Runs the installed `hookscribe` as a process of its own, reads along, and stops it."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HOOKSCRIBE = Path(sys.executable).with_name("hookscribe")
PATIENCE = 60.0
"""Seconds that anything may take; generous, because machines of CI are slow."""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process: nothing of ours but what is given."""
    mine = ("HOOKSCRIBE_CONFIG", "DATABASE_URL", "PORT", "DYNO")
    return {name: value for name, value in os.environ.items() if name not in mine} | more


def run(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [HOOKSCRIBE, *arguments],
        cwd=cwd,
        env=environment(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )


class Program:
    """A command that runs; its output is read as it comes, error output included."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def until(self, text: str) -> str:
        """Return the next line that has `text` in it; an end, or silence, without it fails."""
        deadline = time.monotonic() + PATIENCE
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get(timeout=max(0.01, deadline - time.monotonic()))) is not None:
                self.said.append(line)
                if text in line:
                    return line
        raise AssertionError(f"{text!r} was not said, but:\n" + "\n".join(self.said))

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and return the exit code once the process has ended and everything is read."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        while (line := self._lines.get()) is not None:
            self.said.append(line)
        return code

    @property
    def output(self) -> str:
        """Return everything said so far."""
        return "\n".join(self.said)


@contextlib.contextmanager
def running(*arguments: str, cwd: Path, **environ: str) -> Iterator[Program]:
    """Run a command as long as the block runs."""
    with subprocess.Popen(
        [HOOKSCRIBE, *arguments],
        cwd=cwd,
        env=environment(**environ, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        program = Program(process)
        try:
            yield program
        finally:
            if process.poll() is None:
                process.kill()
