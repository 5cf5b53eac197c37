"""What commands print: tables for people, JSON lines for programs with `--json`."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
import msgspec

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

WIDEST = 10_000
"""Columns of a table that no terminal shows: nothing is folded or cut."""


def json_option(function: FunctionT) -> FunctionT:
    """Give a command the flag `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, for programs.")(
        function
    )


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows: as JSON with everything they hold, one a line as it comes; or the `columns` as a table."""
    if not as_json:
        _table(list(rows), columns)
        return
    for row in rows:
        click.echo(msgspec.json.encode(row, enc_hook=str))


def show_one(thing: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: as a line of JSON, or its members one below the other."""
    if as_json:
        click.echo(msgspec.json.encode(thing, enc_hook=str))
        return
    width = max((len(key) for key in thing), default=0)
    for key, value in thing.items():
        click.echo(f"{key:<{width}}  {cell(value)}")


def cell(value: Any) -> str:
    """Return a value as one line that cannot steer the terminal it is shown on."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else _text(value)
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def warn(message: str) -> None:
    """Print a warning to stderr, apart from what programs read."""
    click.echo(f"warning: {message}", err=True)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else msgspec.json.encode(value, enc_hook=str).decode()


def _table(rows: list[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console  # noqa: PLC0415 -- rich takes longer to import than most commands to run
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else WIDEST)
    console.print(table)
