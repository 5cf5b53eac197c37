"""The commands `backup` and `restore`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import click

from receiver.cli.loading import loaded
from receiver.cli.noting import noted_in
from receiver.cli.output import json_option, show_one
from receiver.contract.errors import UsageError
from receiver.contract.times import from_ms
from receiver.store import backup as copies
from receiver.store.ids import moment
from receiver.store.opening import is_shared, sqlite_path


@click.command()
@click.argument("to", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@json_option
@click.pass_obj
def backup(path: Path | None, to: Path, force: bool, as_json: bool) -> None:
    """Write one consistent copy of the store, also in use.

    TO is a file, or a folder, where the copy is named after the moment. The quarantine, which expires, and the admin
    token, which a new start makes, are not in it. It holds calls in plain text, as the store does.
    """
    store = _file(path)
    place = to / f"{store.stem}-{_stamp()}.db" if to.is_dir() else to
    with _Bar("copying", as_json=as_json) as bar:
        copied = copies.backup(store, place, bar, force=force)
    noted_in(f"sqlite:{store}", "backup", to=place.name)
    show_one(_shape(copied), as_json=as_json)


@click.command()
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Move a store that is there aside.")
@json_option
@click.pass_obj
def restore(path: Path | None, source: Path, force: bool, as_json: bool) -> None:
    """Put a backup in the place of the store.

    The copy is read from end to end before anything changes; a store that is in use, or that is there without --force,
    stays. What --force replaces is kept beside it.
    """
    store = _file(path)
    with _Bar("restoring", as_json=as_json) as bar:
        copied = copies.restore(source, store, bar, force=force, stamp=_stamp())
    noted_in(f"sqlite:{store}", "restore", source=source.name)
    show_one(_shape(copied), as_json=as_json)


def _file(path: Path | None) -> Path:
    store = loaded(path)[0].root.store
    if is_shared(store):
        raise UsageError(
            "a database is backed up and restored by its own means: `pg_dump --format=custom` while everything runs, "
            "`pg_restore` into an empty one while nothing does; or by physical backups with the log"
        )
    return sqlite_path(store)


class _Bar:
    """Shows on a terminal how far the copy is."""

    def __init__(self, word: str, *, as_json: bool) -> None:
        self._word = word
        self._shown = sys.stderr.isatty() and not as_json
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if self._shown and percent != self._last:
            self._last = percent
            click.echo(f"\r{self._word} {percent} %", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._shown and self._last >= 0:
            click.echo(err=True)


def _shape(copied: copies.Copied) -> dict[str, Any]:
    newest = copied.newest_receipt
    return {
        "path": str(copied.path),
        "size": copied.size,
        "schema": copied.schema,
        "receipts": copied.receipts,
        "newest_receipt": None if newest is None else from_ms(moment(newest)),
        **({"replaced": str(copied.replaced)} if copied.replaced else {}),
    }


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
