"""The command `erase`: one thing goes at once, with everything that stems from it."""

from pathlib import Path

import click
import msgspec

from receiver.cli.actions import agreed
from receiver.cli.lists import with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import json_option, show_one
from receiver.making import recordings
from receiver.pipeline.operating.erase import Erase, Erased, Meant, counted
from receiver.runtime import Runtime


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
@click.pass_obj
def erase(path: Path | None, /, id_: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a call, transcript or receipt, and all that it led to.

    Results, their versions and words, events with their deliveries, the callbacks they came from, and the jobs, with the
    recordings that were sent to us, go; what waited for a sink is not sent. Keys stay, so that the same callback sent again stays a redelivery. Sinks keep what they were
    sent, and backups what they hold.
    """

    async def find(runtime: Runtime) -> Meant:
        return await Erase(runtime.store).find(id_)

    async def remove(runtime: Runtime) -> Erased:
        verb = Erase(runtime.store, recordings(runtime.config))
        meant = await verb.find(id_)
        await noted(runtime, "erase", [id_])
        return await verb.erase(meant)

    if dry_run or not yes:
        would = counted(with_runtime(path, find))
        if dry_run or not agreed(f"Erase {_told(would)}? There is no way back."):
            _say(would, f"{_told(would)}: nothing was done", as_json=as_json)
            return
    gone = with_runtime(path, remove)
    _say(gone, f"erased {_told(gone)}", as_json=as_json)


def _told(erased: Erased) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in msgspec.structs.asdict(erased).items())


def _say(erased: Erased, text: str, *, as_json: bool) -> None:
    if as_json:
        show_one(msgspec.structs.asdict(erased), as_json=True)
    else:
        click.echo(text)
