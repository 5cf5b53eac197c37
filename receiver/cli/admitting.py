"""What `verify --admit` does: quarantined requests that prove after a fix become receipts, by id or all that are meant."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from receiver.cli.output import show
from receiver.cli.quarantine import all_rows
from receiver.contract.errors import NotFound, UsageError
from receiver.contract.provider import Provider
from receiver.pipeline.verify import Admission, admit, would_admit
from receiver.registry import close_match
from receiver.runtime import Runtime
from receiver.store.ids import QUARANTINED, RECEIPT, encode
from receiver.store.quarantine.records import Narrowed, Quarantined

NARROWING = ("source", "reason", "since", "until")
"""Options that say which requests `--all` means."""

_TOGETHER = 64
_TOGETHER_BYTES = 4 * 1024 * 1024


async def admitted(
    runtime: Runtime, numbers: Sequence[int], narrowed: Narrowed, *, dry_run: bool = False
) -> list[Admission]:
    """Admit by id, or all that are meant, the oldest first, in groups that memory holds. Raises UsageError, NotFound."""
    if source := narrowed.get("source"):
        source_named(runtime.sources, source)
    done: list[Admission] = []
    group: list[Quarantined] = []
    for number in dict.fromkeys(numbers) or [row.id for row in await all_rows(runtime.quarantine, narrowed)]:
        with contextlib.nullcontext() if numbers else contextlib.suppress(NotFound):
            group.append(await runtime.quarantine.get(number))
        if len(group) >= _TOGETHER or sum(len(one.request.body) for one in group) >= _TOGETHER_BYTES:
            done += await _group(runtime, group, dry_run)
            group = []
    return done + await _group(runtime, group, dry_run)


async def _group(runtime: Runtime, group: Sequence[Quarantined], dry_run: bool) -> list[Admission]:
    if dry_run:
        return await would_admit(group, runtime.sources, runtime.store)
    return await admit(group, runtime.sources, runtime.store, runtime.quarantine)


def source_named(made: Mapping[str, Provider[Any]], name: str) -> Provider[Any]:
    """Return a source. Raises UsageError, which says what it may have been."""
    if name not in made:
        raise UsageError(
            f"no source is called {name!r}; {close_match(name, made)}there are {', '.join(made) or 'none'}"
        )
    return made[name]


def print_admissions(done: Sequence[Admission], *, dry_run: bool, as_json: bool) -> int:
    """Print what became of each, and for people how many of each there are; return the exit code, 1 where one is left."""
    rows = [_admission(one, dry_run) for one in done]
    show(rows, ("id", "result", "receipt", "detail"), as_json=as_json)
    if not as_json:
        click.echo(_told(rows, dry_run))
    return 1 if any(one.why for one in done) else 0


def _told(rows: Iterable[Mapping[str, Any]], dry_run: bool) -> str:
    counts = Counter(row["result"] for row in rows)
    told = ", ".join(f"{count:,} {result}" for result, count in sorted(counts.items()))
    return f"{counts.total():,} found{': ' if told else ''}{told}" + ("; nothing was done" if dry_run else "")


def _admission(one: Admission, dry_run: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": encode(QUARANTINED, one.id)}
    if one.why is not None:
        return {**shown, "result": "refused", "receipt": None, "detail": one.why}
    if dry_run or one.kept is None:
        return {**shown, "result": "proven", "receipt": None, "detail": None}
    receipt = encode(RECEIPT, one.kept.id)
    if one.kept.duplicate:
        again = "this receipt is the same message, come before"
        return {**shown, "result": "duplicate", "receipt": receipt, "detail": again}
    return {**shown, "result": "accepted", "receipt": receipt, "detail": None}
