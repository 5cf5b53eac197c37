"""The command `export`: one transcript or call, or all transcripts that a filter finds, to stdout, a file or a folder."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import click

from receiver.cli.lists import with_runtime
from receiver.cli.noting import read_by_command
from receiver.cli.output import warn
from receiver.cli.times import moment
from receiver.contract.errors import StoreUnavailable, UsageError
from receiver.export.formats import FORMATS, Format
from receiver.exporting import Exported, Exporter, LeftOut, host_of
from receiver.runtime import Runtime
from receiver.store.ids import CALL
from receiver.store.lists import Lists
from receiver.store.shapes import Status

Put = Callable[[Exported], None]


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--format", "form", type=click.Choice([*FORMATS]), default="json", show_default=True, help="The form.")
@click.option(
    "--to", metavar="PATH", help="A file; or a folder, which is there or ends with /, for a file each. Default: stdout."
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--version", type=click.IntRange(1), help="With an ID: this version, not the newest.")
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--provider", metavar="NAME", help="Of this provider.")
@click.option("--job-id", metavar="JOB", help="Of the provider's job.")
@click.option("--call", metavar="ID", help="About this call: call_…, or the ID that `submit --call` gave it.")
@click.option("--status", type=click.Choice([one.value for one in Status]), help="With this status.")
@click.option("--q", metavar="WORDS", help="In which these words were said; as in `hookscribe search`.")
@click.option("--speaker", metavar="NAME", help="In which this speaker spoke; with --q, said them.")
@click.option(
    "--since",
    metavar="TIME",
    callback=moment,
    help="Received from this time on: a time, a day, or so long ago (7d, 12h).",
)
@click.option("--until", metavar="TIME", callback=moment, help="Received before this time.")
@click.pass_obj
def export(
    path: Path | None, /, id_: str | None, *, form: str, to: str | None, force: bool, version: int | None, **given: Any
) -> None:
    """Write transcripts in other people's forms.

    With the ID of a transcript that one, with the ID of a call everything said about it as one vCon; else all that the
    options find. Several json and vcon are a line each; vtt and srt need a folder for several. What is written holds
    calls in plain text, and only its owner may read it.
    """
    asked = {name: str(value) for name, value in given.items() if value is not None}
    _check(id_, form, to, version, asked)

    async def work(runtime: Runtime) -> tuple[int, list[LeftOut]]:
        exporter = Exporter(Lists(runtime.store.engine), host_of(runtime.config.root.public_url))
        seen: list[str] = []
        with _place(to, FORMATS[form], single=id_ is not None, force=force) as place:

            def put(one: Exported) -> None:
                seen.append(one.id)
                place(one)

            try:
                return await written(exporter, id_, put)
            finally:
                await read_by_command(runtime, seen)

    async def written(exporter: Exporter, id_: str | None, put: Put) -> tuple[int, list[LeftOut]]:
        if id_ is None:
            return await _all(exporter, asked, form, put)
        put(await (exporter.call(id_) if id_.startswith(CALL) else exporter.one(id_, form, version)))
        return 1, []

    count, left_out = with_runtime(path, work)
    for one in left_out[:10]:
        warn(f"left out: {one.why}")
    if len(left_out) > 10:
        warn(f"and {len(left_out) - 10} more were left out")
    if not count:
        click.echo("nothing found", err=True)


def _check(id_: str | None, form: str, to: str | None, version: int | None, asked: Mapping[str, str]) -> None:
    if id_ and asked:
        raise UsageError(f"--{next(iter(asked)).replace('_', '-')} goes with all that it finds, not with an ID")
    if version and not id_:
        raise UsageError("--version goes with an ID")
    if id_ and id_.startswith(CALL) and (form != "vcon" or version):
        raise UsageError("a call is exported as a whole: --format vcon; for its transcripts use --call")
    if not id_ and FORMATS[form].after is None and not (to and _is_folder(to)):
        raise UsageError(f"a {form} file holds one transcript: name an ID, or a folder with --to FOLDER/")


async def _all(exporter: Exporter, asked: Mapping[str, str], form: str, put: Put) -> tuple[int, list[LeftOut]]:
    count, left_out = 0, []
    with _progress() as advance:
        async for one in exporter.many(asked, form):
            if isinstance(one, LeftOut):
                left_out.append(one)
            else:
                put(one)
                count += 1
            advance()
    return count, left_out


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """Show on a terminal how many there are already; say nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 -- rich takes longer to import than most commands to run
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.completed} transcripts"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda: progress.advance(task)


@contextlib.contextmanager
def _place(to: str | None, form: Format, *, single: bool, force: bool) -> Iterator[Put]:
    """Give what takes one export after the other: to stdout, into one file, or a file each into a folder."""
    if to is not None and _is_folder(to):
        folder = Path(to)
        with _explained(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield lambda one: _write(folder / one.filename, one, force=force)
    elif to is None:
        yield _stream(sys.stdout.buffer, form, single=single)
    else:
        with _whole(Path(to), force=force) as file:
            yield _stream(file, form, single=single)


def _stream(file: IO[bytes], form: Format, *, single: bool) -> Put:
    first = True

    def put(one: Exported) -> None:
        nonlocal first
        head, after = ("", "") if single else (form.head if first else "", form.after or "")
        first = False
        file.write(head.encode() + one.data + after.encode())

    return put


def _write(path: Path, one: Exported, *, force: bool) -> None:
    with _whole(path, force=force) as file:
        file.write(one.format.head.encode() + one.data)


@contextlib.contextmanager
def _whole(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Write a file beside its place, readable by its owner only, and move it there once it is whole."""
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: name another, or replace it with --force")
    partial = path.with_name(path.name + ".partial")
    with _explained(partial):
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 -- a descriptor, not a path
            yield file
        with _explained(path):
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


def _is_folder(to: str) -> bool:
    return to.endswith(("/", os.sep)) or Path(to).is_dir()
