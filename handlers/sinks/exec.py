"""Sink exec: a command of yours an event, which stands on its standard input.

Exit status 0 says delivered, 75 (EX_TEMPFAIL of sysexits.h) try later, any other that the event is refused for good. The
command runs without a shell, in a process group of its own, and the group ends with the send.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.settings import Secret, SinkSettings, about
from receiver.contract.sink import Delivered, Rejected, SendOutcome, Sink, TryLater

_LATER = 75
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = 2_000
"""Bytes of standard error that are kept: the last ones."""
_SHOWN = 200
_REAPED = 2.0
"""Seconds that a killed process may take to be gone."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExecSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of an exec sink."""

    command: Annotated[
        tuple[str, ...], about("program and arguments, without a shell; the event is on its standard input")
    ]
    env: Annotated[
        dict[str, Secret],
        about("its environment, beside PATH, LANG and HOOKSCRIBE_EVENT_ID, HOOKSCRIBE_EVENT_TYPE, HOOKSCRIBE_ATTEMPT"),
    ] = {}  # noqa: RUF012 -- msgspec copies it
    folder: Annotated[str | None, about("the folder it runs in; default: the one hookscribe was started in")] = None

    def check(self) -> None:
        """Raise ConfigError where there is no program, or the environment cannot be."""
        if not self.command or not self.command[0]:
            raise ConfigError("command must name a program, and its arguments if there are any")
        for name, value in self.env.items():
            if not _NAME.fullmatch(name) or name.startswith("HOOKSCRIBE_"):
                raise ConfigError(f"env: {name!r} is no name of a variable, or one that Hookscribe sets")
            if "\0" in value.value:
                raise ConfigError(f"env: the value of {name} holds a NUL")
        if any("\0" in part for part in self.command):
            raise ConfigError("command must not hold a NUL")


class Exec(Sink[ExecSettings]):
    """Runs a command, and goes by its exit status."""

    Settings = ExecSettings

    def lacking(self) -> str | None:
        """Return that the folder is not there, or no program of that name that may be run."""
        folder, program = self.settings.folder or "", self.settings.command[0]
        if folder and not Path(folder).is_dir():
            return f"folder: there is no {folder}"
        named = str(Path(folder, program).absolute()) if "/" in program else program
        if shutil.which(named, path=self._base_environment()["PATH"]) is None:
            return f"command: there is no program {program} that may be run"
        return None

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Run the command for one delivery after the other."""
        return [await self._run(delivery) for delivery in deliveries]

    async def _run(self, delivery: Delivery) -> SendOutcome:
        try:
            transport, watch = await self._start(delivery)
        except OSError as error:
            return TryLater(reason=f"the command cannot be started: {os.strerror(error.errno or 0)}")
        try:
            _give(transport, delivery.event.cloudevent())
            await watch.exited.wait()
            _kill_group(transport)  # what it left behind may still hold its standard error
            await _soon(watch.silent)
            return self._outcome(transport.get_returncode() or 0, watch.said)
        finally:
            _kill_group(transport)
            await _soon(watch.exited)
            transport.close()
            await _soon(watch.ended)  # what it did not read is being written until its end is noticed

    async def _start(self, delivery: Delivery) -> "_Running":
        starting = asyncio.create_task(
            asyncio.get_running_loop().subprocess_exec(
                _Watch,
                *self.settings.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment(delivery),
                cwd=self.settings.folder,
                start_new_session=True,
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # a start that is cancelled itself would wait for every child of the command
            starting.add_done_callback(_abandoned)
            raise

    def _environment(self, delivery: Delivery) -> dict[str, str]:
        return {
            **self._base_environment(),
            "HOOKSCRIBE_EVENT_ID": delivery.event.id,
            "HOOKSCRIBE_EVENT_TYPE": delivery.event.type,
            "HOOKSCRIBE_ATTEMPT": str(delivery.attempt),
        }

    def _base_environment(self) -> dict[str, str]:
        own = {name: value.value for name, value in self.settings.env.items()}
        return {"PATH": _PATH, "LANG": "C.UTF-8", **own}

    def _outcome(self, status: int, said: bytes) -> SendOutcome:
        if status == 0:
            return Delivered(detail="exit status 0")
        if status < 0:
            return TryLater(reason=f"the command was ended by signal {-status}")
        last = self._last_line(said)
        reason = f"exit status {status}" + (f": {last}" if last else "")
        return TryLater(reason=reason) if status == _LATER else Rejected(reason=reason)

    def _last_line(self, said: bytes) -> str:
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        line = "".join(char for char in lines[-1] if char.isprintable()).strip() if lines else ""
        for secret in self.settings.env.values():
            line = line.replace(secret.value, "***") if secret.value else line
        return line[:_SHOWN]


class _Watch(asyncio.SubprocessProtocol):
    """Sees a process exit at once; asyncio's own `wait` waits for pipes too, which a child of it may hold open."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self.ended = asyncio.Event()
        self.said = b""
        """The end of its standard error."""

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        """Keep the end of what it says."""
        del fd
        self.said = (self.said + bytes(data))[-_KEPT:]  # type: ignore[arg-type]  # never text: we asked for none

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note the end of its standard error."""
        del exc
        if fd == 2:
            self.silent.set()

    def process_exited(self) -> None:
        """Note the end of it."""
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of it and of all its pipes."""
        del exc
        self.ended.set()


_Running = tuple[asyncio.SubprocessTransport, _Watch]


def _abandoned(started: asyncio.Task[_Running]) -> None:
    """End a command that nobody waits for any more as soon as it has started."""
    if not started.cancelled() and started.exception() is None:
        transport, _ = started.result()
        _kill_group(transport)
        transport.close()


def _give(transport: asyncio.SubprocessTransport, event: bytes) -> None:
    """Write the event and the end of input; a command that does not read, or has ended already, is let be."""
    stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))  # uvloop's is none by its class
    with contextlib.suppress(RuntimeError):  # uvloop's word for a pipe that is closed
        stdin.write(event)
        stdin.close()


async def _soon(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAPED):
            await event.wait()


def _kill_group(transport: asyncio.SubprocessTransport) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), signal.SIGKILL)
