"""A Node process fed line by line: the other opinion on what JavaScript does."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Node:
    """Runs a script that answers every line of JSON with one; use as a context manager."""

    def __init__(self, script: Path) -> None:
        self._process = subprocess.Popen(["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question: Any) -> Any:
        """Send one question and return the answer to it."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question).encode("ascii") + b"\n")
        stdin.flush()
        return json.loads(stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)
