"""The command `submit`: hand recordings to a provider, and wait for what it makes of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

from receiver import logs
from receiver.cli.library import Library
from receiver.cli.loading import loaded
from receiver.cli.noting import noted
from receiver.cli.orders import Item, items
from receiver.cli.output import cell, json_option, show, warn
from receiver.cli.progress import Progress, shown
from receiver.cli.times import moment, seconds
from receiver.config import Config
from receiver.contract.errors import ProviderBusy, UsageError
from receiver.pipeline.jobs.submit import Registered
from receiver.runtime import Runtime, Submitting, opened, running, submitting, worker_runs
from receiver.store import shapes
from receiver.store.ids import JOB, encode
from receiver.store.jobs import OPEN, JobRow, Jobs, JobState

_AT_ONCE = 4
_TRIES = 5
_LONGEST_WAIT = 300.0
_LOOK = 0.2
_NOT_DONE = (JobState.FAILED, JobState.LOST, JobState.SUBMITTING)
_COLUMNS = ("id", "file", "operation", "state", "job_id", "detail")


@click.command()
@click.argument("source")
@click.argument("recordings", nargs=-1, metavar="[FILE|URL]...")
@click.option("--manifest", type=click.Path(path_type=Path), help="A CSV file with a row for each recording.")
@click.option("--recording", metavar="ID", multiple=True, help="A recording that lies at the provider.")
@click.option(
    "--call-log-entry",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A JSON file: a record of the provider's call log; its recordings, with what it says of the call.",
)
@click.option(
    "--recorded-since",
    metavar="TIME",
    callback=moment,
    help="Every recorded call in the provider's log: 2h, a day, a time.",
)
@click.option("--call", metavar="ID", help="The call that the recordings are of.")
@click.option("--meta", metavar="NAME=VALUE", multiple=True, help="Kept with the result; several times for more.")
@click.option("--language", metavar="CODE", help="What is spoken, as the provider names it.")
@click.option("--operation", metavar="NAME", multiple=True, help="What to do; several times for several results.")
@click.option("--option", metavar="NAME=VALUE", multiple=True, help="A member of the provider's own; JSON or text.")
@click.option("--again", is_flag=True, help="Submit also what was submitted before.")
@click.option("--resume", is_flag=True, help="Go on with what was interrupted.")
@click.option("--wait", is_flag=True, help="Wait until every result is here.")
@click.option("--timeout", metavar="TIME", callback=seconds, help="With --wait: so long at most, such as 30m or 2h.")
@json_option
@click.pass_obj
def submit(path: Path | None, /, source: str, recordings: tuple[str, ...], **given: Any) -> None:
    """Hand recordings to a provider.

    Each becomes a job that `hookscribe jobs` shows. The same recording is not submitted twice for the same operation,
    unless --again says so; what a crash or Ctrl-C interrupted goes on with --resume.
    """
    config, registry = loaded(path)
    logs.configure(config.root.log, "error")
    named = bool(recordings or given["manifest"])
    there = any(given[name] for name in ("recording", "call_log_entry", "recorded_since"))
    if given["resume"] and (named or there):
        raise UsageError("--resume stands without recordings: it goes on with those that were interrupted")
    if not (named or there or given["resume"]):
        raise UsageError("name at least one file or URL, or a --manifest")
    if given["timeout"] is not None and not given["wait"]:
        raise UsageError("--timeout says how long --wait waits: give both, or neither")
    wanted = items(recordings, given["manifest"], given)

    async def run() -> list[JobRow | Refusal]:
        async with opened(config, registry) as runtime, submitting(runtime) as asks:
            work = Work(runtime, asks, source)
            lying = await Library(asks.callers.of(source)).items(given) if there else []
            if given["resume"]:
                started = await work.interrupted()
                if not started:
                    click.echo(
                        f"nothing of {source} was interrupted before it was sent; see `hookscribe jobs`", err=True
                    )
            else:
                started = await work.started([*wanted, *lying], again=given["again"])
            asks.submit.heard = not given["wait"] or await worker_runs(config, runtime.store)
            new = [encode(JOB, one.job.id) for one in started if isinstance(one, Registered) and not one.known]
            if new:
                await noted(runtime, "jobs.submit", new, source=source, again=given["again"], resume=given["resume"])
            ended = await work.sent(started)
            if not given["wait"]:
                return ended
            async with _somebody_works(config, runtime):
                return await work.waited(ended, given["timeout"])

    try:
        ended = asyncio.run(run())
    except KeyboardInterrupt:
        click.echo(
            f"interrupted: `hookscribe jobs` shows how far it came, `submit {source} --resume` goes on", err=True
        )
        raise
    _report(ended, waited=given["wait"], as_json=given["as_json"])


class Refusal:
    """A recording of which no job was made, and why."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why


class Work:
    """One command's work: jobs made, sent, waited for."""

    def __init__(self, runtime: Runtime, asks: Submitting, source: str) -> None:
        self._jobs = Jobs(runtime.store)
        self._asks = asks
        self._source = source
        asks.callers.of(source)  # what is missing is said before a file is read

    async def started(self, wanted: list[Item], *, again: bool) -> list[Registered | Refusal]:
        """Make the jobs, all of them before the first is sent, so that a call knows what it waits for."""
        made: list[Registered | Refusal] = []
        with shown(sum(item.size for item in wanted)) as progress:
            for item in wanted:
                try:
                    with progress.file(f"looking at {item.shown}", item.size) as went:
                        orders = await asyncio.to_thread(item.orders, self._source, again=again, progress=went)
                    made += [await self._asks.submit.register(order) for order in orders]
                except UsageError as error:
                    made.append(Refusal(item.shown, str(error)))
        return made

    async def interrupted(self) -> list[Registered | Refusal]:
        """Take over the jobs that nobody sends any more."""
        await self._asks.reconcile.settle_dead()
        left = await self._jobs.listed(
            ["source = :source", "state = :state", "sending = 0"],
            {"source": self._source, "state": JobState.SUBMITTING},
            1000,
        )
        return [
            Registered(await self._asks.submit.job(job.id), known=False)
            for job in reversed(left)
            if not await self._asks.alive(job.owner) and await self._asks.submit.take_over(job)
        ]

    async def sent(self, started: list[Registered | Refusal]) -> list[JobRow | Refusal]:
        """Send what is new, some at once."""
        places = asyncio.Semaphore(_AT_ONCE)
        new = [one.job for one in started if isinstance(one, Registered) and not one.known]
        with shown(sum(job.doc.size or 0 for job in new)) as progress:

            async def one(job: JobRow) -> JobRow:
                async with places:
                    return await self._send(job, progress)

            now = {job.id: job for job in await asyncio.gather(*map(one, new))}
        return [one if isinstance(one, Refusal) else now.get(one.job.id, one.job) for one in started]

    async def _send(self, job: JobRow, progress: Progress) -> JobRow:
        """Send one, in the hours that the settings allow; while the provider is busy, some more times."""
        if (wait := self._asks.submit.waits(job.source)) > 0:
            warn(f"{job.doc.name} waits {wait / 3600:.1f} hours for off_peak; Ctrl-C leaves it to `submit --resume`")
            await asyncio.sleep(wait)
        with progress.file(job.doc.name or "recording", job.doc.size) as went:
            for _ in range(_TRIES - 1):
                try:
                    return await self._asks.submit.send(job, went)
                except ProviderBusy as error:
                    await asyncio.sleep(min(error.after or 5.0, _LONGEST_WAIT))
                    job = await self._asks.submit.job(job.id)
            try:
                return await self._asks.submit.send(job, went)
            except ProviderBusy:
                return await self._asks.submit.job(job.id)

    async def waited(self, ended: list[JobRow | Refusal], timeout: float | None = None) -> list[JobRow | Refusal]:
        """Wait until no job waits any more, or `timeout` seconds, and return them as they are then."""
        ids = [job.id for job in ended if isinstance(job, JobRow) and job.submitted_at is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while any(job.state in OPEN for job in await self._jobs.by_id(ids)):  # noqa: ASYNC110 -- another process ends them
                    await asyncio.sleep(_LOOK)
        now = {job.id: job for job in await self._jobs.by_id(ids)}
        return [now.get(one.id, one) if isinstance(one, JobRow) else one for one in ended]


@contextlib.asynccontextmanager
async def _somebody_works(config: Config, runtime: Runtime) -> AsyncIterator[None]:
    """Where no `serve` works on the store, do its work as long as the block runs."""
    if await worker_runs(config, runtime.store):
        yield
    else:
        async with running(config, runtime.registry, "worker") as run:
            run.asks.submit.heard = False
            yield


def _report(ended: list[JobRow | Refusal], *, waited: bool, as_json: bool) -> None:
    """Print what became of each recording; where that is not what was asked for, the exit code is 1."""
    show([_row(one) for one in ended], _COLUMNS, as_json=as_json)
    bad = [one for one in ended if isinstance(one, Refusal) or one.state in _NOT_DONE]
    told = [(one, why) for one in ended if isinstance(one, JobRow) and (why := _in_doubt(one, waited=waited))]
    for job, why in told:
        click.echo(f"{encode(JOB, job.id)} ({cell(job.doc.name)}): {why}", err=True)
    if bad or told:
        raise click.exceptions.Exit(1)


def _in_doubt(job: JobRow, *, waited: bool) -> str | None:
    """Say what is still to be done about a job, None where nothing is."""
    if job.state is JobState.UNCERTAIN:
        return (
            "the provider may have it, its answer was never read; it is not sent again by itself: "
            "see `hookscribe jobs settle --help`"
        )
    if waited and job.state in (JobState.SUBMITTED, JobState.OVERDUE):
        return (
            "its result did not come in time; `hookscribe serve` takes it when it comes, and asks for it: "
            f"see `hookscribe jobs {encode(JOB, job.id)}`"
        )
    return None


def _row(one: JobRow | Refusal) -> dict[str, Any]:
    if isinstance(one, Refusal):
        return {"id": None, "file": one.name, "state": "refused", "detail": one.why}
    return shapes.job(one)
