"""Indexing: everything once, after a crash too; versions replace each other, and what is removed is really gone."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import structlog
from both_engines import ENGINES, kept_on
from kept import ROUTES, kept_in, normalized, notice, result

from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import Segment, Verdict
from receiver.pipeline import indexing as indexing_module
from receiver.pipeline.indexing import PIECE, Indexing
from receiver.pipeline.operating.retention import Keep, Retention
from receiver.store.lists import Lists
from receiver.store.postgres.store import SharedStore
from receiver.store.store import Store
from receiver.testing.store import DAY_MS, Clock


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_on(request.param, tmp_path, clock) as opened:
        yield opened


async def found(store: Store, words: str) -> list[str]:
    """Return the jobs in whose transcripts words are found."""
    return [one["job_id"] for one in (await Lists(store.engine).search.segments({"q": words})).items]


async def sound(store: Store) -> None:
    """Let FTS5 compare its index with the rows that it indexes; PostgreSQL has them in one."""
    if isinstance(store, SharedStore):
        return
    connection: Any = store.engine._connection  # type: ignore[attr-defined]
    await connection.execute_fetchall("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


async def all_indexed(store: Store) -> int:
    """Index until nothing waits; return how many transcripts were dealt with."""
    count = 0
    while done := await Indexing(store).step():
        count += done
    return count


async def purged(purging: Indexing) -> None:
    """Write over what was removed, until nothing of it is left."""
    while await purging.purge():
        pass


async def test_everything_is_indexed_once(store: Store) -> None:
    """What waits is dealt with in batches, and then nothing waits."""
    await normalized(store, [result(f"job-{number}", text="hello") for number in range(3)] + [notice("tested")])
    assert await found(store, "hello") == []
    assert await all_indexed(store) == 3
    assert await found(store, "hello") == ["job-2", "job-1", "job-0"]
    assert await Indexing(store).step() == 0
    await sound(store)


async def test_batches_have_a_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; a large transcript comes alone."""
    await normalized(store, [result(f"job-{number}", text="hello") for number in range(4)])
    monkeypatch.setattr(indexing_module, "_TRANSCRIPTS", 2)
    assert await Indexing(store).step() == 2
    monkeypatch.setattr(indexing_module, "_BYTES", 1)
    assert await Indexing(store).step() == 1


async def test_a_new_version_replaces_the_words(store: Store) -> None:
    """Of the version before nothing is found."""
    for text in ("first", "second"):
        await normalized(store, [result("job", text=text)])
        await all_indexed(store)
    assert (await found(store, "first"), await found(store, "second")) == ([], ["job"])
    await sound(store)


@pytest.mark.parametrize("version", [1, 2])
async def test_words_that_come_meanwhile_count(store: Store, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """What was read before they came is not written; the next batch takes a newer version, or what the same one says now."""
    await normalized(store, [result("job", text="first" if version == 2 else None)], verdict=Verdict.FETCHED)
    engine: Any = store.engine
    real = engine.transaction

    @contextlib.asynccontextmanager
    async def later() -> AsyncIterator[Any]:
        monkeypatch.setattr(engine, "transaction", real)
        await normalized(store, [result("job", text="second")])
        async with real() as tx:
            yield tx

    monkeypatch.setattr(engine, "transaction", later)
    assert await Indexing(store).step() == 1
    assert await found(store, "first") == []
    assert await all_indexed(store) == 1
    assert await found(store, "second") == ["job"]
    assert await store.engine.rows("list_unindexed", {"limit": 1}) == []
    (known,) = await store.known_transcripts([("acme", "transcription", "job")])
    assert known.version == version


async def test_a_crash_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    """What a worker that died had not indexed, the next one does; what stood before search came, too."""
    async with kept_in(tmp_path / "store.db", clock) as store:
        await normalized(store, [result("job", text="hello")])
    async with kept_in(tmp_path / "store.db", clock) as store:
        assert await all_indexed(store) == 1
        assert await found(store, "hello") == ["job"]


async def test_long_texts_are_cut_and_steering_is_left_out(store: Store) -> None:
    """Rows have a bound, at blanks where there are some; control characters are blanks."""
    text = "word " * 1000 + "x" * (PIECE + 5) + "\x00\x01needle\x02"
    await normalized(
        store, [result("job", text=None, segments=(Segment(start=None, end=None, speaker=None, text=text),))]
    )
    await all_indexed(store)
    rows = await _texts(store)
    assert max(map(len, rows)) <= PIECE
    assert "".join(rows).replace(" ", "") == text.replace(" ", "").replace("\x00\x01", "").replace("\x02", "")
    assert await found(store, "needle") == ["job"]


async def _texts(store: Store) -> list[str]:
    text = "SELECT text FROM segments ORDER BY id"
    if isinstance(store, SharedStore):
        with psycopg.connect(store.shared.address) as connection:
            return [row[0] for row in connection.execute(text)]
    embedded: Any = store.engine._connection  # type: ignore[attr-defined]
    return [row[0] for row in await embedded.execute_fetchall(text)]


async def test_what_retention_took_is_in_no_file(tmp_path: Path, store: Store, clock: Clock) -> None:
    """Words go with their transcript, and after a purge they stand in no byte of the store's files."""
    await normalized(store, [result("job", text="canaryword stays here")], [])
    await normalized(
        store, [result(f"other-{number}", text=f"filler {number}") for number in range(50)], [], source="b"
    )
    await all_indexed(store)
    clock.ms += 2 * DAY_MS
    retention = Retention(store, {"acme": Keep.read("1d"), "b": Keep.read("forever")})
    await retention.once()
    assert await found(store, "canaryword") == []
    await sound(store)
    purging = Indexing(store)
    assert not await purging.purge()
    clock.ms += DAY_MS
    await purged(purging)
    assert await found(store, "filler") != []
    await sound(store)
    for file in tmp_path.glob("store.db*"):
        assert b"anaryword" not in file.read_bytes(), file.name
    assert not await purging.purge(0)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_a_log_that_is_read_is_emptied_later(store: Store) -> None:
    """A reader holds the log; the purge says so, and the next one ends it."""
    await normalized(store, [result("job", text="hello")])
    await store.engine.write("words_removed", {"now": 0})
    engine: Any = store.engine
    reader = engine._all[1]
    await reader.execute_fetchall("BEGIN")
    await reader.execute_fetchall("SELECT count(*) FROM versions")
    await normalized(store, [result("other", text="hello")])
    purging = Indexing(store)
    with pytest.raises(StoreUnavailable, match="is being read"):
        await purged(purging)
    await reader.execute_fetchall("COMMIT")
    await purged(purging)
    assert await store.engine.rows("removed_words") == []


async def test_a_transcript_that_went_before_it_was_indexed(store: Store, clock: Clock) -> None:
    """It waits no longer, and nothing is found."""
    await normalized(store, [result("job", text="hello")], [])
    clock.ms += 2 * DAY_MS
    (row,) = await store.engine.rows("list_transcripts", {"limit": 1})
    await store.engine.write("drop_versions", {"ids": [row[0]]})
    assert await all_indexed(store) == 1
    assert await found(store, "hello") == []


async def test_the_runner_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails for a moment, and a fault of ours, are logged and tried again; what comes is indexed."""
    monkeypatch.setattr(indexing_module, "_AGAIN", 0.0)
    monkeypatch.setattr(indexing_module, "_IDLE", 0.001)
    errors = [StoreUnavailable("busy"), RuntimeError("odd")]
    steps = Indexing(store)
    real, indexed = steps.step, asyncio.Event()

    async def step() -> int:
        if errors:
            raise errors.pop(0)
        done = await real()
        if done:
            indexed.set()
        return done

    monkeypatch.setattr(steps, "step", step)
    await normalized(store, [result("job", text="hello")], ROUTES)
    with structlog.testing.capture_logs() as logged:
        running = asyncio.create_task(steps.run())
        async with asyncio.timeout(10):
            await indexed.wait()
        running.cancel()
        await asyncio.wait([running])
    assert [line["event"] for line in logged] == ["indexing.store_failed", "indexing.failed"]
    assert await found(store, "hello") == ["job"]


def test_only_what_is_indexed_is_read() -> None:
    """A transcript with everything in it is read as far as needed."""
    doc: dict[str, object] = {"text": None, "speakers": [], "segments": [], "analysis": {"raw": {}}, "metadata": {}}
    assert indexing_module._decode(msgspec.json.encode(doc)).segments == []


async def test_words_removed_meanwhile_are_purged_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is removed while a purge ends is not forgotten."""
    await store.engine.write("words_removed", {"now": 0})
    engine: Any = store.engine
    real = engine.purge

    async def late() -> bool:
        done: bool = await real()
        await engine.write("words_removed", {"now": 0})
        return done

    monkeypatch.setattr(engine, "purge", late)
    await purged(Indexing(store))
    assert len(await engine.rows("removed_words")) == 1


async def test_a_long_transcript_takes_several_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until the last of them; one that is interrupted begins anew, and nothing stands twice."""
    monkeypatch.setattr(indexing_module, "_ROWS", 2)
    segments = tuple(Segment(start=1.0, end=2.0, speaker="A", text=f"needle {number}") for number in range(5))
    await normalized(store, [result("job", text=None, segments=segments), result("small", text="needle")])
    engine: Any = store.engine
    real, left = engine.transaction, [2]

    def failing() -> Any:
        if not left[0]:
            raise StoreUnavailable("full")
        left[0] -= 1
        return real()

    monkeypatch.setattr(engine, "transaction", failing)
    with pytest.raises(StoreUnavailable):
        await Indexing(store).step()
    assert await found(store, "needle") == ["job"] * 4
    monkeypatch.setattr(engine, "transaction", real)
    assert await all_indexed(store) == 2
    assert await found(store, "needle") == ["small", *["job"] * 5]
    await sound(store)


async def test_others_have_nine_tenths_of_the_writer(tmp_path: Path, clock: Clock) -> None:
    """A backlog is indexed in short transactions, with long pauses: callbacks are kept meanwhile."""
    async with kept_in(tmp_path / "store.db", clock) as opened:
        said = tuple(Segment(start=at * 1.0, end=at + 1.0, speaker="A", text=f"word{at} said") for at in range(300))
        await normalized(opened, [result(f"job-{number}", segments=said) for number in range(6)])
        held: list[float] = []
        inner = opened.engine.transaction

        @contextlib.asynccontextmanager
        async def timed(*, alone: bool = False) -> AsyncIterator[Any]:
            began = time.monotonic()
            async with inner(alone=alone) as tx:
                yield tx
            held.append(time.monotonic() - began)

        opened.engine.transaction = timed  # type: ignore[method-assign]
        began = time.monotonic()
        assert await all_indexed(opened) == 6
        assert len(held) >= 6 * 300 / 200
        assert sum(held) <= 0.11 * (time.monotonic() - began)
