"""The lines of `hookscribe dev`: what is said of a callback, when, and what is not."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.contract.model import InboundRequest
from receiver.contract.proof import Reason, Refused
from receiver.dev.lines import Narrator, endings
from receiver.store.ids import EVENT, RECEIPT, TRANSCRIPT, encode
from receiver.store.records import Kept

REQUEST = InboundRequest(source="calls", token=None, headers=(), body=b"{}", received_at=0)
Rows = list[tuple[Any, ...]]


class Holding:
    """A store that holds the rows of a test."""

    def __init__(self, receipts: Rows, events: Rows = [], deliveries: Rows = []) -> None:  # noqa: B006 -- only read
        self.engine = self
        self.found = {"list_receipts": receipts, "list_events": events, "list_deliveries": deliveries}

    async def rows(self, name: str, params: Mapping[str, Any], where: Sequence[str]) -> Rows:
        """Return all there is, as each test asks for all of it."""
        assert params["limit"]
        assert where
        return self.found[name]


def receipt(
    number: int, state: str, outcome: list[dict[str, Any]] | None, reason: str | None = None
) -> tuple[Any, ...]:
    """Return a receipt's row."""
    said = None if outcome is None else json.dumps(outcome)
    return (number, "calls", "acme", "token", state, 0, 0, 2, reason, said, None, b"")


def event(number: int, kind: str, subject: str) -> tuple[Any, ...]:
    """Return an event's row."""
    return (number, "calls", kind, "", subject, None, 2)


def delivery(number: int, sink: str, of: int, state: str, detail: str | None = None) -> tuple[Any, ...]:
    """Return a delivery's row."""
    return (number, sink, of, "x", "calls", state, 1, 0, detail, 0)


async def said(store: Holding, number: int = 10) -> tuple[bool, str]:
    """Return what is said of one receipt, and whether that is all."""
    ending = (await endings(store, [number]))[number]  # type: ignore[arg-type]
    return ending.done, str(ending)


async def test_what_is_not_read_yet_waits() -> None:
    """A receipt that is still to be normalized or confirmed is not done."""
    assert await said(Holding([])) == (False, "→ waits to be normalized")
    assert await said(Holding([receipt(10, "received", None)])) == (False, "by token → waits to be normalized")
    assert await said(Holding([receipt(10, "confirming", None)])) == (
        False,
        "by token → waits for the provider to confirm it",
    )


async def test_results_that_say_nothing_new() -> None:
    """A copy of a known result makes no event, and that is said."""
    transcript = encode(TRANSCRIPT, 5)
    outcome: list[dict[str, Any]] = [
        {"transcript": transcript, "version": 1, "as": "less"},
        {"transcript": transcript, "version": 1, "as": "more"},
        {"progress": "7", "status": "queued"},
    ]
    done, line = await said(Holding([receipt(10, "normalized", outcome)]))
    assert done
    assert line == (
        f"by token → no event: {transcript} says more already, no event: {transcript} was told before, and says more now, "
        "no event: the job is queued"
    )


async def test_each_of_two_versions_has_its_own_event() -> None:
    """Two receipts of one job, normalized together, are not mixed up; notices are told by their type."""
    transcript = encode(TRANSCRIPT, 20)
    first = receipt(10, "normalized", [{"transcript": transcript, "version": 1, "as": "new"}])
    notice = {"event": encode(EVENT, 23)}
    second = receipt(11, "normalized", [{"transcript": transcript, "version": 2, "as": "version"}, notice])
    events = [
        event(21, "transcript.completed", transcript),
        event(22, "transcript.updated", transcript),
        event(23, "acme.ping", encode(RECEIPT, 11)),
    ]
    store = Holding([first, second], events)
    found = await endings(store, [10, 11])  # type: ignore[arg-type]
    assert found[10].became == (f"transcript.completed {transcript}",)
    assert set(found[11].became) == {"acme.ping", f"transcript.updated {transcript}"}


async def test_where_it_went() -> None:
    """Each sink once, with what is wrong there; done only when nothing is on its way."""
    transcript = encode(TRANSCRIPT, 20)
    one = receipt(10, "normalized", [{"transcript": transcript, "version": 1, "as": "new"}])
    deliveries = [
        delivery(30, "file", 21, "delivered"),
        delivery(31, "team", 21, "dead", "HTTP 410"),
        delivery(32, "queue", 21, "pending"),
    ]
    store = Holding([one], [event(21, "transcript.completed", transcript)], deliveries)
    done, line = await said(store)
    assert not done
    assert line.endswith("→ file, team GAVE UP (HTTP 410), queue waits")


async def narrated(narrator: Narrator, lines: list[str], count: int) -> None:
    """Let the narrator speak until there are so many lines."""
    task = asyncio.create_task(narrator.run())
    async with asyncio.timeout(10):
        while len(lines) < count:
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_duplicate_comes_after_its_first_copy() -> None:
    """A line that could be said at once waits for the one that explains it; a refusal does not."""
    lines: list[str] = []
    store = Holding([receipt(10, "received", None)])
    narrator = Narrator(store, lines.append)  # type: ignore[arg-type]
    narrator.answered(REQUEST, Kept(10, False))
    narrator.answered(REQUEST, Kept(10, True))
    narrator.answered(REQUEST, Refused(reason=Reason.SIGNATURE_MISSING))
    await narrated(narrator, lines, 1)
    assert "refused    401 signature_missing" in lines[0]
    store.found["list_receipts"] = [receipt(10, "unreadable", None, "no JSON")]
    await narrated(narrator, lines, 3)
    assert "accepted   " in lines[1]
    assert "unreadable: no JSON" in lines[1]
    assert "duplicate  " in lines[2]


async def test_a_callback_that_takes_long_is_not_waited_for() -> None:
    """After a while its line says what it waits for."""
    lines: list[str] = []
    times = iter([0.0, 100.0])
    narrator = Narrator(Holding([receipt(10, "received", None)]), lines.append, lambda: next(times))  # type: ignore[arg-type]
    narrator.answered(REQUEST, Kept(10, False))
    await narrated(narrator, lines, 1)
    assert "waits to be normalized" in lines[0]


async def test_a_flood_is_counted() -> None:
    """Of very many at once, some have their line and the rest is a number."""
    lines: list[str] = []
    narrator = Narrator(Holding([]), lines.append)  # type: ignore[arg-type]
    for _ in range(700):
        narrator.answered(REQUEST, Kept(10, True))
    await narrated(narrator, lines, 501)
    assert lines[-1].endswith("… and 200 more callbacks")
