"""The commands on a database: migrate, doctor, and those that only a file has."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from postgres_server import database, needs_postgres

from receiver import cli
from receiver.doctor_database import of_database
from receiver.store.postgres import migrations
from receiver.store.postgres.look import DatabaseLook

pytestmark = needs_postgres


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty database."""
    with database() as address:
        yield address


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Path:
    """Give settings for it."""
    file = tmp_path / "hookscribe.toml"
    file.write_text(f'store = "{url}"\n')
    return file


def run(settings: Path, *arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli.hookscribe, ["--config", str(settings), *arguments], env={"DYNO": None})


def test_migrate_makes_the_schema_once(settings: Path) -> None:
    """The second time there is nothing to do."""
    applied = "".join(f"applied {name}\n" for name, _ in migrations.steps())
    assert run(settings, "migrate").stdout == f"{applied}the schema is this release's\n"
    assert run(settings, "migrate").stdout == "the schema is this release's\n"


def test_serve_needs_an_admin_token_and_a_schema(settings: Path) -> None:
    """Each is told with its way out, and nothing is started."""
    assert "run `hookscribe migrate`" in run(settings, "serve").output
    assert run(settings, "migrate").exit_code == 0
    told = run(settings, "serve")
    assert told.exit_code != 0
    assert "admin_token: with PostgreSQL it has to be set" in told.output


def test_doctor_looks_at_the_database(settings: Path, url: str) -> None:
    """Before the migration it is a problem, afterwards release, schema and processes are told."""
    before = run(settings, "doctor").output
    assert f"the database has schema 0, and this release needs {migrations.newest()} -> `hookscribe migrate`" in before
    run(settings, "migrate")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO workers VALUES (1, 'web host 7', 0, clock_timestamp() + interval '1 minute')")
    after = run(settings, "doctor")
    assert "PostgreSQL 1" in after.output
    assert "1 processes are at work: web host 7" in after.output
    assert after.exit_code == 0, after.output


def test_a_database_that_is_away_is_a_problem(settings: Path) -> None:
    """Who does not answer is named, without user and password."""
    settings.write_text('store = "postgresql://canary:canary@127.0.0.1:1/db"\n')
    told = run(settings, "doctor")
    assert "problem  store: postgresql://127.0.0.1:1/db" in told.output
    assert "canary" not in told.output


def test_an_address_that_cannot_be_read(settings: Path) -> None:
    """What is wrong with it is told, and not repeated."""
    settings.write_text('store = "postgresql://user:canary@/db?nonsense=canary"\n')
    told = run(settings, "migrate")
    assert told.exit_code != 0
    assert "store: the address cannot be read" in told.output
    assert "canary" not in told.output


@pytest.mark.parametrize("arguments", [("backup", "x.db"), ("restore", __file__)])
def test_what_only_a_file_has(settings: Path, arguments: tuple[str, ...]) -> None:
    """A database is backed up by its own means."""
    assert "pg_dump" in run(settings, *arguments).output


GOOD = {"where": "postgresql://h/db", "number": 150_004, "version": "15.4", "schema": 1, "newest": 1, "fits": True}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"number": 120_001, "version": "12.1"}, "problem PostgreSQL 12.1 is too old"),
        ({"durable": False}, "problem the server runs without fsync"),
        ({"read_only": True}, "problem the server, or the user, may only read"),
        ({"ahead": 5.0}, "warning the server's clock is 5.0 s ahead of ours"),
        ({"ahead": -5.0}, "warning the server's clock is 5.0 s behind ours"),
        ({"schema": 7, "fits": False}, "problem the database has schema 7, and this release needs 1"),
    ],
)
def test_what_may_be_wrong_with_a_database(changes: dict[str, object], told: str) -> None:
    """Each is told, with a way out."""
    found = list(of_database(DatabaseLook(**{**GOOD, **changes})))  # type: ignore[arg-type]
    (one,) = [one for one in found if one.level != "ok"]
    assert f"{one.level} {one.text}".startswith(told)
    assert one.way_out
