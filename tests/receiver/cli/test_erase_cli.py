"""The command `erase`: says what would go, asks, and removes it."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kept import kept_in, normalized, result

from receiver import cli
from receiver.cli import actions
from receiver.store.lists import Lists
from receiver.testing.store import Clock

CONFIG = """
sources = {acme = {provider = "callcov", token = "0123456789abcdef"}}
sinks = {out = {kind = "jsonl", path = "x.jsonl"}}
"""


class Kept:
    """A configuration with a store of one result."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "hookscribe.toml"
        self.config.write_text(f'store = "sqlite:{folder / "store.db"}"\n{CONFIG}')
        self.transcript = asyncio.run(self._filled(folder))

    async def _filled(self, folder: Path) -> str:
        async with kept_in(folder / "store.db", Clock()) as store:
            await normalized(store, [result("one", "CA1")])
            made = (await Lists(store.engine).transcripts({}, whole=False)).items[0]["id"]
            return str(made)

    def run(self, *arguments: str, code: int = 0, answer: str | None = None) -> Result:
        """Run a command, which ends with `code`."""
        done = CliRunner().invoke(cli.hookscribe, ["--config", str(self.config), *arguments], input=answer)
        assert done.exit_code == code, done.output
        return done


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Give the configuration."""
    return Kept(tmp_path)


def test_it_goes_when_it_is_said(kept: Kept) -> None:
    """With --yes at once; afterwards it is gone, which another try says."""
    would = kept.run("erase", kept.transcript, "--dry-run").stdout
    assert would == "1 transcripts, 1 receipts, 1 calls, 1 events, 0 jobs: nothing was done\n"
    assert json.loads(kept.run("erase", kept.transcript, "--yes", "--json").stdout)["transcripts"] == 1
    assert "is gone" in kept.run("erase", kept.transcript, "--yes", code=2).stderr


def test_it_asks(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there is wrong use; a no leaves everything; a yes removes it."""
    assert "Nobody can be asked here" in kept.run("erase", kept.transcript, code=2).stderr
    monkeypatch.setattr(actions, "_somebody", lambda: True)
    assert "nothing was done" in kept.run("erase", kept.transcript, answer="n\n").stdout
    assert kept.run("erase", kept.transcript, answer="y\n").stdout.startswith("erased 1 transcripts")


def test_what_there_is_not_is_told(kept: Kept) -> None:
    """Wrong use, with what was expected."""
    assert "no id of a call, a transcript or a receipt" in kept.run("erase", "x", "--yes", code=2).stderr
