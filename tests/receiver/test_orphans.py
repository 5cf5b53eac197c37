"""What waits for a sink or a source that is not in the settings is told with its commands, and never dropped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from kept import kept_in, normalized, notice
from running_fakes import configured

from receiver.contract.model import DeliveryState
from receiver.orphans import tell_orphans
from receiver.pipeline.outbox import Route
from receiver.store.jobs import JobDoc, Jobs, JobState, NewJob
from receiver.store.store import Store
from receiver.testing.store import MIB, Clock, a_receipt, a_tried

GONE = [Route(sink="gone", events=("*",), sources=("*",))]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", Clock()) as opened:
        yield opened


async def test_orphans_are_told_one_line_each(store: Store, tmp_path: Path) -> None:
    """Count, age and the ways out; what is configured, and what left nothing, is not told of."""
    await normalized(store, [notice("a"), notice("b"), notice("c")], GONE)
    (dead,) = await store.due("gone", 1, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(dead.id, DeliveryState.DEAD)])
    await normalized(store, [notice("d")], [Route(sink="archive", events=("*",), sources=("*",))], source="quiet")
    await store.keep([a_receipt(store, b"1", source="old"), a_receipt(store, b"2")])
    with structlog.testing.capture_logs() as lines:
        await tell_orphans(store, configured(tmp_path), Clock()())
    sink, source = lines
    assert sink.pop("oldest")
    assert sink == {
        "event": "sink.orphaned",
        "log_level": "warning",
        "sink": "gone",
        "pending": 2,
        "dead": 1,
        "move": "hookscribe deliveries move --from gone --to NAME",
        "discard": "hookscribe discard --sink gone --state pending",
    }
    assert (source["event"], source["source"], source["received"]) == ("source.orphaned", "old", 1)
    assert source["show"] == "hookscribe receipts --source old --state received"
    assert source["oldest"]


async def test_open_jobs_of_a_source_that_is_gone_are_told(store: Store, tmp_path: Path) -> None:
    """By state, with the way out; those of a source that is there, and those that have ended, are not."""
    jobs = Jobs(store)
    made = [
        ("old", JobState.SUBMITTED),
        ("old", JobState.UNCERTAIN),
        ("old", JobState.LOST),
        ("acme", JobState.OVERDUE),
    ]
    for source, state in made:
        job = NewJob(
            id=store.ids.next(),
            source=source,
            provider="acme",
            operation="transcription",
            state=state,
            owner=0,
            doc=JobDoc(),
        )
        await jobs.add(job)
    with structlog.testing.capture_logs() as lines:
        await tell_orphans(store, configured(tmp_path), Clock()())
    (told,) = lines
    assert (told["event"], told["source"], told["submitted"], told["uncertain"]) == ("jobs.orphaned", "old", 1, 1)
    assert "lost" not in told
    assert told["show"] == "hookscribe jobs --source old"


async def test_the_dead_alone_have_ways_out_of_their_own(store: Store, tmp_path: Path) -> None:
    """`move` takes them where it is said, `discard` by their state."""
    await normalized(store, [notice("a")], GONE)
    (dead,) = await store.due("gone", 1, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(dead.id, DeliveryState.DEAD)])
    with structlog.testing.capture_logs() as lines:
        await tell_orphans(store, configured(tmp_path), Clock()())
    (sink,) = lines
    assert sink["move"].endswith("--to NAME --dead")
    assert sink["discard"].endswith("--state dead")
