"""`hookscribe redact`: what a text looks like masked, and how much of a labelled corpus is found."""

from pathlib import Path
from typing import BinaryIO

import click

from receiver.cli.output import json_option, show
from receiver.contract.errors import ConfigError, UsageError
from receiver.contract.settings import REDACTED_KINDS, RedactSettings
from receiver.redact.found import Deadline
from receiver.redact.redactor import Redactor, Rules
from receiver.redact.score import Score, corpus, scored

_OURS = "fixtures/redaction"
_MOST = 16 * 1024 * 1024
_SECONDS = 60.0


@click.command(short_help="Show a text masked, or how well a labelled corpus is.")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--kinds", default=",".join(REDACTED_KINDS), show_default=True, help="What is masked, with commas.")
@click.option("--regions", default="US", show_default=True, help="Countries of telephone numbers, with commas.")
@click.option("--score", "folder", is_flag=False, flag_value=_OURS, metavar="[FOLDER]", help="Score a corpus instead.")
@click.option("--faults", is_flag=True, help="With --score: list every value missed and every mask too many.")
@json_option
def redact(
    file: BinaryIO | None,
    kinds: str,
    regions: str,
    folder: str | None,
    *,
    faults: bool,
    as_json: bool,
) -> None:
    """Show a text masked, or how well a labelled corpus is.

    FILE is UTF-8 text, `-` standard input. --score alone reads the corpus that comes with Hookscribe.
    """
    if folder is not None:
        _score(_ours() if folder == _OURS else Path(folder), faults=faults, as_json=as_json)
        return
    if file is None:
        raise UsageError("name a FILE, or - for standard input; --score needs none")
    redactor = Redactor(Rules(_settings(kinds, regions)), Deadline(_SECONDS))
    click.echo(redactor.text(_text(file)), nl=False)
    for kind, values in redactor.values.items():
        click.echo(f"{kind}: {len(values)} masked", err=True)


def _text(file: BinaryIO) -> str:
    read: bytes = file.read(_MOST + 1)
    if len(read) > _MOST:
        raise UsageError(f"the file is longer than {_MOST} bytes")
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the file is not UTF-8 at byte {error.start}") from None


def _settings(kinds: str, regions: str) -> RedactSettings:
    chosen = tuple(kind for kind in REDACTED_KINDS if kind in kinds.split(","))
    if unknown := {*filter(None, kinds.split(","))} - {*chosen}:
        raise UsageError(f"--kinds: {min(unknown)} is none of {', '.join(REDACTED_KINDS)}")
    settings = RedactSettings(kinds=chosen, regions=tuple(filter(None, regions.split(","))))
    try:
        settings.check()
    except ConfigError as error:
        raise UsageError(f"--{error}") from None
    return settings


def _score(folder: Path, *, faults: bool, as_json: bool) -> None:
    scores, found = scored(corpus(folder))
    if faults:
        rows = [{"kind": one.kind, "what": one.what, "note": one.note, "text": one.text} for one in found]
        show(rows, ("kind", "what", "note", "text"), as_json=as_json)
        return
    show([_row(one) for one in scores], ("kind", "labelled", "found", "recall", "wrong", "precision"), as_json=as_json)


def _row(score: Score) -> dict[str, object]:
    figures = {"kind": score.kind, "labelled": score.labelled, "found": score.found, "wrong": score.wrong}
    return {**figures, "recall": f"{score.recall:.3f}", "precision": f"{score.precision:.3f}"}


def _ours() -> Path:
    """Return the corpus in a checkout, or in an installed package."""
    top = Path(__file__).parents[2]
    folders = (top / _OURS, top / "handlers" / _OURS)
    return next((folder for folder in folders if folder.is_dir()), folders[0])
