"""`hookscribe dev`: receive from real providers on this machine, through a tunnel, and see every callback."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import click
import msgspec
import uvloop

from receiver import logs
from receiver.cli.loading import loaded
from receiver.cli.output import cell
from receiver.config import DEFAULT_FILE, Config, address
from receiver.contract.errors import UsageError
from receiver.dev.lines import Narrator
from receiver.dev.settings import made
from receiver.registry import Registry, discover
from receiver.runtime import Running
from receiver.tunnel import AGENT, Agent, Found, tunnel
from receiver.web.serve import Addresses, serving

_WATCH = 3.0
"""Seconds between two looks at the tunnel."""


@click.command()
@click.option("--public-url", metavar="URL", help="Where providers reach the public listener, if not through ngrok.")
@click.option("--agent", default=AGENT, show_default=True, metavar="URL", help="Where the ngrok agent answers.")
@click.pass_obj
def dev(path: Path | None, *, public_url: str | None, agent: str) -> None:
    """Receive through a tunnel and tell of every callback.

    Works without settings: every provider then has a source with a throw-away token, kept in .hookscribe/dev.toml. Finds
    the tunnel of a running ngrok, or starts one, and prints the addresses to paste at the providers.
    """
    if public_url is not None and not public_url.startswith(("https://", "http://")):
        raise UsageError(f"--public-url: {public_url[:100]!r} is no https:// address")
    own = path is None and not DEFAULT_FILE.exists()
    config, registry = loaded(made(discover()) if own else path)
    logs.configure(config.root.log, "error")
    uvloop.run(_dev(config, registry, agent, public_url))


async def _dev(config: Config, registry: Registry, agent_url: str, public_url: str | None) -> None:
    port, forbidden = ports(config)
    agent = Agent(agent_url, port, forbidden)
    async with _found(agent, port, public_url) as found:
        if found.url is not None:
            root = msgspec.structs.replace(config.root, public_url=found.url)
            config = msgspec.structs.replace(config, root=root)
        async with serving(config, registry) as (run, addresses):
            watched = None if public_url else agent
            await _until_stopped(run, addresses, found, watched)


def ports(config: Config) -> tuple[int, dict[int, str]]:
    """Return the public listener's port, and by port what no tunnel may lead to."""
    listen = config.root.listen
    _, port = address(listen.public)
    if port == 0:
        raise UsageError("[listen] public has port 0: a tunnel needs to know the port; set one")
    forbidden = {} if listen.admin.startswith("/") else {address(listen.admin)[1]: "the admin listener"}
    if listen.metrics is not None:
        forbidden[address(listen.metrics)[1]] = "the metrics listener"
    return port, {number: what for number, what in forbidden.items() if number not in (0, port)}


@contextlib.asynccontextmanager
async def _found(agent: Agent, port: int, public_url: str | None) -> AsyncIterator[Found]:
    if public_url is not None:
        yield Found(url=public_url.rstrip("/"), how="--public-url")
        return
    async with tunnel(agent, port) as found:
        yield found


async def _until_stopped(run: Running, addresses: Addresses, found: Found, agent: Agent | None) -> None:
    """Say what there is, then tell of callbacks and of the tunnel until Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    narrator = Narrator(run.runtime.store, _say)
    assert run.ingest is not None
    run.ingest.watch = narrator.answered
    _introduce(run, addresses, found)
    tasks = [asyncio.create_task(work) for work in (narrator.run(), _watch(run, found, agent), stop.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    click.echo("\nStopping.")


async def _watch(run: Running, found: Found, agent: Agent | None) -> None:
    """Say when the tunnel has another address or is gone, and when somebody calls where no source is."""
    known, unknown = found.url, 0
    while True:
        await asyncio.sleep(_WATCH)
        url = await agent.look() if agent is not None else known
        if url != known:
            _say_moved(run, url)
            known = url
        strangers = run.refusals.counts().get(("", "unknown_source"), 0)
        if strangers > unknown:
            _say(f"Refused 404, {strangers - unknown} times: no source has that address; compare it with those above.")
            unknown = strangers


def _introduce(run: Running, addresses: Addresses, found: Found) -> None:
    config = run.runtime.config
    click.echo(f"Hookscribe listens on {addresses.public}")
    if found.url is None:
        click.echo(f"Not reachable from outside: {cell(found.how)}")
    else:
        click.echo(f"Providers reach it as {cell(found.url)} ({cell(found.how)})")
    _say_addresses(run, found.url or f"{addresses.public}")
    click.echo(f"\nEvents go to  {', '.join(_sink_line(name, run) for name in config.sinks) or 'no sink: add one'}")
    source = next(iter(config.sources), "SOURCE")
    click.echo(f"Try it        {_command(config)} simulate {source}    (in another terminal)")
    click.echo(f"Page          {addresses.login}")
    click.echo("Stop          Ctrl-C\n")
    click.echo("Callbacks, a line each:")


def _command(config: Config) -> str:
    return "hookscribe" if config.path in (None, DEFAULT_FILE) else f"hookscribe --config {config.path}"


def _sink_line(name: str, run: Running) -> str:
    settings = run.runtime.config.sinks[name]
    path = getattr(settings, "path", None)
    return f"{name} ({settings.kind}{f' {path}' if isinstance(path, str) else ''})"


def _say_addresses(run: Running, base: str) -> None:
    """Print the address of every source, with its token, and what to do with it."""
    click.echo(
        "\nPaste these at the providers; whoever knows one can send:" if run.runtime.sources else "\nNo sources."
    )
    for name, provider in run.runtime.sources.items():
        tokens = provider.settings.token
        url = f"{base}/hooks/{name}" + (f"/{tokens[0].value}" if tokens else "")
        click.echo(f"\n  {name}\n    {cell(url)}")
        if provider.setup:
            click.echo(f"    {cell(provider.setup)}")


def _say_moved(run: Running, url: str | None) -> None:
    if url is None:
        _say("The tunnel is gone: providers reach nothing. Start it again; its address is looked for.")
        return
    _say("The tunnel has a new address: change it at the providers.")
    _say_addresses(run, url)


def _say(line: str) -> None:
    click.echo(cell(line))
