"""The command `doctor`: gathers what there is to see, and prints what was found, a line each."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import click

from receiver.asking.callers import Callers
from receiver.cli.output import cell, json_option, show
from receiver.config import Config, load
from receiver.contract.errors import ConfigError, HookscribeError
from receiver.contract.sink import SinkPorts
from receiver.doctor import (
    Finding,
    Shape,
    of_addresses,
    of_api,
    of_building,
    of_jobs,
    of_old_jobs,
    of_old_sources,
    of_quarantine,
    of_scopes,
    of_settings,
    of_sink,
    of_source,
    of_store,
    of_unreadable_settings,
    problem,
)
from receiver.doctor_database import of_database
from receiver.http import GuardedClient
from receiver.making import sources
from receiver.registry import Registry, discover
from receiver.store.jobs import counts_by_source
from receiver.store.listing import MOST
from receiver.store.lists import Lists
from receiver.store.look import look
from receiver.store.opening import is_shared, open_store, postgres_engine, sqlite_path
from receiver.store.quarantine.quarantine import beside

_PATIENCE = 20.0
"""Seconds that a provider has to say what the credentials may do."""
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
        stored, fits = await _stored(config)
    except ConfigError as error:
        return of_unreadable_settings(error)
    findings = [*of_settings(config), *of_addresses(config), *stored]
    findings += [one async for one in _kept(config, registry, fits=fits)]
    return [*findings, *(await _refused(config) if fits or not is_shared(config.root.store) else [])]


async def _stored(config: Config) -> tuple[list[Finding], bool]:
    """Look at the store; say also whether it has a schema that it can be asked with. Raises ConfigError."""
    if not is_shared(config.root.store):
        seen = look(sqlite_path(config.root.store))
        return [*of_store(seen, config.root.limits)], seen.schema is not None and seen.schema == seen.newest
    engine = postgres_engine(config.root.store)
    from receiver.store.postgres.look import look_at  # noqa: PLC0415 -- an extra

    found = await look_at(engine)
    return [*of_database(found)], found.fits


async def _kept(config: Config, registry: Registry, *, fits: bool) -> AsyncIterator[Finding]:
    """Look at sources and sinks, with what the store knows of them where it can be asked."""
    heard: list[Shape] = []
    jobs: Mapping[tuple[str, str], int] = {}
    sent: list[Shape] = []
    if fits:
        try:
            heard, sent, jobs = await _asked(config)
        except HookscribeError as error:
            yield problem("store", str(error), "see whether the disk is full or failing")
    known = {one["name"]: one for one in heard}
    for name, provider in sources(config, registry).items():
        for one in (*of_source(provider, known.get(name)), *of_api(provider)):
            yield one
    for one in (*(await _permitted(config, registry) if fits else ()), *of_jobs(jobs)):
        yield one
    for one in (*of_old_jobs(jobs, config.sources), *of_old_sources(heard), *await _built(config, registry)):
        yield one
    for sink in sent:
        for one in of_sink(sink):
            yield one


async def _asked(config: Config) -> tuple[list[Shape], list[Shape], Mapping[tuple[str, str], int]]:
    store = await open_store(config.root.store, time.time)
    try:
        lists = Lists(store.engine)
        heard = await lists.sources({name: one.provider for name, one in config.sources.items()}, time.time())
        sent = await lists.sinks({name: one.kind for name, one in config.sinks.items()})
        return [*heard], [*sent], await counts_by_source(store.engine)
    finally:
        await store.engine.close()


async def _permitted(config: Config, registry: Registry) -> list[Finding]:
    """Ask those providers that can tell what the credentials may not do."""
    found: list[Finding] = []
    store = await open_store(config.root.store, time.time)
    callers = Callers(sources(config, registry), store, now=time.time)
    try:
        for name in callers.askable():
            caller = callers.of(name)
            try:
                async with asyncio.timeout(_PATIENCE):
                    missing = await caller.run(caller.api.missing_scopes())
                found += of_scopes(name, missing)
            except (HookscribeError, TimeoutError) as error:
                way_out = "mend the credentials; where the provider is down, look again later"
                found.append(problem(f"source {name}", str(error) or "it does not answer", way_out))
    finally:
        await callers.close()
        await store.engine.close()
    return found


async def _built(config: Config, registry: Registry) -> list[Finding]:
    async with GuardedClient() as http:
        return list(of_building(config, registry, SinkPorts(http=http, links=None, now=time.time)))


async def _refused(config: Config) -> list[Finding]:
    kept = beside(config.root.store, time.time)
    try:
        rows = await kept.newest(MOST) if kept.there() else []
    except HookscribeError as error:
        return [problem("quarantine", str(error), f"remove {kept.path}: it holds nothing that was accepted")]
    finally:
        await kept.close()
    return [of_quarantine(rows, enabled=config.root.quarantine.enabled)]
