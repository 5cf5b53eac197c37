"""Runs `hookscribe` with one thing changed, for tests: `python launcher.py POINT[:N] ARGUMENTS`.

A fail-point kills the process (SIGKILL, so nothing is tidied up) when it comes there for the N-th time. The product has
no switch for this: names are looked up and replaced here.
"""

import asyncio
import functools
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from receiver import cli
from receiver.contract.errors import StoreUnavailable

EXTRA_MIGRATION = """
CREATE TABLE extra (id INTEGER PRIMARY KEY, note TEXT) STRICT;
INSERT INTO extra (id, note) SELECT id, source FROM receipts;
ALTER TABLE receipts ADD COLUMN extra TEXT;
UPDATE receipts SET extra = 'seen';
CREATE INDEX receipts_extra ON receipts (extra);
"""

Call = tuple[tuple[Any, ...], Mapping[str, Any], Any]
"""Arguments, named arguments and result (None before)."""


def always(_: Call) -> bool:
    """Every call counts."""
    return True


class Point(msgspec.Struct, frozen=True):
    """A coroutine function, `module:Class.method`; and which of its calls count."""

    target: str
    when: Literal["before", "after", "hold", "fail"]
    counts: Callable[[Call], bool] = always


def of_receipts(call: Call) -> bool:
    """Say whether a write is that of a batch of receipts."""
    return bool(call[1].get("claim"))


def took_some(call: Call) -> bool:
    """Say whether a claim or lease took something."""
    return bool(call[2] and call[2][-1])


def arrived(call: Call) -> bool:
    """Say whether some of the attempts that are to be written arrived."""
    return any(one.state == "delivered" for one in call[0][1])


def inserts(name: str) -> Callable[[Call], bool]:
    """Count inserts by the name of their statement."""
    return lambda call: bool(call[0][1] == name)


STORE = "receiver.store.store:Store"
INSERT = "receiver.store.sqlite.engine:Transaction.insert"
POINTS = {
    "before-keep": Point(f"{STORE}.keep", "before"),
    "after-keep": Point(f"{STORE}.keep", "after"),
    "no-normalizing": Point("receiver.pipeline.normalize:Normalize.step", "hold"),
    "hanging-write": Point(f"{STORE}.write", "hold", of_receipts),
    "after-claim": Point(f"{STORE}.claim", "after", took_some),
    "before-write": Point(f"{STORE}.write", "before", of_receipts),
    "in-write": Point(INSERT, "before", inserts("add_deliveries")),
    "after-write": Point(f"{STORE}.write", "after", of_receipts),
    "after-lease": Point(f"{STORE}.due", "after", took_some),
    "before-marking": Point(f"{STORE}.tried", "before", arrived),
    "failing-write": Point(f"{STORE}.write", "fail", of_receipts),
    "after-marking": Point(f"{STORE}.tried", "after", arrived),
}


def plant(point: Point, nth: int) -> None:
    """Replace the function of a point by one that kills the process at the `nth` call that counts.

    Or by one that never ends, or fails so often.
    """
    owner, name = found(point.target)
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)
    left = nth

    def passed(call: Call) -> None:
        nonlocal left
        left -= point.counts(call)
        if left <= 0:
            die()

    @functools.wraps(original)
    async def planted(*args: Any, **named: Any) -> Any:
        nonlocal left
        if point.when == "hold" and point.counts((args, named, None)):
            await asyncio.Event().wait()
        if point.when == "before":
            passed((args, named, None))
        if point.when == "fail" and left and point.counts((args, named, None)):
            left -= 1
            raise StoreUnavailable("as the test wants it")
        result = await original(*args, **named)
        if point.when == "after":
            passed((args, named, result))
        return result

    setattr(owner, name, planted)


def found(target: str) -> tuple[Any, str]:
    """Return the owner of a function and its name there."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), name


def add_migration() -> None:
    """Let this release know one more step."""
    engine: Any = importlib.import_module("receiver.store.sqlite.engine")
    original = engine._migrations

    def more(package: str) -> list[tuple[str, str]]:
        steps: list[tuple[str, str]] = original(package)
        return [*steps, ("9999_extra.sql", EXTRA_MIGRATION)] if package == "receiver.store.sqlite" else steps

    engine._migrations = more


def kill_in_migration(nth: int) -> None:
    """Die before the `nth` statement of the first migration that is applied."""
    engine: Any = importlib.import_module("receiver.store.sqlite.engine")
    original: Callable[[str], Sequence[str]] = engine._statements

    def some(text: str) -> Iterator[str]:
        for number, statement in enumerate(original(text), 1):
            if number == nth:
                die()
            yield statement

    engine._statements = some


def no_sync() -> None:
    """Let the store not wait for the disk."""
    engine: Any = importlib.import_module("receiver.store.sqlite.engine")
    assert engine.PRAGMAS["synchronous"] == "FULL"
    engine.PRAGMAS["synchronous"] = "OFF"


def die() -> None:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Change what the first argument names, then run the command."""
    name, _, number = sys.argv.pop(1).partition(":")
    nth = int(number or 1)
    if name in POINTS:
        plant(POINTS[name], nth)
    elif name == "in-migration":
        kill_in_migration(nth)
    elif name == "in-extra-migration":
        add_migration()
        kill_in_migration(nth)
    else:
        {"extra-migration": add_migration, "no-sync": no_sync}[name]()
    cli.main()


if __name__ == "__main__":
    main()
