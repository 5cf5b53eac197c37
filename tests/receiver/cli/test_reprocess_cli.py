"""The command `reprocess`: shows, writes, is killed and begins again, beside a worker."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from programs import PATIENCE, environment
from switched_fakes import CONFIG, said

from receiver import cli, registry
from receiver.registry import Registry, discover

MANY = 400


class Place:
    """A folder with a configuration, a store, and a provider whose normalizer can be switched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "hookscribe.toml").write_text(CONFIG)

    def command(self, *arguments: str, version: str = "1") -> list[str]:
        """Return how a command is run as a process, with a version of the normalizer."""
        config = str(self.folder / "hookscribe.toml")
        return [sys.executable, "-m", "switched_fakes", version, "--config", config, *arguments]

    def start(self, *arguments: str, version: str = "1") -> subprocess.Popen[bytes]:
        """Start a command."""
        tests = str(Path(__file__).parents[2])
        environ = environment(PYTHONPATH=":".join([tests, *filter(None, sys.path)]))
        return subprocess.Popen(
            self.command(*arguments, version=version),
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str, version: str = "1") -> str:
        """Run a command to its end."""
        with self.start(*arguments, version=version) as process:
            output, _ = process.communicate(timeout=4 * PATIENCE)
        assert process.returncode == 0, output.decode()
        return output.decode()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Look into the store."""
        with contextlib.closing(sqlite3.connect(self.folder / "store.db", timeout=10)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a store with receipts that the first version of the normalizer read."""
    made = Place(tmp_path)
    made.run("fill", str(MANY))
    return made


@pytest.mark.system
def test_killed_in_the_middle_and_begun_again(place: Place) -> None:
    """What was written stays and is not written twice; the rest follows; only what changed is told, to one sink."""
    process = place.start("reprocess", "--write", "--deliver", "crm", "--json", version="2-slow")
    deadline = time.monotonic() + PATIENCE
    while place.sql("SELECT count(*) FROM versions WHERE version = 2") == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ((half,),) = place.sql("SELECT count(*) FROM versions WHERE version = 2")
    assert 0 < half < said.touched(MANY)
    summary = json.loads(place.run("reprocess", "--write", "--deliver", "crm", "--json", version="2").splitlines()[-1])[
        "summary"
    ]
    assert summary["versions"] == said.touched(MANY) - half
    assert place.sql("SELECT version, count(*) FROM transcripts GROUP BY version ORDER BY 1") == [
        (1, MANY - said.touched(MANY)),
        (2, said.touched(MANY)),
    ]
    told = "SELECT d.sink, count(*) FROM deliveries AS d JOIN events AS e ON e.id = d.event_id WHERE e.version = 2"
    assert place.sql(f"{told} GROUP BY d.sink") == [("crm", said.touched(MANY))]


@pytest.mark.system
def test_beside_a_running_worker(place: Place) -> None:
    """A worker normalizes and delivers what comes while the command runs; nothing is lost or told twice."""
    with place.start("work", str(MANY), version="2") as worker:
        place.run("reprocess", "--write", "--deliver", "crm", version="2")
        output, _ = worker.communicate(timeout=4 * PATIENCE)
    assert worker.returncode == 0, output.decode()
    assert place.sql("SELECT DISTINCT state FROM receipts") == [("normalized",)]
    lines = [json.loads(line) for line in (place.folder / "crm.jsonl").read_text().splitlines()]
    told = [(line["subject"], line["data"]["version"]) for line in lines if line["type"] == "transcript.updated"]
    assert len(told) == len(set(told)) == said.touched(MANY)
    assert place.sql("SELECT count(*) FROM transcripts") == [(2 * MANY,)]


def invoke(place: Place, monkeypatch: pytest.MonkeyPatch, *arguments: str, code: int = 0, version: str = "2") -> Result:
    """Run a command in this process, with a version of the normalizer."""
    known = discover()
    providers = {**known.providers, "switched": said.provider(version)}
    for module in ("receiver.cli.loading", "receiver.registry"):
        monkeypatch.setattr(f"{module}.discover", lambda: Registry(providers, known.sinks))
    monkeypatch.chdir(place.folder)
    assert registry.discover().providers["switched"]
    done = CliRunner().invoke(cli.hookscribe, ["reprocess", *arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def small(tmp_path: Path) -> Place:
    """Give a store with few receipts."""
    made = Place(tmp_path)
    made.run("fill", "4")
    return made


def test_the_difference_is_shown_first(small: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By path, without the words, and nothing is written; with --show-text the words too."""
    shown = invoke(small, monkeypatch).stdout
    assert "text: <13 characters, #" in shown
    assert "wrong words" not in shown
    assert "language: - -> en" in shown
    assert shown.splitlines()[-1].endswith(
        "2 changed; 2 versions, 2 events, 0 deliveries with --write; nothing was written"
    )
    assert small.sql("SELECT DISTINCT version FROM transcripts") == [(1,)]
    words = invoke(small, monkeypatch, "--show-text").stdout
    assert "text: wrong words 0 -> right words 0" in words


def test_programs_get_lines(small: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each receipt that is not unchanged, and the summary as the last."""
    *rows, last = map(json.loads, invoke(small, monkeypatch, "--json", "--yes", "--source", "sw").stdout.splitlines())
    assert [row["result"] for row in rows] == ["changed", "changed"]
    assert [one["path"] for one in rows[0]["changes"][0]["differences"]] == ["language", "text"]
    assert last["summary"]["written"] is True
    assert last["summary"]["receipts"] == 4
    only = invoke(small, monkeypatch, rows[0]["id"], "--write").stdout
    assert only == "1 receipts: 1 unchanged; 0 versions, 0 events, 0 deliveries written\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--dry-run", "--write"), "--dry-run and --write exclude each other"),
        (("--deliver", "none"), "no sink has the name 'none'; configured are archive, crm"),
        (("rcp_0000000000000",), "there is no rcp_0000000000000"),
        (("--since", "yesterday"), "since: expected a time"),
    ],
)
def test_wrong_use_ends_with_2(
    small: Place, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    """One message that says what would be right."""
    assert told in invoke(small, monkeypatch, *arguments, code=2).stderr
