"""Times on a command line: how long ago, moments, and what is none of these."""

import click
import pytest
from click.testing import CliRunner, Result

from receiver.cli.times import narrowing
from receiver.contract.errors import UsageError


@click.command()
@narrowing
def shown(since: str | None, until: str | None) -> None:
    """Print what a command gets."""
    click.echo(f"{since} {until}")


def given(*arguments: str) -> Result:
    """Run it."""
    return CliRunner().invoke(shown, arguments)


def test_longer_ago_than_times_go_is_the_beginning() -> None:
    """A slip of the finger is no fault of the program."""
    assert given("--since", "999999w").output == "1970-01-01T00:00:00.000Z None\n"


@pytest.mark.parametrize("text", ["2026-11-20", "2026-11-20T08:00:00Z", "2026-11-20T10:00:00+02:00"])
def test_a_moment_stays_as_it_is_written(text: str) -> None:
    """Who reads it knows the column."""
    assert given("--until", text).output == f"None {text}\n"


@pytest.mark.parametrize("text", ["99", "banana", "7d ago", ""])
def test_what_is_no_time_is_told_what_is_one(text: str) -> None:
    """Every form that the help names is named."""
    with pytest.raises(UsageError, match=r"--since: expected a time .* 7d, 12h, 30m"):
        CliRunner().invoke(shown, ["--since", text], catch_exceptions=False)
