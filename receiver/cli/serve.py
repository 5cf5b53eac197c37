"""`hookscribe serve` and `hookscribe migrate`."""

import asyncio
import os
import time
from pathlib import Path

import click
import uvloop

from receiver import logs
from receiver.cli.loading import loaded
from receiver.cli.noting import noted_in
from receiver.config import load
from receiver.runtime import Role
from receiver.store.opening import open_store
from receiver.web.serve import Started
from receiver.web.serve import serve as serve_until_stopped


@click.command()
@click.option("--role", type=click.Choice(["all", "web", "worker"]), default="all", help="What this process does.")
@click.pass_obj
def serve(path: Path | None, role: Role) -> None:
    """Receive, normalize and deliver until stopped."""
    config, registry = loaded(path)
    logs.configure(config.root.log, config.root.log_level)
    uvloop.run(serve_until_stopped(config, registry, role, Started(), lambda: load(path, os.environ, registry)))


@click.command()
@click.pass_obj
def migrate(path: Path | None) -> None:
    """Bring the store to this release's schema."""
    config, _ = loaded(path)

    async def run() -> list[str]:
        store = await open_store(config.root.store, time.time)
        try:
            return await store.engine.migrate()
        finally:
            await store.engine.close()

    applied = asyncio.run(run())
    if applied:
        noted_in(config.root.store, "migrate", applied=applied)
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the schema is this release's")
