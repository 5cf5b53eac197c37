"""The command `search`: for people and programs, with its pages, its ranking, and its refusals."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kept import kept_in, normalized, result

from receiver import cli
from receiver.contract.model import Segment, Speaker
from receiver.pipeline.indexing import Indexing
from receiver.store import search as search_module
from receiver.testing.store import Clock

CONFIG = """
sources = {acme = {provider = "callcov", token = "0123456789abcdef"}}
sinks = {out = {kind = "jsonl", path = "x.jsonl"}}
"""


class Talk:
    """A configuration with a store in which something was said."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "hookscribe.toml"
        self.config.write_text(f'store = "sqlite:{folder / "store.db"}"\n{CONFIG}')
        asyncio.run(self._filled(folder))

    async def _filled(self, folder: Path) -> None:
        said = (
            Segment(start=61.5, end=63.0, speaker="A", text="a refund,\nplease \u202e\u001b[31m"),
            Segment(start=None, end=None, speaker=None, text="the refund"),
        )
        async with kept_in(folder / "store.db", Clock()) as store:
            await normalized(store, [result("one", segments=said, speakers=(Speaker(id="A", role="customer"),))])
            await Indexing(store).step()

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command, which ends with `code`."""
        done = CliRunner().invoke(cli.hookscribe, ["--config", str(self.config), *arguments])
        assert done.exit_code == code, done.output
        return done


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """Give the configuration."""
    return Talk(tmp_path)


def test_for_people(talk: Talk) -> None:
    """Where it was said, by whom, and what; nothing in it steers the terminal."""
    done = talk.run("search", "refund", "--role", "customer")
    where, what = done.stdout.splitlines()
    assert where.startswith("trn_")
    assert where.endswith("at 00:01:01  2024-10-04 12:00:00  acme  customer")
    assert what == "    a refund, please \N{REPLACEMENT CHARACTER} [31m"


def test_for_programs(talk: Talk) -> None:
    """A line of JSON for each match."""
    found = [json.loads(line) for line in talk.run("search", "the", "refund", "--json").stdout.splitlines()]
    assert [(one["segment"], one["start"], one["marks"]) for one in found] == [(2, None, [[0, 3], [4, 10]])]


def test_pages_and_ranking_are_told(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, with what to give next."""
    first = talk.run("search", "refund", "--limit", "1")
    cursor = first.stderr.removeprefix("more: --cursor ").strip()
    second = talk.run("search", "refund", "--limit", "1", "--cursor", cursor)
    assert second.stderr == ""
    assert first.stdout != second.stdout
    monkeypatch.setattr(search_module, "RANKED", 1)
    assert "the best of the newest 1 matches; there are more" in talk.run("search", "--best", "refund").stderr


def test_nothing_and_nonsense(talk: Talk) -> None:
    """Nothing found is no failure; a query that cannot be is wrong use."""
    assert talk.run("search", "elsewhere").stderr == "nothing found\n"
    assert "quotation mark" in talk.run("search", '"', code=2).stderr


def test_the_list_and_the_export_take_words(talk: Talk) -> None:
    """`--q` narrows both down."""
    assert json.loads(talk.run("transcripts", "--q", "refund", "--json").stdout)["job_id"] == "one"
    assert talk.run("export", "--q", "elsewhere").stderr == "nothing found\n"
    assert json.loads(talk.run("export", "--speaker", "a").stdout)["job_id"] == "one"


def test_words_stand_out_on_a_terminal(talk: Talk) -> None:
    """In bold."""
    leader, follower = pty.openpty()
    code = "import sys; from receiver import cli; sys.exit(cli.run(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", code, "--config", str(talk.config), "search", "please"], stdout=follower, check=True
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "\x1b[1mplease\x1b[0m" in shown
    assert "\x1b[31m" not in shown
