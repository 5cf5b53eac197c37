"""Nothing that shows what was said, or changes what is kept, is without its entry in the audit trail."""

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from audited_table import COMMANDS, NOTHING, SHOWING_ENDPOINTS, SHOWING_PAGES, SILENT_ENDPOINTS, commands
from click.testing import CliRunner
from command_on import Kept
from flows import OPTIONS, Flow, flowing
from recordings import a_wave
from running_fakes import ADMIN, REGISTRY, configured
from starlette.routing import Mount, Route

from receiver.cli import hookscribe
from receiver.store.audit import Trail
from receiver.store.ids import JOB, decode
from receiver.web.audited import Reads
from receiver.web.described import declared
from receiver.web.serve import _admin, serving
from receiver.web.sessions import Sessions
from receiver.web.stream import Streams

API = "/api/v1/"
WORDS = re.compile(r"[a-z]{4,}")


def test_every_command_says_what_it_leaves() -> None:
    """A new command is in the table, or this fails."""
    assert sorted(commands()) == sorted(COMMANDS)


def test_every_endpoint_says_whether_it_shows_words() -> None:
    """A new one is in the table; orders, whatever they are, are written down by the layer."""
    looks = {one.path.removeprefix(API): one.shows for one in declared() if one.method == "GET" and API in one.path}
    assert {path for path, shows in looks.items() if shows} == SHOWING_ENDPOINTS
    assert {path for path, shows in looks.items() if not shows} == SILENT_ENDPOINTS


async def test_every_page_says_whether_it_shows_words(tmp_path: Path) -> None:
    """What is sent to a page is written down whatever it is; what is looked at has to be in the table."""
    nothing: Any = None
    async with serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (run, _):
        store = run.runtime.store
        app: Any = _admin(run, Sessions(b"", float, nothing), nothing, Reads(Trail(store)), Streams(store))
        (mount,) = [one for one in app._app.routes if isinstance(one, Mount)]
        pages = [one for one in mount.routes if isinstance(one, Route) and not one.path.startswith("/api/")]
    assert {one.path for one in pages if "GET" in (one.methods or ())} == {*SHOWING_PAGES}


class Trailed:
    """The command on a store, and what each leaves in the trail."""

    def __init__(self, settings: Path) -> None:
        self._settings = settings

    def run(self, *arguments: str) -> str:
        """Run a command; return what it prints."""
        done = CliRunner().invoke(hookscribe, ["--config", str(self._settings), *arguments])
        assert done.exit_code == 0, (arguments, done.output)
        return done.stdout

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command for programs."""
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]

    def entries(self) -> list[tuple[str, str]]:
        """Return what commands left so far, oldest first."""
        rows = self.json("audit", "--limit", "1000")
        return [(row["what"], row["thing"]) for row in reversed(rows) if row["via"] == "command"]

    def left(self, words: str, *arguments: str) -> str | None:
        """Run a command; what it leaves is what the table says. Return what that is about."""
        before = len(self.entries())
        self.run(*words.split(), *arguments)
        made = self.entries()[before:]
        assert [what for what, _ in made] == [COMMANDS[words]] * (COMMANDS[words] != NOTHING), words
        return made[0][1] if made else None


@contextlib.asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[Flow]:
    """Run a receiver with a transcript, its receipt and its deliveries, and a refused request."""
    async with flowing(folder, "callcov") as flow:
        await flow.one()
        await flow.quiet()
        async with httpx.AsyncClient() as http:
            url = f"{flow.run.runtime.config.root.public_url}/hooks/callcov/wrong"
            assert (await http.post(url, content=b"{}")).status_code == 404
        text = flow.provided.settings.read_text()
        team = f'"team" = {{"kind" = "jsonl", "path" = "{folder}/team.jsonl"}}'
        flow.provided.settings.write_text(text.replace('{"archive"', f'{{{team}, "archive"'))
        yield flow


async def test_every_command_leaves_what_it_says(tmp_path: Path) -> None:
    """On a receiver that runs, with a real job, receipt, transcript, delivery and refused requests."""
    async with filled(tmp_path) as flow:
        kept = Trailed(flow.provided.settings)
        await asyncio.to_thread(_looked, kept, tmp_path)
        await asyncio.to_thread(_ordered, kept, flow, tmp_path)
    await asyncio.to_thread(_copied, kept, tmp_path / "copy.db")


def _looked(kept: Trailed, folder: Path) -> None:
    (receipt,) = kept.json("receipts")
    (transcript,) = kept.json("transcripts")
    (event, *_) = kept.json("events")
    while not (refused := next(iter(kept.json("quarantine", "list")), None)):
        pass  # it is written beside the answer
    word = WORDS.search(transcript["segments"][0]["text"].lower())
    assert word
    for words in ("jobs list", "calls", "deliveries", "sinks", "tokens list", "quarantine list", "audit", "doctor"):
        kept.left(words)
    for words in ("jobs list", "receipts list"):
        kept.run(*words.split())
    assert kept.left("sinks show", "archive") is None
    assert kept.left("receipts list", receipt["id"], "--body") == receipt["id"]
    assert kept.left("transcripts", transcript["id"]) == transcript["id"]
    assert kept.left("events", event["id"]) == event["id"]
    assert kept.left("search", word[0]) == transcript["id"]
    assert kept.left("export", transcript["id"]) == transcript["id"]
    assert kept.left("verify", receipt["id"]) == receipt["id"]
    assert kept.left("quarantine show", refused["id"]) == refused["id"]
    assert kept.left("quarantine drop", refused["id"]) == refused["id"]
    assert kept.left("receipts fixture", receipt["id"], "--to", str(folder / "case")) == receipt["id"]


def _ordered(kept: Trailed, flow: Flow, folder: Path) -> None:
    (receipt,) = kept.json("receipts")
    (transcript,) = kept.json("transcripts")
    url = f"{flow.run.runtime.config.root.public_url}/hooks/callcov"
    sent = ("--to", url, "--token", "emulator-token-0123456789")
    assert kept.left("receipts send", receipt["id"], *sent) == receipt["id"]
    kept.left("receipts admit", receipt["id"])
    kept.left("reprocess", receipt["id"], "--write")
    options = [f"--option={name}={value}" for name, value in OPTIONS["callcov"].items()]
    job = kept.left("submit", "callcov", str(a_wave(folder / "b.wav", 2)), *options)
    assert job
    while kept.json("jobs", "list", job)[0]["state"] != "completed":
        pass  # its result comes on its own
    with contextlib.closing(sqlite3.connect(folder / "store.db", timeout=30)) as store, store:
        store.execute("UPDATE jobs SET state = 'uncertain', job_id = NULL WHERE id = ?", (decode(JOB, job),))
    assert kept.left("jobs settle", job, "--failed") == job
    kept.left("jobs adopt", "callcov", "x1")
    assert kept.left("sweep", "callcov") == "callcov"
    assert kept.left("sinks pause", "archive") == "archive"
    assert kept.left("sinks resume", "archive") == "archive"
    assert kept.left("sinks test", "archive") == "archive"
    kept.left("replay", "--state", "delivered", "--yes")
    kept.left("discard", "--state", "pending", "--yes")
    kept.left("deliveries move", "--from", "archive", "--to", "team", "--yes")
    assert kept.left("tokens create", "ci", "--role", "read") == "ci"
    assert kept.left("tokens revoke", "ci") == "ci"
    assert kept.left("erase", transcript["id"], "--yes") == transcript["id"]


def _copied(kept: Trailed, copy: Path) -> None:
    kept.left("backup", str(copy))
    kept.run("restore", str(copy), "--force")
    assert kept.entries()[-1][0] == COMMANDS["restore"]


def test_a_migration_is_written_down(tmp_path: Path) -> None:
    """In the store that it made; done again, nothing is done."""
    kept = Kept(tmp_path)
    kept.run("migrate")
    kept.run("migrate")
    assert [one["what"] for one in kept.json("audit")] == ["migrate"]


def test_a_backup_of_an_older_schema_tells_that_nothing_was_written(tmp_path: Path) -> None:
    """It is made all the same: who upgrades makes one before."""
    kept = Kept(tmp_path)
    kept.run("migrate")
    with contextlib.closing(sqlite3.connect(kept.store)) as store, store:
        store.execute("DROP TABLE audit")
    done = kept.run("backup", str(tmp_path / "copy.db"))
    assert "the audit trail does not tell of this" in done.stderr
    assert (tmp_path / "copy.db").exists()
