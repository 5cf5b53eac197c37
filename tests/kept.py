"""A store on disk with a clock that tests set, and things to keep in it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from receiver.contract.model import Call, Notice, Outcome, Result
from receiver.pipeline.outbox import Outbox, Route
from receiver.store.opening import PACKAGE
from receiver.store.records import StoredReceipt
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Store
from receiver.testing.store import Clock, a_receipt


@contextlib.asynccontextmanager
async def kept_in(path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Open a store in a file, migrated and registered."""
    engine = SqliteEngine(path, PACKAGE)
    await engine.open(checkpoint=True)
    try:
        await engine.migrate()
        store = Store(engine, clock)
        await store.register("test")
        yield store
    finally:
        await engine.close()


ROUTES = [
    Route(sink="archive", events=("*",), sources=("*",)),
    Route(sink="team", events=("transcript.*", "ops.*"), sources=("acme",)),
]


async def normalized(
    store: Store, outcomes: Sequence[Outcome], routes: Sequence[Route] = ROUTES, **changes: Any
) -> None:
    """Keep one receipt for each outcome, and write what it became."""
    for number, outcome in enumerate(outcomes):
        receipt = a_receipt(store, b"%d-%d" % (store.ids.next(), number), **changes)
        await store.keep([receipt])
        results = [one for one in [outcome] if isinstance(one, Result)]
        keys = [(receipt.source, one.operation, one.job_id) for one in results]
        calls = [f"{receipt.source}:{one.call.external_id}" for one in results if one.call]
        known, known_calls = await store.known_transcripts(keys), await store.known_calls(calls)
        plan = Outbox(routes, store.ids).plan(store.now_ms(), known, known_calls)
        fields = {name: getattr(receipt, name) for name in StoredReceipt.__struct_fields__ if name != "tries"}
        plan.receipt(StoredReceipt(**fields, tries=0), "acme/1", [outcome])
        await store.write(plan.writes)


def result(job: str, call: str | None = None, **changes: Any) -> Result:
    """Return a transcript of a job."""
    made = Result(
        kind="transcript",
        operation="transcription",
        job_id=job,
        text="hello",
        call=Call(external_id=call) if call else None,
    )
    return msgspec.structs.replace(made, **changes)


def notice(name: str) -> Notice:
    """Return a provider's event that is no result."""
    return Notice(name=name, body={"name": name})
