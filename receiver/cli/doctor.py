"""The command `doctor`: gathers what there is to see, and prints what was found, a line each."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import click

from receiver.cli.output import cell, json_option, show
from receiver.config import Config, load
from receiver.contract.errors import ConfigError, HookscribeError
from receiver.contract.sink import SinkPorts
from receiver.doctor import (
    Finding,
    Shape,
    of_addresses,
    of_building,
    of_old_sources,
    of_quarantine,
    of_settings,
    of_sink,
    of_source,
    of_store,
    of_unreadable_settings,
    problem,
)
from receiver.http import GuardedClient
from receiver.registry import Registry, discover
from receiver.runtime import sources
from receiver.store.listing import MOST
from receiver.store.lists import Lists
from receiver.store.look import FileLook, look
from receiver.store.opening import open_store, sqlite_path
from receiver.store.quarantine.quarantine import beside

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look for what is wrong, and say the way out.

    Settings, proofs, disk, store, sinks and what waits; beside a running serve or without one. Exits with 0 where there
    is no problem, warnings or not.
    """
    findings = asyncio.run(_gathered(ctx.obj))
    if as_json:
        show([{name: getattr(one, name) for name in Finding.__struct_fields__} for one in findings], (), as_json=True)
    else:
        _print(findings)
    ctx.exit(int(any(one.level == "problem" for one in findings)))


def _print(findings: Iterable[Finding]) -> None:
    for one in findings:
        level = click.style(f"{one.level:<8}", fg=_COLOURS[one.level])
        way_out = f" -> {cell(one.way_out)}" if one.way_out else ""
        click.echo(f"{level} {cell(one.about)}: {cell(one.text)}{way_out}")


async def _gathered(path: Path | None) -> list[Finding]:
    registry = discover()
    try:
        config = load(path, os.environ, registry)
        store = sqlite_path(config.root.store)
    except ConfigError as error:
        return of_unreadable_settings(error)
    seen = look(store)
    findings = [*of_settings(config), *of_addresses(config), *of_store(seen, config.root.limits)]
    findings += [one async for one in _kept(config, registry, seen)]
    return [*findings, *await _refused(config)]


async def _kept(config: Config, registry: Registry, seen: FileLook) -> AsyncIterator[Finding]:
    """Look at sources and sinks, with what the store knows of them where it can be asked."""
    heard: list[Shape] = []
    sent: list[Shape] = []
    if seen.schema is not None and seen.schema == seen.newest:
        try:
            heard, sent = await _asked(config)
        except HookscribeError as error:
            yield problem("store", str(error), "see whether the disk is full or failing")
    known = {one["name"]: one for one in heard}
    for name, provider in sources(config, registry).items():
        for one in of_source(provider, known.get(name)):
            yield one
    for one in (*of_old_sources(heard), *await _built(config, registry)):
        yield one
    for sink in sent:
        for one in of_sink(sink):
            yield one


async def _asked(config: Config) -> tuple[list[Shape], list[Shape]]:
    store = await open_store(config.root.store, time.time)
    try:
        lists = Lists(store.engine)
        heard = await lists.sources({name: one.provider for name, one in config.sources.items()}, time.time())
        return [*heard], [*await lists.sinks({name: one.kind for name, one in config.sinks.items()})]
    finally:
        await store.engine.close()


async def _built(config: Config, registry: Registry) -> list[Finding]:
    async with GuardedClient() as http:
        return list(of_building(config, registry, SinkPorts(http=http, links=None, now=time.time)))


async def _refused(config: Config) -> list[Finding]:
    kept = beside(config.root.store, time.time)
    try:
        rows = await kept.newest(MOST) if kept.path.exists() else []
    except HookscribeError as error:
        return [problem("quarantine", str(error), f"remove {kept.path}: it holds nothing that was accepted")]
    finally:
        await kept.close()
    return [of_quarantine(rows, enabled=config.root.quarantine.enabled)]
