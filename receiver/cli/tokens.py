"""The command `tokens`: who may look and act beside the admin token."""

import re
from pathlib import Path
from typing import Any

import click

from receiver.cli.lists import paged_plainly, with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import json_option, show, show_one
from receiver.runtime import Runtime
from receiver.store.access import Role, Tokens
from receiver.store.lists import Page

_AHEAD = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_MS = {"h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def _lifetime(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Turn `90d` into milliseconds."""
    if value is None:
        return None
    ahead = _AHEAD.fullmatch(value)
    if ahead is None:
        raise click.BadParameter("expected hours, days or weeks, such as 12h, 90d or 4w")
    return int(ahead[1]) * _MS[ahead[2]]


@click.group(invoke_without_command=True)
@click.pass_context
def tokens(ctx: click.Context) -> None:
    """Make, list or revoke named tokens, each with a role."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@tokens.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([one.value for one in Role]),
    required=True,
    help="read: look at everything; operate: replay, discard, pause … too; admin: the audit trail too.",
)
@click.option("--expires", metavar="90d", callback=_lifetime, help="After so long it ends; default: never.")
@json_option
@click.pass_obj
def create(path: Path | None, name: str, role: str, expires: int | None, as_json: bool) -> None:
    """Make a token and show it, this once: only its digest is kept."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        shown, token = await Tokens(runtime.store).create(name, Role(role), expires)
        await noted(runtime, "tokens.create", [name], role=role)
        return {**shown, "token": token.value}

    show_one(with_runtime(path, work), as_json=as_json)


@tokens.command("list")
@paged_plainly
@click.pass_obj
def list_(path: Path | None, limit: int = 50, cursor: str | None = None, as_json: bool = False) -> None:
    """List tokens, those that are over included; what opens anything is not kept."""
    given = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})

    async def work(runtime: Runtime) -> Page:
        return await Tokens(runtime.store).listed(given)

    page = with_runtime(path, work)
    show(page.items, ("name", "role", "state", "created_at", "expires_at"), as_json=as_json)
    if page.next:
        click.echo(f"more: --cursor {page.next}", err=True)


@tokens.command("revoke")
@click.argument("name")
@click.pass_obj
def revoke(path: Path | None, name: str) -> None:
    """End a token, and the sessions of the page that it opened, at once."""

    async def work(runtime: Runtime) -> None:
        await Tokens(runtime.store).revoke(name)
        await noted(runtime, "tokens.revoke", [name])

    with_runtime(path, work)
    click.echo(f"{name} opens nothing any more")
