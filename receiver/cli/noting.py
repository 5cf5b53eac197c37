"""What commands leave in the audit trail."""

import asyncio
import getpass
import os
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from receiver.cli.output import warn
from receiver.contract.errors import StoreError
from receiver.runtime import Runtime
from receiver.store.audit import READ, Entry, Trail
from receiver.store.opening import open_store
from receiver.store.store import Store


async def noted(runtime: Runtime, what: str, things: Iterable[str | None] = (), **detail: Any) -> None:
    """Write down an order of who runs this command; `detail` names what it is about, and nothing that was said."""
    await _noted(runtime.store, what, things, **detail)


def noted_in(url: str, what: str, **detail: Any) -> None:
    """Write down what was done to a store as a whole; where it cannot be written there, that is told."""

    async def work() -> None:
        store = await open_store(url, time.time)
        try:
            await _noted(store, what, **detail)
        finally:
            await store.engine.close()

    try:
        asyncio.run(work())
    except StoreError as error:
        warn(f"the audit trail does not tell of this: {error}")


async def _noted(store: Store, what: str, things: Iterable[str | None] = (), **detail: Any) -> None:
    given = {name: value for name, value in detail.items() if value not in (None, (), False)}
    told = msgspec.json.encode(given).decode() if given else None
    who = f"command as {user()}"
    entries = [Entry(who=who, via="command", what=what, thing=thing, detail=told) for thing in [*things] or [None]]
    await Trail(store).write(entries)


async def read_by_command(runtime: Runtime, things: Iterable[str]) -> None:
    """Write down that who runs this command was shown what things say."""
    if seen := [*dict.fromkeys(things)]:
        await noted(runtime, READ, seen)


def user() -> str:
    """Return the name of who runs this process, its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
