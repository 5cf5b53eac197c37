"""The commands that look: `receipts`, `transcripts`, `calls`, `events`. Without an id they list."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from receiver.cli.loading import loaded
from receiver.cli.noting import read_by_command
from receiver.cli.output import cell, json_option, show, show_one
from receiver.cli.times import narrowing
from receiver.contract.errors import UsageError
from receiver.contract.model import ReceiptState, Verdict
from receiver.runtime import Runtime, opened
from receiver.store.answers import answers_of
from receiver.store.lists import Lists, Page
from receiver.store.shapes import Status

ResultT = TypeVar("ResultT")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Read = Callable[[Mapping[str, str]], Awaitable[Page]]


class _Named(msgspec.Struct):
    id: str


_INNER = {
    "transcripts": ("id", "received_at", "source", "operation", "status", "version"),
    "deliveries": ("id", "sink", "state", "tries", "detail"),
    "attempts_made": ("number", "started_at", "duration", "outcome", "detail"),
}
"""Columns of the tables inside one thing, where its members are too many for a line."""
_TIMES = frozenset({"received_at", "created_at", "updated_at", "started_at", "time", "next_at"})


def with_runtime(path: Path | None, work: Callable[[Runtime], Awaitable[ResultT]]) -> ResultT:
    """Run something on the store of the configuration, beside a running `serve`."""

    async def run() -> ResultT:
        async with opened(*loaded(path)) as runtime:
            return await work(runtime)

    return asyncio.run(run())


def paged_plainly(function: FunctionT) -> FunctionT:
    """Give a command the options of a list without times."""
    function = click.option("--cursor", metavar="CURSOR", help="Go on where a page before ended.")(function)
    most = click.IntRange(1, 1000)
    return json_option(
        click.option("--limit", type=most, default=50, show_default=True, help="How many at most.")(function)
    )


def paged(function: FunctionT) -> FunctionT:
    """Give a command the options that every list of things with times has."""
    return narrowing(paged_plainly(function))


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--state", type=click.Choice([one.value for one in ReceiptState]), help="In this state.")
@click.option("--verdict", type=click.Choice([one.value for one in Verdict]), help="Proven this way.")
@click.option("--body", is_flag=True, help="With an ID: write its exact bytes, nothing else.")
@paged
@click.pass_obj
def receipts(path: Path | None, /, id_: str | None, *, body: bool, as_json: bool, **given: Any) -> None:
    """List proven callbacks, or show one."""
    if body:
        _write_body(path, id_)
    elif id_:
        _show(path, id_, given, as_json=as_json, read=Lists.receipt)
    else:
        columns = ("id", "received_at", "source", "verdict", "state", "size", "reason")
        _list(path, given, columns, as_json=as_json, read=Lists.receipts)


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--version", type=click.IntRange(1), help="With an ID: this version, not the newest.")
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--provider", metavar="NAME", help="Of this provider.")
@click.option("--job-id", metavar="JOB", help="Of the provider's job.")
@click.option("--call", metavar="ID", help="About this call: call_…, or the ID that `submit --call` gave it.")
@click.option("--status", type=click.Choice([one.value for one in Status]), help="With this status.")
@click.option("--q", metavar="WORDS", help="In which these words were said; as in `hookscribe search`.")
@click.option("--speaker", metavar="NAME", help="In which this speaker spoke; with --q, said them.")
@paged
@click.pass_obj
def transcripts(path: Path | None, /, id_: str | None, *, version: int | None, as_json: bool, **given: Any) -> None:
    """List results in our words, or show one whole."""
    if id_:
        _one_transcript(path, id_, version, given, as_json=as_json)
        return
    if version:
        raise UsageError("--version goes with an ID")
    columns = ("id", "received_at", "source", "job_id", "status")

    def read(lists: Lists, asked: Mapping[str, str]) -> Awaitable[Page]:
        return lists.transcripts(asked, whole=as_json)

    _list(path, given, columns, as_json=as_json, read=read)


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@paged
@click.pass_obj
def calls(path: Path | None, /, id_: str | None, *, as_json: bool, **given: Any) -> None:
    """List calls, or show one with its transcripts."""
    if id_:
        _show(path, id_, given, as_json=as_json, read=Lists.call)
        return
    columns = ("id", "created_at", "external_id", "direction", "from", "to", "agent_id")
    _list(path, given, columns, as_json=as_json, read=Lists.calls)


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--type", metavar="TYPE", help='Of this type, or a glob such as "transcript.*".')
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--call", metavar="ID", help="About this call: call_…, or the ID that `submit --call` gave it.")
@paged
@click.pass_obj
def events(path: Path | None, /, id_: str | None, *, as_json: bool, **given: Any) -> None:
    """List events, or show one with its deliveries."""
    if id_:
        _show(path, id_, given, as_json=as_json, read=Lists.event)
        return

    def read(lists: Lists, asked: Mapping[str, str]) -> Awaitable[Page]:
        return lists.events(asked, whole=as_json)

    _list(path, given, ("id", "time", "type", "source", "subject"), as_json=as_json, read=read)


def show_delivery(path: Path | None, id_: str, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one delivery."""
    _show(path, id_, given, as_json=as_json, read=Lists.delivery)


def list_of_deliveries(path: Path | None, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Print deliveries."""
    _list(path, given, ("id", "sink", "type", "state", "tries", "detail"), as_json=as_json, read=Lists.deliveries)


def _list(
    path: Path | None,
    given: Mapping[str, Any],
    columns: Sequence[str],
    *,
    as_json: bool,
    read: Callable[[Lists, Mapping[str, str]], Awaitable[Page]],
) -> None:
    asked = {name: str(value) for name, value in given.items() if value is not None}

    async def work(runtime: Runtime) -> Page:
        found = await _gathered(lambda one: read(Lists(runtime.store.engine), one), asked)
        await read_by_command(runtime, _with_words(found))
        return found

    page = with_runtime(path, work)
    if as_json:
        show(page.items, columns, as_json=True)
    elif page.items:
        show(map(tabled, page.items), columns, as_json=False)
    else:
        click.echo("nothing found", err=True)
    if page.next:
        click.echo(f"more: --cursor {page.next}", err=True)


def _with_words(page: Page) -> list[str]:
    """Return the ids of what a page shows the words of: whole transcripts and events."""
    return [
        msgspec.json.decode(one, type=_Named).id if isinstance(one, msgspec.Raw) else one["id"]
        for one in page.items
        if isinstance(one, msgspec.Raw) or "data" in one
    ]


async def _gathered(read: Read, asked: Mapping[str, str]) -> Page:
    """Read pages until there are as many rows as were asked for; a page may be shorter, and yet go on."""
    page = await read(asked)
    rows = list(page.items)
    while page.next and len(rows) < int(asked["limit"]):
        page = await read({**asked, "limit": str(int(asked["limit"]) - len(rows)), "cursor": page.next})
        rows += page.items
    return Page(rows, page.next)


def _show(
    path: Path | None,
    id_: str,
    given: Mapping[str, Any],
    *,
    as_json: bool,
    read: Callable[[Lists, str], Awaitable[dict[str, Any]]],
) -> None:
    _alone(given)

    async def work(runtime: Runtime) -> dict[str, Any]:
        found = await read(Lists(runtime.store.engine), id_)
        if "data" in found:
            await read_by_command(runtime, [id_])
        return found

    thing = with_runtime(path, work)
    if as_json:
        show_one(thing, as_json=True)
    else:
        show_thing(thing)


def _one_transcript(
    path: Path | None, id_: str, version: int | None, given: Mapping[str, Any], *, as_json: bool
) -> None:
    _alone(given)

    async def read(runtime: Runtime) -> tuple[bytes, list[dict[str, Any]]]:
        raw = await Lists(runtime.store.engine).transcript(id_, version)
        await read_by_command(runtime, [id_])
        return bytes(raw), await answers_of(runtime.store.engine, id_)

    raw, answers = with_runtime(path, read)
    if answers:
        raw = raw[:-1] + b',"answers":' + msgspec.json.encode(answers) + b"}"
    click.echo(raw if as_json else msgspec.json.format(raw))


def _alone(given: Mapping[str, Any]) -> None:
    """An id is all that is needed to show one."""
    asked = [name for name, value in given.items() if value is not None and name != "limit"]
    if asked:
        raise UsageError(f"--{asked[0].replace('_', '-')} goes with the list, not with an ID")


def _write_body(path: Path | None, id_: str | None) -> None:
    if not id_:
        raise UsageError("--body goes with an ID")

    async def work(runtime: Runtime) -> bytes:
        body = await Lists(runtime.store.engine).body(id_)
        await read_by_command(runtime, [id_])
        return body

    sys.stdout.buffer.write(with_runtime(path, work))


def show_thing(thing: Mapping[str, Any]) -> None:
    """Print one thing for people: its members, then what it has several of as tables."""
    several = {name: value for name, value in thing.items() if isinstance(value, list) and value}
    show_one({name: value for name, value in thing.items() if name not in several}, as_json=False)
    for name, value in several.items():
        click.echo(f"\n{name.replace('_', ' ')}:")
        if isinstance(value[0], Mapping):
            filled = [member for member in value[0] if any(row.get(member) is not None for row in value)]
            show(map(tabled, value), _INNER.get(name, filled), as_json=False)
        else:
            for line in value:
                click.echo("  " + ": ".join(map(cell, line)) if isinstance(line, list) else f"  {cell(line)}")


def tabled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as tables show it: times in UTC and to the second, a delivery's next time with its detail."""
    shown = {
        name: value[:19].replace("T", " ") if name in _TIMES and isinstance(value, str) else value
        for name, value in row.items()
    }
    if "attempts" in row:
        later = f"next {shown['next_at'][5:]}" if row["next_at"] and row["attempts"] else None
        shown |= {"tries": row["attempts"], "detail": ": ".join(filter(None, (later, row["detail"]))) or None}
    return shown
