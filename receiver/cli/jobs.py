"""The commands `jobs` and `sweep`: what was asked of providers, and how it stands."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from receiver.cli.lists import paged, show_thing, tabled, with_runtime
from receiver.cli.noting import noted
from receiver.cli.orders import pairs
from receiver.cli.output import json_option, show, show_one
from receiver.cli.times import moment, seconds
from receiver.contract.errors import UsageError
from receiver.contract.model import Call
from receiver.pipeline.jobs.adopt import Adopt, Adoption
from receiver.pipeline.jobs.sweep import Sweep
from receiver.runtime import Runtime, Submitting, submitting
from receiver.store import shapes
from receiver.store.ids import JOB, decode, encode
from receiver.store.job_lists import JobLists
from receiver.store.jobs import JobRow, JobState
from receiver.store.listing import milliseconds

ResultT = TypeVar("ResultT")

_LIST = "list"
_HELP = ("-h", "--help")
_COLUMNS = ("id", "created_at", "source", "file", "state", "job_id", "detail")
_STATS = (
    *("source", "operation", "jobs", "completed", "failed", "open", "lost", "late", "latest"),
    *("median", "ninth_of_ten"),
)
_DAY = 86_400.0


class JobsGroup(click.Group):
    """A group whose `list` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what names no command for the list's arguments."""
        if not args or args[0] not in {*self.commands, *_HELP}:
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


@click.group(cls=JobsGroup, subcommand_metavar="[ID] | COMMAND [ARGS]...")
def jobs(**_: Any) -> None:
    """List what was submitted, show, adopt or settle one."""


@jobs.command(_LIST)
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--stats", is_flag=True, help="How jobs went, by source and operation; times in seconds.")
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--state", type=click.Choice([one.value for one in JobState]), help="In this state.")
@click.option("--job-id", metavar="NAME", help="Of this name at the provider.")
@click.option("--recording", metavar="SHA256", help="Of this recording.")
@click.option("--call", metavar="ID", help="Submitted with this --call; or call_…")
@paged
@click.pass_obj
def list_(path: Path | None, /, id_: str | None, *, stats: bool, as_json: bool, **given: Any) -> None:
    """List jobs, or show one."""
    if stats:
        show(with_runtime(path, lambda one: JobLists(one.store).stats()), _STATS, as_json=as_json)
    elif id_:
        job = with_runtime(path, lambda one: JobLists(one.store).job(id_))
        show_one(job, as_json=True) if as_json else show_thing(job)
    else:
        asked = {name: str(value) for name, value in given.items() if value is not None}
        page = with_asks(path, lambda runtime, asks: _listed(runtime, asks, asked))
        show(page.items if as_json else map(tabled, page.items), _COLUMNS, as_json=as_json)
        if page.next:
            click.echo(f"more: --cursor {page.next}", err=True)


jobs.params = [one for one in list_.params if isinstance(one, click.Option)]


@jobs.command()
@click.argument("source")
@click.argument("job_id", metavar="ID")
@click.option("--operation", metavar="NAME", help="What it does; default: the provider's first.")
@click.option("--call", metavar="ID", help="The call that it is about.")
@click.option("--meta", metavar="NAME=VALUE", multiple=True, help="Kept with the result; several times for more.")
@click.option("--language", metavar="CODE", help="What is spoken.")
@click.option("--deadline", metavar="TIME", callback=seconds, help="Until when it should be done: 2h, or a time.")
@json_option
@click.pass_obj
def adopt(path: Path | None, /, source: str, job_id: str, *, as_json: bool, **given: Any) -> None:
    """Take over a job that somebody else submitted; ID is the provider's name for it."""
    order = Adoption(
        source=source,
        job_id=job_id,
        operation=given["operation"],
        call=Call(external_id=given["call"]) if given["call"] else None,
        language=given["language"],
        metadata=pairs("--meta", given["meta"]),
        deadline_in=given["deadline"],
    )

    async def work(runtime: Runtime, asks: Submitting) -> JobRow:
        job = await _verbs(asks).adopt(order, called_back=asks.submit.places.public_url is not None)
        await noted(runtime, "jobs.adopt", [encode(JOB, job.id)], source=source)
        return job

    _say(with_asks(path, work), as_json=as_json)


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--job-id", metavar="NAME", help="The provider has it, under this name: it is asked about.")
@click.option("--failed", is_flag=True, help="The provider does not have it: it can be submitted again.")
@json_option
@click.pass_obj
def settle(path: Path | None, /, ids: tuple[str, ...], *, job_id: str | None, failed: bool, as_json: bool) -> None:
    """Say what became of jobs in doubt.

    Look at the provider's own list or page first: what is submitted again is paid again.
    """
    if failed == (job_id is not None) or (job_id is not None and len(ids) > 1):
        raise UsageError("say either --failed, of one or several jobs, or --job-id, of one")
    numbers = [decode(JOB, one) for one in ids]

    async def work(runtime: Runtime, asks: Submitting) -> list[JobRow]:
        await asks.reconcile.settle_dead()
        settled = []
        for number in numbers:
            settled.append(await _verbs(asks).settle(number, job_id=job_id))
            await noted(runtime, "jobs.settle", [encode(JOB, number)], job_id=job_id, failed=failed)
        return settled

    for job in with_asks(path, work):
        _say(job, as_json=as_json)


@click.command()
@click.argument("source")
@click.option("--since", metavar="TIME", callback=moment, help="What the provider has since then; default: 7 days.")
@json_option
@click.pass_obj
def sweep(path: Path | None, /, source: str, *, since: str | None, as_json: bool) -> None:
    """Take what a provider has and never told.

    Its list is read, and each result that is not here becomes a receipt like any other.
    """
    try:
        start = milliseconds(since) / 1000 if since else time.time() - 7 * _DAY
    except ValueError as error:
        raise UsageError(f"--since: {error}") from None

    async def work(runtime: Runtime, asks: Submitting) -> dict[str, Any]:
        await asks.reconcile.settle_dead()
        swept = msgspec.structs.asdict(await Sweep(runtime.store, asks.callers, asks.fates).run(source, start))
        await noted(runtime, "sweep", [source], since=since)
        return swept

    swept = with_asks(path, work)
    if as_json:
        show_one(swept, as_json=True)
    else:
        click.echo(f"{swept['found']:,} found, {swept['new']:,} new, {swept['settled']:,} jobs in doubt settled")


def with_asks(path: Path | None, work: Callable[[Runtime, Submitting], Awaitable[ResultT]]) -> ResultT:
    """Run something that asks providers, beside a running `serve`."""

    async def run(runtime: Runtime) -> ResultT:
        async with submitting(runtime) as asks:
            return await work(runtime, asks)

    return with_runtime(path, run)


async def _listed(runtime: Runtime, asks: Submitting, asked: dict[str, str]) -> Any:
    await asks.reconcile.settle_dead()  # what a crash left is told as what it is, also where no worker runs
    return await JobLists(runtime.store).jobs(asked)


def _verbs(asks: Submitting) -> Adopt:
    return Adopt(asks.fates.store, asks.callers, asks.fates, asks.reconcile)


def _say(job: JobRow, *, as_json: bool) -> None:
    shown = shapes.job(job)
    if as_json:
        show_one(shown, as_json=True)
    else:
        click.echo(f"{shown['id']}  {shown['source']}  {shown['job_id'] or '-'}  {shown['state']}")
