"""`hookscribe demo`: everything at work on this machine, without an account, a network or a trace."""

import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import uvloop

from receiver import logs
from receiver.cli.output import show
from receiver.config import Config
from receiver.demo.outcome import Became, arrived, became, faults
from receiver.demo.queue import SERVER, queue
from receiver.demo.run import SLACK_RATE, Answered, Setting, send_all, settled
from receiver.demo.sources import Prepared, prepare
from receiver.registry import Registry, discover
from receiver.web.serve import Addresses, serving


@click.command()
@click.option("--once", is_flag=True, help="End by itself; 0 only if every event arrived in every sink.")
@click.option("--nats", "server", default=SERVER, show_default=True, metavar="URL", help="Where a NATS server may be.")
@click.option("--patience", default=30.0, show_default=True, metavar="S", help="Seconds for everything to arrive.")
@click.pass_context
def demo(ctx: click.Context, *, once: bool, server: str, patience: float) -> None:
    """Show everything at work, with recorded callbacks.

    Starts a receiver in a temporary directory with secrets made up for it, sends every provider's recorded callbacks,
    and follows them into a file, a webhook, a stand-in for Slack, and NATS where it runs.
    """
    logs.configure("auto", "error")
    ctx.exit(0 if uvloop.run(_demo(server, patience, once=once)) else 1)


async def _demo(server: str, patience: float, *, once: bool) -> bool:
    registry = discover()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="hookscribe-demo-") as folder:
        async with queue(server) as stream:
            setting = Setting.make(Path(folder), prepare(registry, time.time()), stream)
            async with setting.peers.running():
                config = setting.config(registry, server)
                return await _through(setting, config, registry, patience, None if once else stop)


async def _through(
    setting: Setting, config: Config, registry: Registry, patience: float, stop: asyncio.Event | None
) -> bool:
    """Send, wait and tell; then stay until `stop`, where there is one."""
    async with serving(config, registry) as (run, addresses):
        started = time.monotonic()
        _say_sources(setting.prepared)
        store = run.runtime.store
        answers = await send_all(setting.prepared.callbacks, addresses)
        done = await settled(store, setting.peers.arrival, patience)
        state = await became(store)
        there = await arrived(setting, list(config.sinks), state.delivered)
        wrong = faults(answers, setting, state, there)
        if not done:
            wrong.insert(0, f"after {patience:g} seconds not everything was normalized and delivered")
        _say_callbacks(answers, state)
        _say_sinks(setting, there, len(state.events))
        _say_end(wrong, len(state.events), len(there), time.monotonic() - started)
        if stop is not None and not stop.is_set():
            _say_next(setting, addresses)
            await stop.wait()
            click.echo("\nStopping; everything that the demo made is removed.")
    return not wrong


def _say_sources(prepared: Prepared) -> None:
    counts = Counter(callback.source for callback in prepared.callbacks)
    click.echo("Sources, with secrets made up for this demo:")
    for source, proof in prepared.proofs.items():
        click.echo(f"  {source:<20} {counts[source]:>3} recorded callbacks, proven by {proof}")
    for line in prepared.left_out:
        click.echo(f"  left out: {line}")
    click.echo("\nEvents, as the console sink prints them:")


def _say_callbacks(answers: Sequence[Answered], state: Became) -> None:
    rows = [
        {
            "source": one.callback.source,
            "case": f"{one.callback.case}{' (again)' if one.again else ''}",
            "answer": f"{one.status} {one.word}",
            "event": "no second event" if one.word == "duplicate" else state.of_receipt.get(one.receipt or "", "-"),
        }
        for one in answers
    ]
    click.echo("\nCallbacks, sent over HTTP:")
    show(rows, ["source", "case", "answer", "event"], as_json=False)


def _say_sinks(setting: Setting, there: Mapping[str, set[str] | int], expected: int) -> None:
    about = {
        "console": "the lines above",
        "file": "JSON lines, each synced to disk",
        "webhook": "Standard Webhooks: every signature verified by the demo's own receiver",
        "slack": f"a stand-in with Slack's limits, but for the pace: {SLACK_RATE:g} messages a second, not 1",
        "queue": f"NATS JetStream, stream {setting.queue.name}",
    }
    click.echo("\nSinks:")
    for name, ids in there.items():
        count = ids if isinstance(ids, int) else len(ids)
        click.echo(f"  {name:<8} {count} of {expected} events   {about.get(name, '')}")
    if setting.queue.why_not:
        click.echo(f"  queue    not shown: {setting.queue.why_not}")


def _say_end(wrong: Sequence[str], events: int, sinks: int, took: float) -> None:
    if not wrong:
        click.echo(f"\nAll {events} events arrived in all {sinks} sinks, within {took:.1f} seconds.")
        return
    click.echo("\nNOT everything is as it should be:")
    for line in wrong:
        click.echo(f"  {line}")


def _say_next(setting: Setting, addresses: Addresses) -> None:
    click.echo(f"\nPage     {addresses.login}")
    click.echo(f"         (a link for the next minutes; later log in with the token {setting.admin_token})")
    click.echo(f"Events   {setting.events_file}")
    click.echo("Next     `hookscribe dev` receives your own callbacks, through a tunnel.")
    click.echo("Ctrl-C   ends the demo and removes everything that it made.")
