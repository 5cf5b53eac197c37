"""The command `export`: one or all, to stdout, a file or a folder; quiet in a pipe, and nothing half-written."""

import asyncio
import csv
import io
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kept import kept_in, normalized, result

from receiver import cli
from receiver.contract.model import Segment
from receiver.store.lists import Lists
from receiver.store.store import Store
from receiver.testing.store import Clock

CONFIG = 'sources = {acme = {provider = "callcov", token = "0123456789abcdef"}}\nsinks = {out = {kind = "jsonl", path = "x.jsonl"}}\n'
SAID = (Segment(start=0.0, end=1.0, speaker="A", text="hello"),)


class Folder:
    """A configuration with a store of three transcripts, one of them without times."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "hookscribe.toml"
        self.config.write_text(f'store = "sqlite:{path / "store.db"}"\n{CONFIG}')
        self.jobs, self.call = asyncio.run(self._filled())

    async def _filled(self) -> tuple[dict[str, str], str]:
        async with kept_in(self.path / "store.db", Clock()) as store:
            await normalized(store, [result("a", "c", segments=SAID), result("b", "c", segments=SAID), result("bare")])
            items = await self._items(store)
            return {one["job_id"]: one["id"] for one in items}, items[-1]["call_id"]

    def _items(self, store: Store) -> Coroutine[Any, Any, Any]:
        async def read() -> Any:
            return (await Lists(store.engine).transcripts({}, whole=False)).items

        return read()

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Export, which ends with `code`."""
        done = CliRunner().invoke(cli.hookscribe, ["--config", str(self.config), "export", *arguments])
        assert done.exit_code == code, done.output
        return done


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give the configuration."""
    return Folder(tmp_path)


def test_all_as_lines(folder: Folder) -> None:
    """Several JSON documents and several vCons are a line each, newest first; stderr stays quiet in a pipe."""
    done = folder.run()
    assert [json.loads(line)["job_id"] for line in done.stdout.splitlines()] == ["bare", "b", "a"]
    assert done.stderr == ""
    containers = [json.loads(line) for line in folder.run("--format", "vcon").stdout.splitlines()]
    assert [one["vcon"] for one in containers] == ["0.4.0"] * 3


def test_all_as_one_table(folder: Folder) -> None:
    """One head, then the rows of all."""
    found = list(csv.DictReader(io.StringIO(folder.run("--format", "csv").stdout, newline="")))
    assert [one["job_id"] for one in found] == ["bare", "b", "a"]


def test_filters_are_those_of_the_list(folder: Folder) -> None:
    """A filter narrows it down; one that finds nothing says so, and writes nothing."""
    assert folder.run("--job-id", "b").stdout.count("\n") == 1
    nothing = folder.run("--source", "nobody", "--since", "2026-01-01")
    assert (nothing.stdout, nothing.stderr) == ("", "nothing found\n")


def test_one_and_its_version(folder: Folder) -> None:
    """One transcript is exactly what the API gives; a call is a container."""
    one = folder.run(folder.jobs["a"], "--format", "csv", "--version", "1").stdout
    assert one.startswith("transcript_id,")
    assert json.loads(folder.run(folder.call, "--format", "vcon").stdout)["subject"] == "c"


def test_a_file_each_in_a_folder(folder: Folder) -> None:
    """Whoever has no times is left out with a warning; the files belong to their owner alone."""
    to = folder.path / "out"
    done = folder.run("--format", "vtt", "--to", f"{to}/")
    assert {file.name for file in to.iterdir()} == {f"{folder.jobs[job]}.vtt" for job in "ab"}
    assert f"left out: {folder.jobs['bare']} has no times" in done.stderr
    assert {stat.S_IMODE(file.stat().st_mode) for file in to.iterdir()} == {0o600}
    assert "is there already" in folder.run("--format", "vtt", "--to", str(to), code=2).stderr
    folder.run("--format", "vtt", "--to", str(to), "--force")


def test_into_a_file(folder: Folder) -> None:
    """A file is replaced only when it is meant, and only by a whole one."""
    to = folder.path / "all.txt"
    folder.run("--format", "txt", "--to", str(to))
    assert to.read_text().count("received 20") == 3
    assert "--force" in folder.run("--format", "txt", "--to", str(to), code=2).stderr
    before = to.read_bytes()
    folder.run("trn_0000000000009", "--to", str(to), "--force", code=2)
    assert to.read_bytes() == before
    assert not list(folder.path.glob("*.partial"))
    assert "No such file" in folder.run("--to", str(folder.path / "no" / "x.json"), code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ID", "--source", "acme"), "--source goes with all"),
        (("--version", "1"), "goes with an ID"),
        (("CALL",), "--format vcon"),
        (("--format", "vtt"), "holds one transcript"),
        (("--call", "trn_0000000000000"), "call:"),
    ],
)
def test_wrong_use_is_told(folder: Folder, arguments: tuple[str, ...], told: str) -> None:
    """Each with the way out."""
    given = [{"ID": folder.jobs["a"], "CALL": folder.call}.get(one, one) for one in arguments]
    assert told in folder.run(*given, code=2).stderr


def test_many_that_are_left_out_are_counted(folder: Folder) -> None:
    """Ten are named, the others counted."""

    async def more() -> None:
        async with kept_in(folder.path / "store.db", Clock()) as store:
            await normalized(store, [result(f"more-{number}") for number in range(11)])

    asyncio.run(more())
    done = folder.run("--format", "srt", "--to", f"{folder.path}/srt/")
    assert done.stderr.count("left out: ") == 10
    assert "and 2 more were left out" in done.stderr


def test_a_terminal_is_shown_how_far_it_is(folder: Folder) -> None:
    """Progress goes to the terminal on stderr, the export to where stdout goes."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "receiver.cli", "--config", str(folder.config), "export"]
    code = "import sys; from receiver.cli import main; sys.argv = sys.argv[1:]; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "hookscribe", *command[3:]], stdout=subprocess.PIPE, stderr=follower, check=True
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert len(done.stdout.splitlines()) == 3
    assert "transcripts" in shown
