"""The command `quarantine`: what was refused, why, and away with it."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from receiver.cli.lists import with_runtime
from receiver.cli.loading import loaded
from receiver.cli.noting import noted, read_by_command
from receiver.cli.output import json_option, show, show_one
from receiver.cli.times import narrowing
from receiver.contract.errors import UsageError
from receiver.contract.times import from_ms
from receiver.pipeline.verify import described
from receiver.runtime import Runtime
from receiver.store.ids import QUARANTINED, decode, encode
from receiver.store.listing import milliseconds
from receiver.store.quarantine.quarantine import Quarantine, beside
from receiver.store.quarantine.records import Narrowed, Quarantined, QuarantinedRow

ResultT = TypeVar("ResultT")

_COLUMNS = ("id", "received_at", "source", "reason", "size", "detail")
_PAGE = 500


@click.group()
def quarantine() -> None:
    """List, show or drop refused requests."""


@quarantine.command("list")
@click.option("--source", metavar="NAME", help="Only of this source.")
@click.option("--reason", metavar="WORD", help="Only those refused for this reason.")
@narrowing
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@click.option("--before", metavar="ID", help="Only older ones than this: the last id of the page before.")
@json_option
@click.pass_obj
def list_(path: Path | None, /, *, limit: int, before: str | None, as_json: bool, **given: str | None) -> None:
    """List refused requests, newest first."""
    narrowed: Narrowed = {**narrowed_by(given), "before": decode(QUARANTINED, before) if before else None}
    rows = with_quarantine(path, lambda one: one.newest(limit, **narrowed))
    show((_listed(row) for row in rows), _COLUMNS, as_json=as_json)


@quarantine.command("show")
@click.argument("id_", metavar="ID")
@click.option("--body", is_flag=True, help="Write the exact bytes of the body, nothing else.")
@json_option
@click.pass_obj
def show_(path: Path | None, id_: str, *, body: bool, as_json: bool) -> None:
    """Show one refused request: its checks, its headers, or its body."""
    number = decode(QUARANTINED, id_)

    async def work(runtime: Runtime) -> Quarantined:
        found = await runtime.quarantine.get(number)
        await read_by_command(runtime, [encode(QUARANTINED, number)])
        return found

    found = with_runtime(path, work)
    request = found.request
    if body:
        sys.stdout.buffer.write(request.body)
        return
    head = {"id": id_, "received_at": from_ms(request.received_at), "source": request.source, "reason": found.reason}
    print_request({**head, **described(request)}, [msgspec.to_builtins(check) for check in found.checks], as_json)


@quarantine.command("drop")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All, or with --source or --reason all of these.")
@click.option("--source", metavar="NAME", help="With --all: only of this source.")
@click.option("--reason", metavar="WORD", help="With --all: only those refused for this reason.")
@narrowing
@click.pass_obj
def drop(path: Path | None, /, ids: tuple[str, ...], *, all_: bool, **given: str | None) -> None:
    """Drop refused requests for good."""
    if all_ == bool(ids) or (any(given.values()) and not all_):
        raise UsageError("name the ids to drop, or say --all, which --source, --reason, --since and --until narrow")
    narrowed = narrowed_by(given)
    numbers = [decode(QUARANTINED, one) for one in ids]

    async def work(runtime: Runtime) -> int:
        kept = runtime.quarantine
        dropped = await kept.drop(numbers or [row.id for row in await all_rows(kept, narrowed)])
        await noted(runtime, "quarantine.drop", ids, all=all_, **given)
        return dropped

    click.echo(f"{with_runtime(path, work)} dropped")


def narrowed_by(given: Mapping[str, str | None]) -> Narrowed:
    """Read which requests are meant from a command's options. Raises UsageError."""
    since, until = (_milliseconds(name, given.get(name)) for name in ("since", "until"))
    return {"source": given.get("source"), "reason": given.get("reason"), "since": since, "until": until}


def _milliseconds(name: str, text: str | None) -> int | None:
    try:
        return milliseconds(text) if text else None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--{name}: {error}") from None


async def all_rows(kept: Quarantine, narrowed: Narrowed) -> list[QuarantinedRow]:
    """Return the list of everything that is meant, oldest first."""
    rows: list[QuarantinedRow] = []
    asked: Narrowed = {**narrowed}
    while page := await kept.newest(_PAGE, **asked):
        rows += page
        asked["before"] = rows[-1].id
    return rows[::-1]


def with_quarantine(path: Path | None, ask: Callable[[Quarantine], Awaitable[ResultT]]) -> ResultT:
    """Ask the quarantine of the configuration, beside a running `serve` or without one."""
    config, _ = loaded(path)

    async def asked() -> ResultT:
        kept = beside(config.root.store, time.time)
        try:
            return await ask(kept)
        finally:
            await kept.close()

    return asyncio.run(asked())


def print_request(thing: dict[str, Any], checks: list[dict[str, Any]], as_json: bool) -> None:
    """Print a request: a line of JSON, or what there is to say, its headers and its checks one below the other."""
    if as_json:
        show_one({**thing, "checks": checks}, as_json=True)
        return
    headers = thing.pop("headers")
    show_one(thing, as_json=False)
    click.echo()
    show([{"header": name, "value": value} for name, value in headers], ("header", "value"), as_json=False)
    click.echo()
    show(checks, ("scheme", "ok", "header", "secret", "skew", "detail"), as_json=False)


def _listed(row: QuarantinedRow) -> dict[str, Any]:
    return {
        "id": encode(QUARANTINED, row.id),
        "received_at": from_ms(row.received_at),
        "source": row.source,
        "reason": row.reason,
        "size": row.size,
        "detail": row.checks[0].detail if row.checks else None,
        "checks": msgspec.to_builtins(row.checks),
    }
