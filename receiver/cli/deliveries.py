"""The command `deliveries`: the list, and `move`, which settles the backlog of a sink that was removed or renamed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from receiver.cli.actions import agreed, verbs
from receiver.cli.lists import list_of_deliveries, paged, show_delivery, with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import json_option, show_one
from receiver.cli.times import moment
from receiver.contract.model import DeliveryState
from receiver.pipeline.operating.chosen import Move
from receiver.pipeline.operating.replay import Moved
from receiver.runtime import Runtime


class _ListWithVerbs(click.Group):
    """A list whose first word may be a verb of its own; any other is an id."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand over to the verb, where the first word is one."""
        verb = self.commands.get(args[0]) if args else None
        if verb is not None:
            return verb.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, allow_interspersed_args=True, **extra)


@click.group(cls=_ListWithVerbs, invoke_without_command=True, subcommand_metavar="")
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--sink", metavar="NAME", help="To this sink.")
@click.option("--state", type=click.Choice([one.value for one in DeliveryState]), help="In this state.")
@click.option("--event", metavar="ID", help="Of this event.")
@paged
@click.pass_obj
def deliveries(path: Path | None, /, id_: str | None, *, as_json: bool, **given: Any) -> None:
    """List what goes to sinks, or show one delivery."""
    if id_:
        show_delivery(path, id_, given, as_json=as_json)
    else:
        list_of_deliveries(path, given, as_json=as_json)


@deliveries.command("move")
@click.option("--from", "from_", metavar="NAME", required=True, help="The sink that they wait for; may be gone.")
@click.option("--to", metavar="NAME", required=True, help="The sink that gets them.")
@click.option("--dead", is_flag=True, help="Dead ones too.")
@click.option("--source", metavar="NAME", help="Of events of this source.")
@click.option("--type", metavar="TYPE", help='Of this event type, or a glob such as "transcript.*".')
@click.option(
    "--since", metavar="TIME", callback=moment, help="Made from this time or day on, or so long ago (7d, 12h)."
)
@click.option("--until", metavar="TIME", callback=moment, help="Made before this time.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def move(path: Path | None, /, *, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Give what waits for a sink to another.

    For a sink that was removed or renamed. What the other has already is not doubled, what it does not take stays;
    within a call the order stays as it was.
    """
    asked = Move(**given)

    def act(*, dry: bool) -> Moved:
        async def work(runtime: Runtime) -> Moved:
            moved = await verbs(runtime).move(asked, dry_run=dry)
            if not dry:
                await noted(runtime, "deliveries.move", **msgspec.to_builtins(asked))
            return moved

        return with_runtime(path, work)

    found = act(dry=True) if dry_run or not yes else None
    if found and (dry_run or not found.matched or not agreed(f"Move {found.matched:,} of them to {asked.to}?")):
        _say(found, [f"{found.matched:,} found, nothing was done"], as_json=as_json)
        return
    moved = act(dry=False)
    _say(moved, [f"{moved.matched:,} found, {moved.changed:,} moved"], as_json=as_json)


def _say(moved: Moved, words: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        show_one(msgspec.structs.asdict(moved), as_json=True)
        return
    doubled = [f"{moved.doubled:,} were there already and are discarded"] if moved.doubled else []
    stay = [f"{moved.stay:,} stay, because the other sink does not take them"] if moved.stay else []
    click.echo("; ".join([*words, *doubled, *stay]))
