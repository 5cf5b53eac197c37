"""The command `audit`: who read what was said, and who gave which order."""

from pathlib import Path
from typing import Any

import click

from receiver.cli.lists import paged, with_runtime
from receiver.cli.output import show
from receiver.runtime import Runtime
from receiver.store.audit import Trail
from receiver.store.lists import Page

_COLUMNS = ("at", "who", "via", "what", "thing", "detail")


@click.command()
@click.option("--who", metavar="NAME", help='By this token; "admin token"; or "command as USER".')
@click.option("--what", metavar="WORD", help="This only: read, deliveries.replay, sinks.pause …")
@click.option("--thing", metavar="ID", help="On this transcript, call, delivery, sink …")
@paged
@click.pass_obj
def audit(path: Path | None, /, *, as_json: bool, **given: Any) -> None:
    """Show who read what was said, and who gave which order."""
    asked = {name: str(value) for name, value in given.items() if value is not None}

    async def work(runtime: Runtime) -> Page:
        return await Trail(runtime.store).listed(asked)

    page = with_runtime(path, work)
    show(page.items, _COLUMNS, as_json=as_json)
    if page.next:
        click.echo(f"more: --cursor {page.next}", err=True)
