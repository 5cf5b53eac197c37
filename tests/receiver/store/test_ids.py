"""Ids grow with time, are read back exactly, and are nothing else's."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.errors import NotFound
from receiver.store import ids
from receiver.testing.store import NOON, Clock

NUMBERS = st.integers(0, (1 << 63) - 1)


@given(st.lists(st.integers(-5000, 5000), max_size=50), st.integers(0, 5000))
def test_ids_grow_whatever_the_clock_does(steps: list[int], process: int) -> None:
    """Also where the clock stands still or steps back, each id is larger than the one before."""
    clock = Clock()
    maker = ids.Ids(clock, process)
    made = []
    for step in steps:
        clock.ms += step
        made += [maker.next(), maker.next()]
    assert made == sorted(set(made))
    assert all((one >> 12) & 0x3FF == process & 0x3FF for one in made)


def test_a_full_millisecond_goes_on_in_the_next() -> None:
    """More ids than a millisecond holds still belong to their process."""
    maker = ids.Ids(Clock(), 7)
    made = [maker.next() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {(one >> 12) & 0x3FF for one in made} == {7}
    assert ids.moment(made[-1]) == NOON + 2


@given(NUMBERS, NUMBERS)
def test_written_ids_sort_like_numbers(one: int, other: int) -> None:
    """The text sorts as the number does, and reads back as it."""
    texts = ids.encode(ids.EVENT, one), ids.encode(ids.EVENT, other)
    assert (texts[0] < texts[1]) == (one < other)
    assert ids.decode(ids.EVENT, texts[0]) == one


@given(st.text(string.ascii_letters + string.digits + "_é\0", max_size=20))
def test_garbage_is_not_found(text: str) -> None:
    """Any text is one of ours or NotFound; nothing else is raised."""
    for candidate in (text, ids.CALL + text):
        with contextlib.suppress(NotFound):
            assert ids.encode(ids.CALL, ids.decode(ids.CALL, candidate)) == candidate


@pytest.mark.parametrize(
    "text", ["", "rcp_", "evt_0000000000000", "rcp_zzzzzzzzzzzzz", "rcp_000000000000i", "rcp_0000000000000 "]
)
def test_near_misses_are_not_found(text: str) -> None:
    """The wrong prefix, length, letter, or a number that is too large."""
    with pytest.raises(NotFound):
        ids.decode(ids.RECEIPT, text)


@given(st.integers(ids.EPOCH_MS + 1, ids.EPOCH_MS + (1 << 41) - 1))
def test_a_moment_is_the_lowest_id_of_its_time(ms: int) -> None:
    """`at` bounds a range of time: everything made from then on is at or above it."""
    assert ids.moment(ids.at(ms)) == ms
    assert ids.moment(ids.at(ms) - 1) == ms - 1
    assert ids.moment(ids.Ids(lambda: ms / 1000 + 0.0001, 3).next()) == ms


def test_times_before_the_first_id() -> None:
    """A bound before 2024 is no bound."""
    assert ids.at(0) == 0
