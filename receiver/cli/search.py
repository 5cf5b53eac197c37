"""The command `search`: segments with words in them."""

import sys
from pathlib import Path
from typing import Any

import click

from receiver.cli.lists import paged, with_runtime
from receiver.cli.noting import read_by_command
from receiver.cli.output import cell, show
from receiver.export.words import clock
from receiver.runtime import Runtime
from receiver.store.lists import Lists
from receiver.store.search import Found
from receiver.store.shapes import Shape, Status


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--best", is_flag=True, help="Best first, of the newest 2,000 matches; else newest first.")
@click.option("--speaker", metavar="NAME", help="Said by this speaker: id or label.")
@click.option("--role", type=click.Choice(["agent", "customer"]), help="Said by this side.")
@click.option("--sentiment", metavar="WORD", help="With this sentiment, as the provider calls it.")
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--provider", metavar="NAME", help="Of this provider.")
@click.option("--operation", metavar="NAME", help="Of this operation, such as transcription.")
@click.option("--call", metavar="ID", help="In this call: call_…, or the ID that `submit --call` gave it.")
@click.option("--status", type=click.Choice([one.value for one in Status]), help="Of transcripts with this status.")
@paged
@click.pass_obj
def search(path: Path | None, /, words: tuple[str, ...], *, best: bool, as_json: bool, **given: Any) -> None:
    """Find what was said, by words, speaker, call and time.

    All WORDS must be there: word, "a phrase" (in quotation marks of its own), begin*, this OR that, and, behind --,
    -without.
    """
    asked = {name: str(value) for name, value in given.items() if value is not None}
    asked |= {"q": " ".join(words), **({"order": "best"} if best else {})}
    found = with_runtime(path, lambda runtime: _found(runtime, asked))
    if as_json:
        show(found.items, (), as_json=True)
    else:
        for one in found.items:
            _print(one)
    if not found.items:
        click.echo("nothing found", err=True)
    if found.ranked is not None and not found.all_ranked:
        click.echo(f"the best of the newest {found.ranked} matches; there are more", err=True)
    if found.next:
        click.echo(f"more: --cursor {found.next}", err=True)


async def _found(runtime: Runtime, asked: dict[str, str]) -> Found:
    found = await Lists(runtime.store.engine).search.segments(asked)
    await read_by_command(runtime, (one["transcript_id"] for one in found.items))
    return found


def _print(one: Shape) -> None:
    """Print a segment on two lines: where it is, and what was said, the words found in bold on a terminal."""
    at = "" if one["start"] is None else f" at {clock(one['start']).partition('.')[0]}"
    who = cell(one["label"] or one["role"] or one["speaker"] or "-")
    click.echo(f"{one['transcript_id']}{at}  {one['received_at'][:19].replace('T', ' ')}  {cell(one['source'])}  {who}")
    text, done, shown = one["snippet"], 0, ""
    for start, end in one["marks"] if sys.stdout.isatty() else ():
        shown += cell(text[done:start]) + click.style(cell(text[start:end]), bold=True)
        done = end
    click.echo(f"    {shown}{cell(text[done:])}")
