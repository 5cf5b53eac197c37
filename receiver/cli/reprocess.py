"""The command `reprocess`: today's handler over stored bytes; the difference first, and written where that is said."""

import secrets
from pathlib import Path
from typing import Any

import click
import msgspec

from receiver.cli.lists import with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import cell, json_option, show_one
from receiver.cli.times import narrowing
from receiver.contract.errors import UsageError
from receiver.contract.model import ReceiptState
from receiver.pipeline.operating.differences import Shown, as_is, masked
from receiver.pipeline.operating.reprocess import Ending, Meant, Redone, Summary, as_row
from receiver.runtime import Runtime, reprocessing

_MOST = 40
"""Differences of one document that are printed for people."""


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--provider", metavar="NAME", help="Of this provider.")
@click.option(
    "--state",
    type=click.Choice([ReceiptState.UNREADABLE.value, ReceiptState.NORMALIZED.value]),
    help="In this state; default: both.",
)
@narrowing
@click.option("--dry-run", is_flag=True, help="Only show what would change; the default.")
@click.option("--write", "--yes", "write", is_flag=True, help="Write what changes.")
@click.option(
    "--deliver", metavar="NAME", multiple=True, help="Tell this sink of what changed; several times for more."
)
@click.option("--show-text", is_flag=True, help="Show what was said where it differs, not its length.")
@json_option
@click.pass_obj
def reprocess(path: Path | None, /, **given: Any) -> None:
    """Normalize stored receipts again.

    By ID, or what a filter finds; without either, all of them. Shows what today's handler would make of them, and writes
    it with --write: new versions under the same ids. Nobody is told but the sinks named with --deliver.
    """
    if given["dry_run"] and given["write"]:
        raise UsageError("--dry-run and --write exclude each other")
    shown = as_is if given["show_text"] else masked(secrets.token_bytes(16))
    summary = with_runtime(path, lambda runtime: _run(runtime, given, shown))
    if given["as_json"]:
        show_one({"summary": msgspec.structs.asdict(summary)}, as_json=True)
    else:
        click.echo(_told(summary))


async def _run(runtime: Runtime, given: dict[str, Any], shown: Shown) -> Summary:
    names = ("source", "provider", "state", "since", "until")
    meant = Meant(ids=given["ids"], **{name: given[name] for name in names})
    summary = Summary(written=given["write"])
    async with reprocessing(runtime) as verb:
        async for one in verb.run(meant, write=given["write"], deliver=given["deliver"]):
            summary.add(one)
            if one.result is not Ending.UNCHANGED:
                _show(one, shown, as_json=given["as_json"])
    if given["write"] or given["show_text"]:
        told = {name: given[name] for name in (*names, "write", "deliver", "show_text")}
        await noted(runtime, "receipts.reprocess", given["ids"], **told)
    return summary


def _show(one: Redone, shown: Shown, *, as_json: bool) -> None:
    row = as_row(one, shown)
    if as_json:
        show_one(row, as_json=True)
        return
    reason = f": {cell(one.reason)}" if one.reason else ""
    click.echo(f"{one.id}  {one.source}  {one.result}{reason}")
    for change in row["changes"]:
        version = f" version {change['version']}" if change["version"] else ""
        click.echo(f"  {change['event']}  {change['subject']}{version}  by {one.normalizer}")
        for difference in change["differences"][:_MOST]:
            old, new = (cell(difference[side]) if side in difference else "nothing" for side in ("old", "new"))
            click.echo(f"    {cell(difference['path'])}: {old} -> {new}")
        if (more := len(change["differences"]) - _MOST) > 0:
            click.echo(f"    and {more:,} more")


def _told(summary: Summary) -> str:
    counts = msgspec.structs.asdict(summary)
    endings = ", ".join(f"{counts[name]:,} {name}" for name in Ending if counts[name])
    made = f"{summary.versions:,} versions, {summary.events:,} events, {summary.deliveries:,} deliveries"
    head = f"{summary.receipts:,} receipts" + (f": {endings}" if endings else "")
    return f"{head}; {made} written" if summary.written else f"{head}; {made} with --write; nothing was written"
