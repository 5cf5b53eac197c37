"""`hookscribe doctor`: reads, asks the store where there is one, and says how it stands by its exit code."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kept import ROUTES, normalized, notice, result

from receiver import cli
from receiver.contract.model import SinkState
from receiver.store.opening import open_store
from receiver.store.quarantine.quarantine import beside
from receiver.store.quarantine.records import NewQuarantined
from receiver.store.records import SinkRow
from receiver.store.store import Store

CONFIG = """
public_url = "https://calls.example.com"
store = "sqlite:{folder}/hookscribe.db"

[sources.acme]
provider = "ringcentral"
token = "canary-token-0123456789"

[sinks.archive]
kind = "jsonl"
path = "{folder}/events.jsonl"
"""


class Desk:
    """A folder with a configuration, perhaps a store, and the command over it."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        self.address = f"sqlite:{folder}/hookscribe.db"
        self.file = folder / "hookscribe.toml"
        self.file.write_text(text.format(folder=folder))

    def run(self, *arguments: str) -> Result:
        """Run the command."""
        environ = {"HOOKSCRIBE_CONFIG": str(self.file), "DYNO": None, "DATABASE_URL": None, "PORT": None}
        return CliRunner().invoke(cli.hookscribe, ["doctor", *arguments], env=environ)

    def told(self) -> tuple[int, list[str]]:
        """Return the exit code, and what is not ok."""
        done = self.run("--json")
        assert done.exception is None or isinstance(done.exception, SystemExit)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert all(set(one) == {"level", "about", "text", "way_out"} for one in found)
        assert "canary" not in done.output
        return done.exit_code, [f"{one['level']} {one['about']}" for one in found if one["level"] != "ok"]

    def keep(self, sinks: Sequence[SinkRow] = (), **changes: Any) -> None:
        """Make the store, with two events on their way to every route."""

        async def work() -> None:
            store = await open_store(self.address, time.time)
            try:
                await store.engine.migrate()
                await store.register("test")
                await normalized(store, [result("1"), notice("ring")], ROUTES, **changes)
                await self._put(store, sinks)
            finally:
                await store.engine.close()

        asyncio.run(work())

    async def _put(self, store: Store, sinks: Sequence[SinkRow]) -> None:
        for sink in sinks:
            await store.put_sink(sink)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Give a configuration without a store."""
    return Desk(tmp_path)


def test_all_is_well_before_the_first_start(desk: Desk) -> None:
    """Nothing is there, nothing is made, nothing is wrong."""
    assert desk.told() == (0, [])
    assert [path.name for path in desk.file.parent.iterdir()] == ["hookscribe.toml"]


def test_lines_for_people(desk: Desk) -> None:
    """A line each: level, what about, how it stands, and the way out."""
    desk.file.write_text(desk.file.read_text().replace('public_url = "https', 'public_url = "http'))
    done = desk.run()
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       source acme: proven by token in the URL") for line in lines)
    assert any(line.startswith("warning  public_url: ") and " -> put TLS in front" in line for line in lines)


def test_wrong_settings_are_the_one_thing_told(desk: Desk) -> None:
    """Each error is a problem, and nothing else is looked at."""
    desk.file.write_text("frobnicate = 1\n[sinks.x]\n")
    assert desk.told() == (1, ["problem settings", "problem settings"])
    desk.file.unlink()
    assert desk.told() == (1, ["problem settings"])


def test_a_database_that_is_away_is_told(desk: Desk) -> None:
    """Who cannot be reached is a problem of the store."""
    desk.file.write_text('store = "postgresql://user:canary@127.0.0.1:1/calls"\n')
    assert desk.told() == (1, ["warning settings", "warning settings", "problem store"])


def test_what_waits_for_nobody_is_a_problem(desk: Desk) -> None:
    """A sink that is not in the settings has deliveries; the one that is only waits."""
    desk.keep()
    assert desk.told() == (1, ["problem sink team"])


def test_a_tripped_sink_is_a_problem_and_a_paused_one_is_not(desk: Desk) -> None:
    """By its state in the store."""
    desk.keep([SinkRow(name="archive", state=SinkState.TRIPPED, failures=5, reason="no space")], source="other")
    code, lines = desk.told()
    assert (code, "problem sink archive" in lines) == (1, True)


def test_a_store_without_a_schema_is_not_asked(desk: Desk) -> None:
    """It is not migrated either."""
    (desk.file.parent / "hookscribe.db").touch(mode=0o600)
    assert desk.told() == (0, ["warning store"])


def test_a_store_that_fails_is_a_problem(desk: Desk) -> None:
    """The file is this release's by its number, and lacks its tables; settings are looked at all the same."""
    desk.keep(source="acme")
    with contextlib.closing(sqlite3.connect(desk.file.parent / "hookscribe.db")) as connection:
        connection.execute("DROP TABLE sinks")
    assert desk.told() == (1, ["problem store"])


def test_the_quarantine_is_counted(desk: Desk) -> None:
    """Refused requests, with the newest reason."""

    async def work() -> None:
        kept = beside(desk.address, time.time)
        row = NewQuarantined(kept.hour() << 40, "acme", "token_unknown", 0, 1, "[]", None, None, b"", b"x")
        await kept.put([row], Bounds())
        await kept.close()

    asyncio.run(work())
    assert desk.told() == (0, ["warning quarantine"])


class Bounds:
    """Room for everything."""

    max_count = 10
    max_bytes = 1 << 20
    max_age = 1e12


def test_a_broken_quarantine_is_a_problem(desk: Desk) -> None:
    """It is told, and the rest is still looked at."""
    (desk.file.parent / "hookscribe.db-quarantine").write_bytes(b"no database " * 100)
    code, lines = desk.told()
    assert code == 1
    assert "problem quarantine" in lines
