"""What sinks remember: each its own, on disk, within bounds, and not for ever."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from both_engines import ENGINES, kept_on

from receiver.contract.sink import ShortMemory, SinkMemory
from receiver.store.memory import FORGET_AFTER, LONGEST, StoredMemory
from receiver.store.store import Store
from receiver.testing.store import Clock


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_on(request.param, tmp_path, clock) as made:
        yield made


@pytest.mark.parametrize("kept", [True, False])
async def test_what_was_written_is_read(store: Store, kept: bool) -> None:
    """The newest of each key; nothing where nothing was written."""
    memory: SinkMemory = StoredMemory(store, "team") if kept else ShortMemory()
    assert await memory.get("thread") is None
    await memory.put("thread", "1")
    await memory.put("thread", "2")
    await memory.put("other", "3")
    assert (await memory.get("thread"), await memory.get("other")) == ("2", "3")


async def test_each_sink_has_its_own(store: Store) -> None:
    """And it is read from the store each time."""
    await StoredMemory(store, "team").put("thread", "1")
    assert await StoredMemory(store, "other").get("thread") is None
    assert await StoredMemory(store, "team").get("thread") == "1"


async def test_old_texts_are_forgotten_by_and_by(store: Store, clock: Clock) -> None:
    """A write drops a hundred of them; what is younger stays."""
    memory = StoredMemory(store, "team")
    for number in range(150):
        await memory.put(str(number), "x")
    clock.ms += FORGET_AFTER
    await memory.put("young", "x")
    assert await memory.get("0") == "x"
    clock.ms += 1000
    await memory.put("now", "x")
    left = [number for number in range(150) if await memory.get(str(number))]
    assert len(left) == 50
    await memory.put("now", "y")
    assert not [number for number in range(150) if await memory.get(str(number))]
    assert (await memory.get("young"), await memory.get("now")) == ("x", "y")


async def test_long_texts_are_refused(store: Store) -> None:
    """It is for identifiers, not for what was said."""
    memory = StoredMemory(store, "team")
    await memory.put("k" * LONGEST, "v" * LONGEST)
    for key, value in (("k" * (LONGEST + 1), "v"), ("k", "v" * (LONGEST + 1))):
        with pytest.raises(ValueError, match="at most 4096"):
            await memory.put(key, value)
