"""Submits file after file, each in a process that is killed at another await: `python crashing.py SETTINGS SOURCE [--NAME=VALUE]… FILE…`.

The first file's process dies at its first await, the second's at its second, and so on; prints how many died.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Generator
from typing import Any

from receiver import cli
from receiver.cli.submit import submit


class Counted(Coroutine[Any, Any, Any]):
    """A coroutine that kills its process when all of them together have been suspended so many times."""

    left = 0

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:
        return self._counted(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._counted(self._inner.throw(*error))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    @staticmethod
    def _counted(suspended: Any) -> Any:
        Counted.left -= 1
        if Counted.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return suspended


SURVIVORS = 5
IMPORTED = submit
"""Before the forks, so that it is imported once."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Stand in for asyncio.run."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory(lambda loop, inner, **more: asyncio.Task(Counted(inner), loop=loop, **more))
        return runner.run(work)


def died(settings: str, source: str, given: list[str], place: int) -> bool:
    """Submit a file in a process that dies at an await; say whether it came so far."""
    child = os.fork()
    if child == 0:
        Counted.left = place
        asyncio.run = run  # type: ignore[assignment]
        os._exit(cli.run(["--config", settings, "submit", source, *given, "--json"]))
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    settings, source, *given = sys.argv[1:]
    options = [one for one in given if one.startswith("--")]
    files = [one for one in given if not one.startswith("--")]
    dead, alive = 0, 0
    for place, name in enumerate(files, 1):
        if died(settings, source, [*options, name], place):
            dead, alive = dead + 1, 0
        elif (alive := alive + 1) == SURVIVORS:
            break  # there are no more awaits
    print(dead)
