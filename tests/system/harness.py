"""A real `hookscribe serve` in a folder of its own: its settings, its processes, its log, its store."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from receiver.config import Config, load
from receiver.contract.webhooks import generate
from receiver.registry import Registry, discover
from system.provider import Calls

HERE = Path(__file__).parent
LAUNCHER = HERE / "launcher.py"
PATIENCE = 60.0
"""Seconds that anything may take before it counts as hanging; generous, because machines of CI are slow."""
_LOOK = 0.01

_SETTINGS = """
store = "sqlite:{folder}/store.db"
grace = {grace}
log = "json"
[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[sources.callcov]
provider = "callcov"
secrets = ["system-callcov-secret-7Qm2"]
signature = {{ header = "X-Signature", prefix = "sha256=" }}
[sources.ringcentral]
provider = "ringcentral"
token = "system-ringcentral-token"
[sources.invox]
provider = "invox"
token = "system-invox-token"
webhook_api_key = "system-invox-api-key"
webhook_secret_key = "system-invox-secret-key"
callback_signature = "required"
[sources.calls]
provider = "calls"
token = "system-calls-token"
[sinks.archive]
kind = "jsonl"
path = "{folder}/events.jsonl"
retry = {retry}
"""
_WEBHOOK = """
[sinks.hook]
kind = "webhook"
url = "{url}"
secrets = ["{secret}"]
allow_private = true
order = "call"
timeout = {timeout}
retry = {retry}
"""


async def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
    """Wait for something that another process does. Raises AssertionError when it does not come."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        await asyncio.sleep(_LOOK)


class Site:
    """A folder with settings, a store and a file of events, used by one process after the other."""

    def __init__(self, folder: Path, *, hook: str | None = None, grace: float = 10, timeout: float = 10) -> None:
        """`hook` is the address of a receiver of webhooks."""
        self.folder = folder
        self.secret = generate().secret
        self.events = folder / "events.jsonl"
        self.store = folder / "store.db"
        retry = [0, *[0.05] * 40]
        text = _SETTINGS.format(folder=folder, grace=grace, retry=retry)
        if hook:
            text += _WEBHOOK.format(url=hook, secret=self.secret.value, timeout=timeout, retry=retry)
        self._settings = folder / "hookscribe.toml"
        self._settings.write_text(text)
        install_plugin(folder / "plugin", "1.0", "system.provider:Calls")
        self._logs = 0
        self._receiving: Process | None = None

    def address(self) -> tuple[str, int] | None:
        """Return where providers are received now, None while nobody listens."""
        return self._receiving.address() if self._receiving else None

    def add_settings(self, text: str) -> None:
        """Write more tables."""
        with self._settings.open("a") as file:
            file.write(text)

    def settings(self) -> str:
        """Return the settings as they stand in the file."""
        return self._settings.read_text()

    def write(self, text: str) -> None:
        """Write other settings; whoever runs goes on with those that it has."""
        self._settings.write_text(text)

    def change(self, old: str, new: str) -> None:
        """Write the settings with one thing changed."""
        assert old in self.settings(), old
        self.write(self.settings().replace(old, new))

    def environment(self) -> dict[str, str]:
        """Return the environment of the processes: the plugin is installed there."""
        found = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
        path = os.pathsep.join([str(self.folder / "plugin"), str(HERE.parent), *found])
        return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"}

    def config(self) -> tuple[Config, Registry]:
        """Return the settings as the processes read them."""
        found = discover()
        registry = Registry({**dict(found.providers), "calls": Calls}, found.sinks)
        return load(self._settings, {}, registry), registry

    def command(self, *arguments: str, point: str | None = None) -> list[str]:
        """Return a command line of `hookscribe`; `point` changes one thing in it (launcher.py)."""
        start = [str(Path(sys.executable).with_name("hookscribe"))]
        if point:
            start = [sys.executable, str(LAUNCHER), point]
        return [*start, "--config", str(self._settings), *arguments]

    def log_file(self) -> Path:
        """Return the name of a new log."""
        self._logs += 1
        return self.folder / f"serve-{self._logs:03d}.log"

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read the store, beside whoever uses it; never writes, so that it repairs nothing."""
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()

    def lines(self) -> list[dict[str, Any]]:
        """Return the events in the file; each line must be whole."""
        return [json.loads(line) for line in self.events.read_bytes().splitlines()] if self.events.exists() else []


class Process:
    """One process of `hookscribe serve`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, site: Site, role: str = "all", *, point: str | None = None, through: Sequence[str] = ()
    ) -> "Process":
        """Start `hookscribe serve`; `through` is a program that runs it, such as strace."""
        log = site.log_file()
        command = [*through, *site.command("serve", "--role", role, point=point)]
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=output, env=site.environment(), start_new_session=True
            )
        started = cls(process, log)
        if role != "worker":
            site._receiving = started
        return started

    def said(self, event: str) -> dict[str, Any] | None:
        """Return the first line of its log about `event`."""
        needle = f'"event":"{event}"'.encode()
        for line in self._log.read_bytes().splitlines():
            if needle in line and line.endswith(b"}"):
                found: dict[str, Any] = json.loads(line)
                return found
        return None

    def output(self) -> str:
        """Return everything it wrote."""
        return self._log.read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        """Say whether it has not ended yet."""
        return self._process.returncode is None

    async def started(self) -> "Process":
        """Wait until it listens."""
        await until(lambda: not self.running or self.said("serve.started"), "serve.started")
        assert self.running, self.output()
        return self

    def address(self) -> tuple[str, int] | None:
        """Return where providers are received, None before it listens."""
        line = self.said("serve.started")
        if line is None or not line["public"] or not self.running:
            return None
        host, _, port = line["public"].removeprefix("http://").rpartition(":")
        return host, int(port)

    def signal(self, number: int) -> None:
        """Send a signal to it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        await self._process.wait()

    async def died(self) -> None:
        """Wait until it has killed itself."""
        await self.ended()
        assert self._process.returncode == -signal.SIGKILL, self.output()

    async def stop(self) -> float:
        """Stop it gracefully; return how many seconds that took. Its exit code must be 0."""
        begun = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self.ended()
        assert self._process.returncode == 0, self.output()
        return time.monotonic() - begun

    async def ended(self) -> None:
        """Wait until it has ended."""
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE)
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"it did not end:\n{self.output()}") from None


@contextlib.asynccontextmanager
async def serving(
    site: Site, role: str = "all", *, point: str | None = None, through: Sequence[str] = ()
) -> AsyncIterator[Process]:
    """Run a process as long as the block runs, once it listens; it is killed where the block has not ended it."""
    process = await Process.start(site, role, point=point, through=through)
    try:
        yield await process.started()
    finally:
        await process.kill()


def install_plugin(folder: Path, version: str, target: str) -> None:
    """Make what an installer leaves of a third party's distribution, its entry point, in place of another version's."""
    if folder.exists():
        shutil.rmtree(folder)
    info = folder / f"hookscribe_calls-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hookscribe-calls\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[hookscribe.providers]\ncalls = {target}\n")
