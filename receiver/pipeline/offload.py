"""Offload: large work is done in a process of its own, under a time limit, and killed when it is over it.

The child runs this module; both sides are the same release, and talk over pipes in length-prefixed pickles.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

from receiver.contract.errors import Unreadable
from receiver.contract.model import Outcome, Receipt
from receiver.contract.provider import Provider

_LENGTH = struct.Struct(">Q")
_LATER = 5.0
"""Seconds over its time after which a child ends by itself, where no parent is there any more to kill it."""


class ChildDied(Exception):
    """The process that did the work ended in the middle of it."""


class Offload:
    """One child at a time; started when it is needed, kept for the next body."""

    def __init__(self, seconds: float, doing: str = "normalizing", who: str = "the normalizer") -> None:
        """`seconds`: how long one piece of work may take; `doing` and `who` are for messages."""
        self._seconds = seconds
        self._doing = doing
        self._who = who
        self._child: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def normalize(self, provider: Provider[Any], receipt: Receipt) -> tuple[Outcome, ...]:
        """Return what `provider.normalize` returns. Raises Unreadable, also over time, and ChildDied."""
        try:
            outcomes: tuple[Outcome, ...] = await self.run(provider.normalize, receipt)
        except pickle.PicklingError as error:
            raise Unreadable(f"the provider cannot be sent to another process: {error}") from error
        return outcomes

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a call returns there. Raises Unreadable, also over time, ChildDied, and PicklingError."""
        try:
            question = pickle.dumps((self._seconds, self._who, call, arguments))
        except Exception as error:
            raise pickle.PicklingError(type(error).__name__) from error
        async with self._lock:
            try:
                async with asyncio.timeout(self._seconds):
                    kind, value = await self._ask(question)
            except TimeoutError:
                await self.close()
                raise Unreadable(f"{self._doing} took longer than {self._seconds:g} s") from None
            except asyncio.CancelledError:
                await self.close()
                raise
            except Exception as error:  # a broken pipe, no process to be had, an answer that cannot be read
                await self.close()
                raise ChildDied from error
        if kind == "unreadable":
            raise Unreadable(value)
        return value

    async def _ask(self, question: bytes) -> tuple[str, Any]:
        child = self._child or await self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(_LENGTH.pack(len(question)) + question)
        await child.stdin.drain()
        (size,) = _LENGTH.unpack(await child.stdout.readexactly(_LENGTH.size))
        answer: tuple[str, Any] = pickle.loads(await child.stdout.readexactly(size))  # noqa: S301 -- our own child's
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", __name__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self._child

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def answer(question: bytes) -> bytes:
    """Do one piece of work, in the child; `question` is the pickled time limit, whose work, the call and its arguments."""
    seconds, who, call, arguments = pickle.loads(question)  # noqa: S301 -- from our own parent
    signal.setitimer(signal.ITIMER_REAL, seconds + _LATER)
    try:
        return pickle.dumps(("value", call(*arguments)))
    except Unreadable as error:
        return pickle.dumps(("unreadable", str(error)))
    except Exception as error:  # noqa: BLE001 -- a plugin's fault is told, not its content
        return pickle.dumps(("unreadable", f"{who} raised {type(error).__name__}"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the parent closes the pipe."""
    while head := questions.read(_LENGTH.size):
        said = answer(questions.read(_LENGTH.unpack(head)[0]))
        answers.write(_LENGTH.pack(len(said)) + said)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; this one ends with its pipe
    with os.fdopen(os.dup(1), "wb") as to_parent:
        os.dup2(2, 1)  # what a plugin prints is no answer
        serve(sys.stdin.buffer, to_parent)
