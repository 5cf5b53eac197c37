"""A configuration with a store, and the `hookscribe` command on it."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from kept import kept_in

from receiver import cli
from receiver.store.store import Store
from receiver.testing.store import Clock

CONFIG = """
[sources.acme]
provider = "callcov"
token = "0123456789abcdef"

[sinks.archive]
kind = "jsonl"
path = "events.jsonl"

[sinks.team]
kind = "jsonl"
path = "team.jsonl"
"""

Work = Callable[[Store], Coroutine[Any, Any, Any]]


class Kept:
    """A configuration with a store, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hookscribe.toml"
        self.store = folder / "store.db"
        self.file.write_text(f'store = "sqlite:{self.store}"\n{CONFIG}')

    def write(self, work: Work) -> Any:
        """Do something to the store."""

        async def run() -> Any:
            async with kept_in(self.store, Clock()) as store:
                return await work(store)

        return asyncio.run(run())

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command, which ends with `code`."""
        done = CliRunner().invoke(cli.hookscribe, ["--config", str(self.file), *arguments])
        assert done.exit_code == code, done.output
        return done

    def json(self, *arguments: str) -> list[Any]:
        """Run a command for programs."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]
