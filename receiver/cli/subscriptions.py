"""The command `subscriptions`: the standing orders at providers to call us."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from receiver.cli.dev import ports
from receiver.cli.lists import with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import json_option, show
from receiver.config import Config
from receiver.contract.asking import Subscription
from receiver.contract.errors import ConfigError, ProviderError, UsageError
from receiver.pipeline.jobs.subscriptions import Mine, Subscriptions
from receiver.runtime import Runtime, subscribing
from receiver.tunnel import AGENT, Agent

_COLUMNS = ("source", "id", "at", "events", "alive", "expires_in", "reason")
Work = Callable[[Subscriptions], Awaitable[Iterable[dict[str, Any]]]]
_TO = click.option(
    "--to", metavar="URL", help="Where providers reach us; default: public_url, else the ngrok tunnel to us."
)


@click.group(invoke_without_command=True)
@click.pass_context
def subscriptions(ctx: click.Context) -> None:
    """List, make, renew, heal or move subscriptions at providers."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@subscriptions.command("list")
@click.argument("source", required=False)
@_TO
@json_option
@click.pass_obj
def list_(path: Path | None, source: str | None = None, to: str | None = None, as_json: bool = False) -> None:
    """Show the subscriptions that send to our sources, at whatever address."""
    failed = []

    async def work(one: Subscriptions) -> list[dict[str, Any]]:
        names = [source] if source else one.subscribing()
        if not names:
            raise UsageError("no source has a provider with subscriptions and the credentials to ask it")
        rows = []
        for name in names:
            try:
                rows += [_mine(found) for found in await one.listed(name)]
            except ProviderError as error:  # the others are listed all the same
                failed.append(f"{name}: {error}")
        return rows

    _run(path, to, as_json, work)
    if failed:
        raise ProviderError("\n".join(failed))


@subscriptions.command("create")
@click.argument("source")
@click.option("--event", "events", metavar="NAME", multiple=True, help="What to be told of; default: the settings'.")
@_TO
@json_option
@click.pass_obj
def create(path: Path | None, source: str, events: tuple[str, ...], to: str | None, as_json: bool) -> None:
    """Subscribe to a provider; a secret that it shows once is kept, sealed, in the store.

    RingCentral calls the address while it is asked, so `serve` must run.
    """
    _run(path, to, as_json, lambda one: _made(source, one.create(source, events)), ("create", source))


@subscriptions.command("renew")
@click.argument("source")
@_TO
@json_option
@click.pass_obj
def renew(path: Path | None, source: str, to: str | None, as_json: bool) -> None:
    """Renew the live subscriptions to our address now; `serve` does it before they end."""
    _run(path, to, as_json, lambda one: _all(source, one.renew(source)), ("renew", source))


@subscriptions.command("heal")
@click.argument("source")
@_TO
@json_option
@click.pass_obj
def heal(path: Path | None, source: str, to: str | None, as_json: bool) -> None:
    """Bring dead subscriptions to life, or make one where there is none."""
    _run(path, to, as_json, lambda one: _all(source, one.heal(source)), ("heal", source))


@subscriptions.command("move")
@click.argument("source")
@click.option("--from", "former", metavar="URL", help="Only those whose address begins so.")
@_TO
@json_option
@click.pass_obj
def move(path: Path | None, source: str, former: str | None, to: str | None, as_json: bool) -> None:
    """Let subscriptions at a former address, such as yesterday's tunnel, send to the present one."""
    _run(path, to, as_json, lambda one: _all(source, one.move(source, former=former)), ("move", source))


def _run(path: Path | None, to: str | None, as_json: bool, work: Work, order: tuple[str, str] | None = None) -> None:
    """Work, and show what came of it; `order` is a verb and the source that it is about, None where nothing changes."""

    async def run(runtime: Runtime) -> list[dict[str, Any]]:
        async with subscribing(runtime, to or await _reached(runtime.config)) as one:
            rows = list(await work(one))
        if order:
            await noted(runtime, f"subscriptions.{order[0]}", [order[1]])
        return rows

    show(with_runtime(path, run), _COLUMNS, as_json=as_json)


async def _reached(config: Config) -> str | None:
    """Return where providers reach us: as set, else by the tunnel that leads to the public listener."""
    if config.root.public_url is not None:
        return config.root.public_url
    try:
        return await asyncio.wait_for(Agent(AGENT, *ports(config)).look(), 5)
    except (ConfigError, TimeoutError):
        return None


async def _made(source: str, making: Awaitable[Subscription]) -> list[dict[str, Any]]:
    return [_row(source, await making)]


async def _all(source: str, making: Awaitable[Iterable[Subscription]]) -> list[dict[str, Any]]:
    return [_row(source, one) for one in await making]


def _mine(one: Mine) -> dict[str, Any]:
    return {**_row(one.source, one.at), "here": one.here}


def _row(source: str, one: Subscription) -> dict[str, Any]:
    """Return what may be shown: the address without its path, which holds the token."""
    parts = urlsplit(one.address)
    return {
        "source": source,
        "id": one.id,
        "at": f"{parts.scheme}://{parts.netloc}",
        "events": list(one.events),
        "alive": one.alive,
        "expires_in": one.expires_in,
        "reason": one.reason,
    }
