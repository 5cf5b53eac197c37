"""The commands that look and act, on a real store, as people and as programs use them."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_on import Kept
from kept import normalized, notice, result

from receiver import cli
from receiver.contract.model import DeliveryState, ReceiptState
from receiver.store.store import Store
from receiver.testing.store import MIB, a_receipt, a_tried


async def fill(store: Store) -> None:
    """Keep two results, a notice, and something unreadable."""
    await normalized(store, [result("job-1", "CA1"), result("job-2", status="failed"), notice("tested")])
    checks = '[{"scheme":"hmac-sha256","ok":false,"detail":"no match"}]'
    await store.keep([a_receipt(store, b"x", state=ReceiptState.UNREADABLE, checks=checks, body=b"\xffbytes")])


async def let_die(store: Store) -> None:
    """Let what is due to the archive end dead."""
    due = await store.due("archive", 9, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(one.id, DeliveryState.DEAD, detail="410 Gone") for one in due])


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Give a store with a little of everything."""
    made = Kept(tmp_path)
    made.write(fill)
    return made


@pytest.mark.parametrize("name", ["receipts", "transcripts", "calls", "events", "deliveries"])
def test_every_list_for_people_and_programs(kept: Kept, name: str) -> None:
    """A table with the ids, the same rows as JSON, and each of them alone by its id."""
    rows = kept.json(name)
    table = kept.run(name).stdout
    assert rows
    assert all(row["id"] in table for row in rows)
    assert len(table.splitlines()) == len(rows) + 1
    assert rows[0]["id"] in kept.run(name, rows[0]["id"]).stdout
    assert kept.json(name, rows[0]["id"])[0]["id"] == rows[0]["id"]


@pytest.mark.parametrize("name", ["receipts", "transcripts", "calls", "events", "deliveries", "sinks"])
def test_tables_fit_a_terminal(kept: Kept, name: str) -> None:
    """100 columns hold each row on one line."""
    kept.write(let_die)
    lines = terminal(kept, name)
    assert all(len(line) <= 100 for line in lines)
    assert len(lines) == len(kept.json(name)) + 1


def terminal(kept: Kept, *arguments: str) -> list[str]:
    """Run a command on a terminal of 100 columns, and return what it shows."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    script = "import sys; from receiver import cli; sys.exit(cli.run(sys.argv[1:]))"
    done = subprocess.Popen(
        [sys.executable, "-c", script, "--config", str(kept.file), *arguments], stdout=theirs, env=environ
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert done.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()


def test_filters(kept: Kept) -> None:
    """The same as the API's."""
    assert [row["state"] for row in kept.json("receipts", "--state", "unreadable")] == ["unreadable"]
    assert len(kept.json("receipts", "--source", "acme", "--verdict", "token", "--since", "2024-10-04")) == 4
    assert [row["job_id"] for row in kept.json("transcripts", "--status", "failed")] == ["job-2"]
    assert [row["job_id"] for row in kept.json("transcripts", "--job-id", "job-1")] == ["job-1"]
    assert [row["type"] for row in kept.json("events", "--type", "acme.*")] == ["acme.tested"]
    assert len(kept.json("deliveries", "--sink", "archive", "--state", "pending")) == 3
    call = kept.json("calls")[-1]["id"]
    assert len(kept.json("transcripts", "--call", call)) == 1
    assert kept.json("receipts", "--until", "2024-10-04") == []


def test_nothing_found_is_said(kept: Kept) -> None:
    """For people; programs get no line."""
    done = kept.run("deliveries", "--state", "dead")
    assert (done.stdout, done.stderr) == ("", "nothing found\n")


def test_more_is_said(kept: Kept) -> None:
    """The cursor goes on where the page ended."""
    first = kept.run("receipts", "--limit", "3")
    cursor = first.stderr.removeprefix("more: --cursor ").strip()
    rest = kept.run("receipts", "--cursor", cursor)
    assert (len(first.stdout.splitlines()), len(rest.stdout.splitlines()), rest.stderr) == (4, 2, "")


def test_short_pages_are_put_together(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list has as many rows as were asked for, whatever its pages hold."""
    monkeypatch.setattr("receiver.store.lists.PAGE_BYTES", 1)
    assert len(kept.json("transcripts")) == 2
    monkeypatch.setattr("receiver.store.lists._WINDOW", 1)
    assert len(kept.json("receipts", "--verdict", "token", "--limit", "3")) == 3
    assert len(kept.json("receipts", "--verdict", "token")) == 4


def test_a_receipt_for_people(kept: Kept) -> None:
    """What was checked, which headers came, and the exact bytes."""
    (row,) = kept.json("receipts", "--state", "unreadable")
    shown = kept.run("receipts", row["id"]).stdout
    assert "no match" in shown
    assert "  content-type: application/json" in shown
    assert kept.run("receipts", row["id"], "--body").stdout_bytes == b"\xffbytes"


def test_a_transcript_is_whole(kept: Kept) -> None:
    """Indented for people, one line for programs, of the version asked for."""
    (row,) = kept.json("transcripts", "--status", "completed")
    assert '"text": "hello"' in kept.run("transcripts", row["id"]).stdout
    assert kept.json("transcripts", row["id"], "--version", "1") == [row]
    assert "version 2 of" in kept.run("transcripts", row["id"], "--version", "2", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("receipts", "rcp_0000000000000"), "there is no rcp_0000000000000"),
        (("receipts", "garbage"), "is no id of the form rcp_"),
        (("receipts", "--body"), "--body goes with an ID"),
        (("receipts", "rcp_0000000000000", "--source", "a"), "--source goes with the list"),
        (("transcripts", "--version", "1"), "--version goes with an ID"),
        (("transcripts", "trn_0000000000000", "--job-id", "a"), "--job-id goes with the list"),
        (("receipts", "--since", "yesterday"), "since: expected a time"),
        (("receipts", "--state", "nonsense"), "'received', 'confirming', 'normalized', 'unreadable'"),
        (("receipts", "--limit", "0"), "1<=x<=1000"),
        (("replay", "dlv_0000000000000", "--sink", "archive", "--yes"), "--sink goes without IDs"),
        (("discard", "dlv_0000000000000", "--state", "dead", "--yes"), "--state goes without IDs"),
        (("replay", "dlv_0000000000000", "--yes"), "there is no dlv_0000000000000"),
        (("replay", "evt_0000000000000", "--yes"), "there is no evt_0000000000000"),
        (("replay", "--sink", "none", "--yes"), "no sink has the name 'none'; configured are archive, team"),
        (("sinks", "show", "none"), "there is no sink 'none'; known are archive, team"),
        (("sinks", "pause", "none"), "no sink has the name 'none'"),
    ],
)
def test_wrong_use_ends_with_2(kept: Kept, arguments: tuple[str, ...], told: str) -> None:
    """One message that says what would be right."""
    assert told in kept.run(*arguments, code=2).stderr


def test_replay_counts_asks_and_sends(kept: Kept) -> None:
    """A dry run counts; a script must say --yes; then the dead go out again."""
    kept.write(let_die)
    assert kept.json("replay", "--dry-run") == [{"matched": 3, "changed": 0}]
    assert kept.run("replay", "--dry-run", "--type", "transcript.*").stdout == "2 found, nothing was done\n"
    assert "Replay 3 of them? Nobody can be asked here: give --yes" in kept.run("replay", code=2).stderr
    assert kept.run("replay", "--yes").stdout == "3 found, 3 replayed\n"
    assert kept.run("replay").stdout == "0 found, nothing was done\n"


@pytest.mark.parametrize(("answer", "said"), [("y", "3 found, 3 replayed\n"), ("n", "3 found, nothing was done\n")])
def test_people_are_asked(kept: Kept, monkeypatch: pytest.MonkeyPatch, answer: str, said: str) -> None:
    """On a terminal, after the count."""
    kept.write(let_die)
    monkeypatch.setattr("receiver.cli.actions._somebody", lambda: True)
    done = CliRunner().invoke(cli.hookscribe, ["--config", str(kept.file), "replay"], input=f"{answer}\n")
    assert done.stdout == said
    assert "Replay 3 of them? [y/N]" in done.stderr


def test_replay_and_discard_by_id(kept: Kept) -> None:
    """Deliveries and events by their ids."""
    kept.write(let_die)
    dead = [row["id"] for row in kept.json("deliveries", "--state", "dead")]
    assert kept.json("discard", *dead[:2], "--yes") == [{"matched": 2, "changed": 2}]
    assert kept.json("replay", *dead, "--yes") == [{"matched": 3, "changed": 3}]
    event = kept.json("events", "--type", "acme.tested")[0]["id"]
    assert kept.json("replay", event, "--sink", "team", "--yes") == [{"matched": 1, "changed": 1}]
    assert kept.json("discard", "--state", "pending", "--sink", "team", "--yes")[0]["changed"] == 3


def test_a_new_sink_gets_what_it_missed(kept: Kept) -> None:
    """`--state missing` finds events that a sink takes and never had."""
    kept.file.write_text(kept.file.read_text() + '[sinks.new]\nkind = "jsonl"\npath = "new.jsonl"\n')
    missing = ("replay", "--state", "missing", "--sink", "new")
    assert kept.json(*missing, "--dry-run") == [{"matched": 3, "changed": 0}]
    assert kept.json(*missing, "--yes") == [{"matched": 3, "changed": 3}]


def test_a_sink_and_a_time_mean_all_that_it_should_have(kept: Kept) -> None:
    """`replay --sink NEW --since …` fills a sink from history; with a state it does what the state says."""
    kept.write(let_die)
    kept.file.write_text(kept.file.read_text() + '[sinks.new]\nkind = "jsonl"\npath = "new.jsonl"\n')
    since = ("--since", "2000-01-01")
    assert kept.json("replay", "--sink", "new", *since, "--state", "dead", "--dry-run")[0]["matched"] == 0
    assert kept.json("replay", "--sink", "new", "--since", "0s", "--dry-run")[0]["matched"] == 0
    assert kept.json("replay", "--sink", "new", *since, "--yes") == [{"matched": 3, "changed": 3}]
    assert kept.json("replay", "--sink", "archive", *since, "--yes") == [{"matched": 3, "changed": 3}]


def test_a_backlog_is_moved(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink that is renamed takes its backlog along: counted, asked, done; the list knows ids and options still."""
    kept.file.write_text(kept.file.read_text().replace("[sinks.archive]", "[sinks.files]"))
    move = ("deliveries", "move", "--from", "archive", "--to", "files")
    none = {"doubled": 0, "stay": 0}
    assert kept.json(*move, "--dry-run") == [{"matched": 3, "changed": 0, **none}]
    assert kept.run(*move, "--dry-run", "--since", "0s").stdout == "0 found, nothing was done\n"
    assert "Nobody can be asked here" in kept.run(*move, code=2).stderr
    monkeypatch.setattr("receiver.cli.actions._somebody", lambda: True)
    done = CliRunner().invoke(cli.hookscribe, ["--config", str(kept.file), *move], input="y\n")
    assert (done.stdout, "Move 3 of them to files? [y/N]" in done.stderr) == ("3 found, 3 moved\n", True)
    assert kept.run(*move, "--yes").stdout == "0 found, 0 moved\n"
    assert len(kept.json("deliveries", "--sink", "files")) == 3
    one = kept.json("deliveries", "--limit", "1")[0]["id"]
    assert kept.json("deliveries", one, "--json")[0]["id"] == one
    assert "move" in kept.run("deliveries", "--help").stdout
    assert "no id of the form dlv_" in kept.run("deliveries", "mvoe", code=2).stderr
    assert "configured are files, team" in kept.run(*move[:-1], "none", "--yes", code=2).stderr


def test_sinks(kept: Kept) -> None:
    """What waits for each; paused and resumed by name."""
    rows = kept.json("sinks")
    assert [(row["name"], row["state"], row["backlog"]["pending"]) for row in rows] == [
        ("archive", "running", 3),
        ("team", "running", 2),
    ]
    assert "pending" in kept.run("sinks").stdout
    assert "paused by an operator" in kept.run("sinks", "pause", "team").stdout
    assert kept.json("sinks", "show", "team")[0]["state"] == "paused"
    assert kept.json("sinks", "resume", "team")[0]["state"] == "running"


def test_no_store_yet(tmp_path: Path) -> None:
    """An empty file is told from an empty store."""
    assert "run `hookscribe migrate`" in Kept(tmp_path).run("receipts", code=1).stderr
