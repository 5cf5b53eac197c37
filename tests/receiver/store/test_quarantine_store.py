"""The quarantine's file: put, listed, taken out, and trimmed to its bounds."""

import random
from pathlib import Path

import pytest
from quarantine_fakes import NOW, Clock, kept_in, row

from receiver.config import QuarantineSettings
from receiver.contract.errors import NotFound, StoreError, StoreUnavailable
from receiver.store.ids import at
from receiver.store.quarantine.quarantine import HOURS_KEPT, Quarantine, beside, is_broken
from receiver.store.quarantine.records import RefusalCount
from receiver.store.sqlite.engine import SqliteEngine

WIDE = QuarantineSettings()
FIRST = at(int(NOW * 1000))


async def test_what_is_put_is_found_again_byte_for_byte(tmp_path: Path) -> None:
    """Headers and body come back as they were; a row put twice is there once."""
    async with kept_in(tmp_path) as quarantine:
        await quarantine.put([row(FIRST, b"\x00\xff\n")], WIDE)
        await quarantine.put([row(FIRST, b"other")], WIDE)
        found = await quarantine.get(FIRST)
        assert found.request.body == b"\x00\xff\n"
        assert found.request.headers == ((b"a", b"b"),)
        assert found.request.token is None
        assert found.reason == "token_unknown"
        assert len(await quarantine.newest(10)) == 1


async def test_pages_go_from_the_newest_to_the_oldest(tmp_path: Path) -> None:
    """A page goes on where the one before ended; source and reason narrow it."""
    async with kept_in(tmp_path) as quarantine:
        rows = [row(FIRST + number, source="ab"[number % 2], reason="xyz"[number % 3]) for number in range(6)]
        await quarantine.put(rows, WIDE)
        page = await quarantine.newest(4)
        assert [one.id - FIRST for one in page] == [5, 4, 3, 2]
        assert [one.id - FIRST for one in await quarantine.newest(4, before=page[-1].id)] == [1, 0]
        assert [one.id - FIRST for one in await quarantine.newest(9, source="a", reason="z")] == [2]


async def test_what_is_dropped_is_gone(tmp_path: Path) -> None:
    """Dropping says how many were there; asking for one that is gone says so."""
    async with kept_in(tmp_path) as quarantine:
        await quarantine.put([row(FIRST), row(FIRST + 1)], WIDE)
        assert await quarantine.drop([FIRST, FIRST + 7]) == 1
        with pytest.raises(NotFound, match="qrn_"):
            await quarantine.get(FIRST)


async def test_the_count_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    """Of one kind, the newest stay."""
    async with kept_in(tmp_path) as quarantine:
        bounds = QuarantineSettings(max_count=100)
        assert await quarantine.put([row(FIRST + number) for number in range(250)], bounds) == 150
        left = [one.id - FIRST for one in await quarantine.newest(1000)]
        assert left == list(range(249, 149, -1))


async def test_bytes_are_bounded(tmp_path: Path) -> None:
    """A large body drives out as many small ones as it needs."""
    async with kept_in(tmp_path) as quarantine:
        bounds = QuarantineSettings(max_bytes=10_000)
        await quarantine.put([row(FIRST + number, bytes(997)) for number in range(10)], bounds)
        assert len(await quarantine.newest(100)) == 10
        await quarantine.put([row(FIRST + 10, bytes(5000))], bounds)
        assert [one.id - FIRST for one in await quarantine.newest(100)] == [10, 9, 8, 7, 6]


async def test_age_is_bounded(tmp_path: Path) -> None:
    """What is older than the age goes, also where nothing new comes."""
    clock = Clock()
    async with kept_in(tmp_path, clock) as quarantine:
        await quarantine.put([row(FIRST), row(FIRST + (60_000 << 22))], QuarantineSettings(max_age=3600))
        clock.now += 3601
        assert await quarantine.trim(QuarantineSettings(max_age=3600)) == 1
        assert len(await quarantine.newest(9)) == 1


async def test_a_flood_of_one_kind_does_not_drive_out_another(tmp_path: Path) -> None:
    """The kind that takes most gives its oldest, in count and in bytes."""
    async with kept_in(tmp_path) as quarantine:
        bounds = QuarantineSettings(max_count=50, max_bytes=50_000)
        genuine = [row(FIRST + number, source="real", reason="signature_mismatch") for number in range(20)]
        await quarantine.put(genuine, bounds)
        for start in range(100, 2100, 100):
            await quarantine.put([row(FIRST + start + number, bytes(500)) for number in range(100)], bounds)
        assert len(await quarantine.newest(99, source="real")) == 20
        assert len(await quarantine.newest(99, source="one")) == 30


async def test_trimming_holds_the_bounds_whatever_comes(tmp_path: Path) -> None:
    """After every batch of random kinds and sizes, count and bytes are within bounds and the totals are true."""
    dice = random.Random(7)
    bounds = QuarantineSettings(max_count=40, max_bytes=20_000)
    async with kept_in(tmp_path) as quarantine:
        number = FIRST
        for _ in range(30):
            batch = []
            for _ in range(dice.randrange(1, 40)):
                number += 1
                batch.append(
                    row(number, bytes(dice.randrange(3000)), source=dice.choice("abc"), reason=dice.choice("xy"))
                )
            await quarantine.put(batch, bounds)
            left = await quarantine.newest(1000)
            assert 0 < len(left) <= 40
            assert sum(one.size + 3 for one in left) <= 20_000
            engine = quarantine._engine
            assert engine is not None
            assert sum(kind[2] for kind in await engine.rows("kinds")) == len(left)


async def test_totals_that_are_wrong_do_no_harm(tmp_path: Path) -> None:
    """Where the totals say more than there is, trimming ends, at the cost of that kind alone."""
    async with kept_in(tmp_path) as quarantine:
        bounds = QuarantineSettings(max_count=5)
        await quarantine.put([row(FIRST + number) for number in range(4)], bounds)
        assert isinstance(quarantine._engine, SqliteEngine)
        await quarantine._engine._connection.execute_fetchall("UPDATE kinds SET requests = 100")
        await quarantine.put([row(FIRST + 9, source="other")], bounds)
        assert [one.source for one in await quarantine.newest(9)] == ["other"]


async def test_refusals_are_counted_by_hour_and_forgotten(tmp_path: Path) -> None:
    """Counts of an hour add up; hours too long ago go."""
    clock = Clock()
    async with kept_in(tmp_path, clock) as quarantine:
        hour = quarantine.hour()
        await quarantine.count([RefusalCount(hour, "one", "token_unknown", 3), RefusalCount(hour, "", "unknown", 1)])
        await quarantine.count([RefusalCount(hour, "one", "token_unknown", 2)])
        assert {(one.source, one.count) for one in await quarantine.refusals()} == {("one", 5), ("", 1)}
        clock.now += 3600 * (HOURS_KEPT + 2)
        assert await quarantine.refusals() == []
        await quarantine.count([RefusalCount(quarantine.hour(), "one", "token_unknown", 1)])
        assert [one.count for one in await quarantine.refusals(hours=10_000)] == [1]


async def test_nothing_is_synced(tmp_path: Path) -> None:
    """The file is written without waiting for the disk."""
    async with kept_in(tmp_path) as quarantine:
        await quarantine.trim(WIDE)
        assert isinstance(quarantine._engine, SqliteEngine)
        assert await quarantine._engine._pragma("synchronous") == 0


async def test_two_processes_use_one_file(tmp_path: Path) -> None:
    """A command drops what `serve` put."""
    async with kept_in(tmp_path) as served, kept_in(tmp_path) as command:
        await served.put([row(FIRST)], WIDE)
        assert await command.drop([FIRST]) == 1
        assert await served.newest(9) == []


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A folder that is not there is said, and asking again is possible once it is."""
    quarantine = Quarantine(tmp_path / "none" / "store.db-quarantine", Clock())
    with pytest.raises(StoreUnavailable):
        await quarantine.newest(1)
    (tmp_path / "none").mkdir()
    assert await quarantine.newest(1) == []
    await quarantine.close()


async def test_a_broken_file_is_known_and_begun_anew(tmp_path: Path) -> None:
    """Bytes that are no database are told from a passing trouble, and a new file takes their place."""
    (tmp_path / "store.db-quarantine").write_bytes(b"not a database" * 100)
    async with kept_in(tmp_path) as quarantine:
        with pytest.raises(StoreError) as caught:
            await quarantine.put([row(FIRST)], WIDE)
        assert is_broken(caught.value)
        assert not is_broken(StoreUnavailable("busy"))
        await quarantine.remake()
        await quarantine.put([row(FIRST)], WIDE)
        assert len(await quarantine.newest(9)) == 1


def test_the_file_stands_beside_the_store() -> None:
    """Its name is the store's and what it is."""
    assert beside("sqlite:/var/lib/hookscribe.db", Clock()).path == Path("/var/lib/hookscribe.db-quarantine")
