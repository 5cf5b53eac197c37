"""The command `copy`: an embedded store moves into a database."""

import sys
from importlib.util import find_spec

import click

from receiver.cli.output import json_option, show_one
from receiver.contract.errors import ConfigError
from receiver.store.opening import is_shared, sqlite_path


@click.command()
@click.option("--from", "source", required=True, metavar="sqlite:PATH", help="The store; nobody may have it open.")
@click.option("--to", required=True, metavar="postgresql://…", help="A database with this release's schema, and empty.")
@json_option
def copy(source: str, to: str, as_json: bool) -> None:
    """Move an embedded store into PostgreSQL.

    Every id stays, and every row is compared. Stopped at any time, it goes on where it was when it is started again. The store itself is not changed. What was refused,
    the quarantine, is not copied: it expires anyway.
    """
    path = sqlite_path(source)
    if not is_shared(to):
        raise ConfigError("--to: expected postgresql://user@host/db")
    if find_spec("psycopg") is None:
        raise ConfigError("--to: PostgreSQL needs its client: pip install 'hookscribe[postgres]'")
    from receiver.store.postgres.copying import copy_store  # noqa: PLC0415 -- an extra

    shown = sys.stderr.isatty() and not as_json

    def progress(table: str, done: int, total: int) -> None:
        if shown:
            click.echo(f"\r{table} {done:,}{f' of {total:,}' if total else ''}\033[K", nl=False, err=True)

    counts = copy_store(path, to, progress)
    if shown:
        click.echo(err=True)
    show_one(counts, as_json=as_json)
    key = path.with_name(f"{path.name}-seal-key")
    if key.exists():
        click.echo(f"tokens of jobs and sealed secrets go on working with seal_key set to what {key} holds", err=True)
