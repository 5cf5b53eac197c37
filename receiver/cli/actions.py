"""The commands that change what goes out: `replay`, `discard`, and `sinks` with pause, resume and test."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from receiver.cli.lists import show_thing, with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import cell, json_option, show, show_one
from receiver.cli.times import moment
from receiver.contract.errors import UsageError
from receiver.making import routes
from receiver.pipeline.operating.chosen import MISSING, Chosen
from receiver.pipeline.operating.replay import DISCARDABLE, REPLAYABLE, Changed, Replay
from receiver.pipeline.operating.trial import LONGEST, WITHIN, Trial
from receiver.runtime import Runtime
from receiver.store.ids import EVENT
from receiver.store.lists import Lists, named

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Verb = Callable[[Replay, bool], Awaitable[Changed]]


def chosen(states: Sequence[str]) -> Callable[[FunctionT], FunctionT]:
    """Give a command the options that say which deliveries are meant."""
    options = (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only say how many."),
        click.option("--until", metavar="TIME", callback=moment, help="Made before this time."),
        click.option(
            "--since", metavar="TIME", callback=moment, help="Made from this time or day on, or so long ago (7d, 12h)."
        ),
        click.option("--type", metavar="TYPE", help='Of this event type, or a glob such as "transcript.*".'),
        click.option("--source", metavar="NAME", help="Of events of this source."),
        click.option("--sink", metavar="NAME", help="To this sink."),
        click.option(
            "--state", type=click.Choice([str(state) for state in states]), help="In this state; default: dead."
        ),
    )

    def decorate(function: FunctionT) -> FunctionT:
        for option in options:
            function = option(function)
        return json_option(function)

    return decorate


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@chosen([*REPLAYABLE, MISSING])
@click.pass_obj
def replay(path: Path | None, /, ids: tuple[str, ...], **given: Any) -> None:
    """Deliver events again.

    Deliveries or events by ID, or what a filter finds; without either, dead deliveries, of each event the newest to
    each sink. With --sink and --since, also events that the sink takes and never was sent, such as those from before
    it was set up; --state missing finds these alone, --state dead leaves them out.
    """
    if ids and all(one.startswith(EVENT) for one in ids):
        _no_filter(given, "sink")
        _act(path, "replay", {**given, "ids": ids}, lambda one, _: _events(one, ids, given["sink"]), len(ids))
    elif ids:
        _no_filter(given)
        _act(path, "replay", {**given, "ids": ids}, lambda one, _: one.replay_deliveries(ids), len(ids))
    else:
        _act(path, "replay", given, lambda one, dry: _replayed(one, given, dry=dry))


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@chosen(DISCARDABLE)
@click.pass_obj
def discard(path: Path | None, /, ids: tuple[str, ...], **given: Any) -> None:
    """Give up deliveries, dead or waiting.

    By ID, or what a filter finds; without either, dead deliveries. What was discarded can be replayed.
    """
    if ids:
        _no_filter(given)
        _act(path, "discard", {**given, "ids": ids}, lambda one, _: one.discard_deliveries(ids), len(ids))
    else:
        _act(path, "discard", given, lambda one, dry: one.discard(_chosen(given), dry_run=dry))


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def sinks(ctx: click.Context, as_json: bool) -> None:
    """List sinks; show, pause, resume or test one."""
    if ctx.invoked_subcommand is None:
        rows = with_runtime(ctx.obj, _sinks)
        columns = ("name", "kind", "state", "pending", "in_flight", "dead", "discarded", "reason")
        show(rows if as_json else [{**row, **row["backlog"]} for row in rows], columns, as_json=as_json)


@sinks.command("show")
@click.argument("name")
@json_option
@click.pass_obj
def show_(path: Path | None, name: str, as_json: bool) -> None:
    """Show one sink."""
    _show_sink(with_runtime(path, lambda runtime: _sink(runtime, name)), as_json=as_json)


@sinks.command("pause")
@click.argument("name")
@json_option
@click.pass_obj
def pause(path: Path | None, name: str, as_json: bool) -> None:
    """Send nothing more to a sink; its deliveries wait."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        await verbs(runtime).pause(name)
        await noted(runtime, "sinks.pause", [name])
        return await _sink(runtime, name)

    _show_sink(with_runtime(path, work), as_json=as_json)


@sinks.command("resume")
@click.argument("name")
@json_option
@click.pass_obj
def resume(path: Path | None, name: str, as_json: bool) -> None:
    """Send to a sink again."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        await verbs(runtime).resume(name)
        await noted(runtime, "sinks.resume", [name])
        return await _sink(runtime, name)

    _show_sink(with_runtime(path, work), as_json=as_json)


@sinks.command("test")
@click.argument("name")
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST, min_open=True),
    default=WITHIN,
    show_default=True,
    help="Seconds to wait for it.",
)
@json_option
@click.pass_context
def test_(ctx: click.Context, name: str, wait: float, as_json: bool) -> None:
    """Send a test event to a sink, as every event goes; exit code 1 if it does not arrive in time."""

    async def work(runtime: Runtime) -> Trial:
        await noted(runtime, "sinks.test", [name])
        return await verbs(runtime).test(name, wait)

    trial = with_runtime(ctx.obj, work)
    if as_json:
        show_one(msgspec.structs.asdict(trial), as_json=True)
    else:
        said = f": {trial.detail}" if trial.detail else ""
        outcome = "arrived" if trial.arrived else f"did not arrive, and is {trial.state}"
        click.echo(cell(f"{trial.event} {outcome} after {trial.seconds:g} s, {trial.attempts} tried{said}"))
    if not trial.arrived:
        ctx.exit(1)


def _act(path: Path | None, word: str, given: dict[str, Any], verb: Verb, count: int | None = None) -> None:
    """Count, ask, act, and say how many; `count` is known where ids are given."""
    if count is None and (given["dry_run"] or not given["yes"]):
        count = with_runtime(path, lambda runtime: verb(verbs(runtime), True)).matched
    if given["dry_run"] or count == 0 or not (given["yes"] or agreed(f"{word.capitalize()} {count:,} of them?")):
        _say(Changed(matched=count or 0, changed=0), f"{count or 0:,} found, nothing was done", given)
        return

    async def work(runtime: Runtime) -> Changed:
        changed = await verb(verbs(runtime), False)
        about = {name: given[name] for name in ("state", "sink", "source", "type", "since", "until")}
        await noted(runtime, f"deliveries.{word}", given.get("ids", ()), **about)
        return changed

    changed = with_runtime(path, work)
    _say(changed, f"{changed.matched:,} found, {changed.changed:,} {word}ed", given)


def agreed(question: str) -> bool:
    """Ask; raise UsageError where there is nobody to be asked."""
    if not _somebody():
        raise UsageError(f"{question} Nobody can be asked here: give --yes, or --dry-run")
    return click.confirm(question, err=True)


def _somebody() -> bool:
    return sys.stdin.isatty()


def _say(changed: Changed, text: str, given: dict[str, Any]) -> None:
    if given["as_json"]:
        show_one(msgspec.structs.asdict(changed), as_json=True)
    else:
        click.echo(text)


def _chosen(given: dict[str, Any]) -> Chosen:
    names = ("state", "sink", "source", "type", "since", "until")
    return Chosen(**{name: given[name] for name in names if given[name] is not None})


def _no_filter(given: dict[str, Any], *allowed: str) -> None:
    names = {"state", "sink", "source", "type", "since", "until"} - {*allowed}
    if asked := sorted(name for name in names if given[name] is not None):
        raise UsageError(f"--{asked[0]} goes without IDs")


async def _replayed(one: Replay, given: dict[str, Any], *, dry: bool) -> Changed:
    """Replay what a filter finds; a sink and a time without a state mean all that the sink should have by then."""
    wanted = _chosen(given)
    states: list[str] = [wanted.state]
    if given["sink"] and given["since"] and given["state"] is None:
        states.insert(0, MISSING)
    done = [await one.replay(msgspec.structs.replace(wanted, state=state), dry_run=dry) for state in states]
    return Changed(matched=sum(each.matched for each in done), changed=sum(each.changed for each in done))


async def _events(one: Replay, ids: Sequence[str], sink: str | None) -> Changed:
    done = [await one.replay_event(event, sink) for event in ids]
    return Changed(matched=sum(each.matched for each in done), changed=sum(each.changed for each in done))


def verbs(runtime: Runtime) -> Replay:
    """Return the operator's verbs on a store."""
    return Replay(runtime.store, routes(runtime.config), prefix=runtime.config.root.event_prefix)


async def _sinks(runtime: Runtime) -> list[dict[str, Any]]:
    kinds = {name: settings.kind for name, settings in runtime.config.sinks.items()}
    return await Lists(runtime.store.engine).sinks(kinds)


async def _sink(runtime: Runtime, name: str) -> dict[str, Any]:
    return named(await _sinks(runtime), name, "sink")


def _show_sink(sink: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_one(sink, as_json=True)
    else:
        show_thing(sink)
