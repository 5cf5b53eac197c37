"""When a delivery is tried again, and when a sink that fails is left alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.model import SinkState
from receiver.contract.settings import SinkSettings
from receiver.pipeline.schedule import TRIP_AFTER, Health, Pace, rest_after, wait_after

RETRY = SinkSettings(kind="any").retry
DAY = 86_400.0


@given(st.integers(1, len(RETRY) - 1), st.floats(0, 1, exclude_max=True))
def test_waits_are_those_of_the_schedule_give_or_take_a_fifth(attempt: int, dice: float) -> None:
    """Whatever the dice say, the wait is within 20 % of the scheduled one."""
    wait = wait_after(attempt, RETRY, None, dice)
    assert wait is not None
    assert RETRY[attempt] * 0.8 <= wait <= RETRY[attempt] * 1.2


def test_the_dice_reach_both_ends() -> None:
    """Jitter uses its whole range, so that sinks which failed together do not come back together."""
    assert wait_after(1, (0, 100), None, 0.0) == 80
    assert wait_after(1, (0, 100), None, 0.5) == 100
    assert wait_after(1, (0, 100), None, 1.0) == pytest.approx(120)


def test_a_store_that_fails_is_asked_less_and_less() -> None:
    """Twice the rest after each failure, and never more than eight times the first."""
    assert [rest_after(failures, 1.0) for failures in range(1, 8)] == [1, 2, 4, 8, 8, 8, 8]


@pytest.mark.parametrize("asked", [None, 5.0])
def test_after_the_last_try_there_is_none(asked: float | None) -> None:
    """The schedule's length is the number of tries, whatever the other side asks for."""
    assert wait_after(len(RETRY) - 1, RETRY, asked, 0.5) is not None
    assert wait_after(len(RETRY), RETRY, asked, 0.5) is None
    assert wait_after(1, (), asked, 0.5) is None


@pytest.mark.parametrize(
    ("asked", "wait"), [(60.0, 60.0), (1.0, 5.0), (0.0, 5.0), (-7.0, 5.0), (math.nan, 5.0), (math.inf, 7 * DAY)]
)
def test_what_the_other_side_asks_for_is_honoured_within_reason(asked: float, wait: float) -> None:
    """`Retry-After` makes a wait longer, never shorter, and no longer than a week."""
    assert wait_after(1, (0, 5), asked, 0.5) == wait


def tripped(now: float = 0.0, failures: int = TRIP_AFTER) -> Health:
    """Return a sink that failed so often in a row."""
    health = Health()
    for _ in range(failures):
        health.failed(now, "down")
    return health


def test_a_sink_trips_at_the_fifth_failure_in_a_row() -> None:
    """Four failures are bad luck, five are a state; it is told once."""
    health = Health()
    assert [health.failed(0.0, "down") for _ in range(7)] == [False] * 4 + [True] + [False] * 2
    assert (health.state, health.reason) == (SinkState.TRIPPED, "down")


def test_a_success_in_between_starts_the_count_again() -> None:
    """Only failures in a row count."""
    health = Health()
    for _ in range(20):
        assert not any(health.failed(0.0, "down") for _ in range(4))
        assert not health.succeeded()
    assert (health.state, health.allowed(0.0, 9)) == (SinkState.RUNNING, 9)


def test_a_tripped_sink_is_probed_by_one_send_and_less_and_less_often() -> None:
    """Nothing goes out before the probe's time, then one send; the probes spread to one a minute."""
    health, now, gaps = tripped(), 0.0, []
    for _ in range(8):
        gaps.append(health.probe_at - now)
        assert health.allowed(health.probe_at - 0.001, 9) == 0
        now = health.probe_at
        assert health.allowed(now, 9) == 1
        health.failed(now, "still down")
    assert gaps == [5, 10, 20, 40, 60, 60, 60, 60]


def test_a_sink_may_fail_for_years() -> None:
    """The probes' spacing does not overflow, however many have failed."""
    assert tripped(failures=100_000).probe_at == 60


def test_a_clock_that_is_set_back_does_not_put_off_the_probe() -> None:
    """A probe that seems further off than any wait is due."""
    assert tripped(now=1_000_000.0).allowed(0.0, 9) == 1


def test_coming_back_is_step_by_step() -> None:
    """After the probe one send at a time, then 2, 4 … until the sink's own number; it resumed once."""
    health = tripped()
    assert health.succeeded()
    assert (health.state, health.reason) == (SinkState.RUNNING, None)
    seen = []
    for _ in range(9):
        seen.append(health.allowed(0.0, 100))
        assert not any(health.succeeded() for _ in range(seen[-1]))
    assert seen == [1, 2, 4, 8, 16, 32, 64, 100, 100]
    assert health.allowed(0.0, 3) == 3


def test_a_sink_that_was_tripped_at_the_last_stop_starts_with_a_probe() -> None:
    """What was known of a sink counts on: nothing before the probe's time, and step by step afterwards."""
    health = Health(SinkState.TRIPPED, 7, 50.0)
    assert (health.allowed(49.0, 9), health.allowed(50.0, 9)) == (0, 1)
    assert health.succeeded()
    assert health.allowed(50.0, 9) == 1


def test_an_operator_pauses_and_resumes() -> None:
    """Paused, nothing goes out, failures of what was under way change nothing; resumed, it comes back step by step."""
    health = tripped()
    health.ordered(SinkState.PAUSED)
    assert not health.failed(0.0, "down")
    assert (health.state, health.allowed(1e9, 9)) == (SinkState.PAUSED, 0)
    health.ordered(SinkState.RUNNING)
    assert (health.state, health.failures, health.reason) == (SinkState.RUNNING, 0, None)
    assert health.allowed(0.0, 9) == 1
    health.ordered(SinkState.RUNNING)
    assert health.allowed(0.0, 9) == 1


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_keeps_sends_apart() -> None:
    """At two a second the third may start after a second; time that passed unused is not saved up."""
    clock = Clock()
    pace = Pace(2.0, clock)
    assert pace.wait() == 0
    pace.sent()
    pace.sent()
    assert pace.wait() == 1.0
    clock.now = 100.0
    assert pace.wait() == 0
    pace.sent()
    assert pace.wait() == 0.5


def test_without_a_rate_only_a_hold_makes_a_wait() -> None:
    """`Retry-After` holds everything; a shorter one does not shorten it."""
    clock = Clock()
    pace = Pace(None, clock)
    pace.sent()
    assert pace.wait() == 0
    pace.hold(30.0)
    pace.hold(5.0)
    pace.hold(math.nan)
    assert pace.wait() == 30.0
    clock.now = 30.0
    assert pace.wait() == 0
