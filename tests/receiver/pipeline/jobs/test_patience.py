"""When a job is asked about, and when it is overdue: learned from the jobs before it, or as the settings say."""

import pytest

from receiver.contract.settings import SourceSettings
from receiver.pipeline.jobs.patience import FIRST, FIRST_ALONE, OVERDUE, Plan, next_wait, planned, usual
from receiver.store.jobs import JobDoc, JobRow, JobState

SETTINGS = SourceSettings(provider="acme")
TIMES = [float(second) for second in range(10, 110, 10)]


def polled(times: int) -> JobRow:
    """Return a job that was asked about so many times."""
    return JobRow(
        id=1, source="acme", provider="acme", operation="transcription", state=JobState.SUBMITTED, job_id="1",
        recording=None, round=0, call_key=None, owner=1, sending=0, created_at=0, updated_at=0, submitted_at=0,
        result_at=None, deadline=None, next_poll=0, polls=times, detail=None, note=None, doc=JobDoc(),
    )  # fmt: skip


def test_nine_of_ten_is_usual() -> None:
    """From five jobs on."""
    assert usual(TIMES) == 100
    assert usual(TIMES[:5]) == 50
    assert usual(TIMES[:4]) is None


@pytest.mark.parametrize(
    ("times", "deadline", "called_back", "expected"),
    [
        ([], None, True, Plan(FIRST, OVERDUE)),
        ([], None, False, Plan(FIRST_ALONE, OVERDUE)),
        (TIMES, None, True, Plan(150, 300)),
        (TIMES, None, False, Plan(100, 300)),
        (TIMES, 500.0, True, Plan(500, 500)),
        ([], 40.0, True, Plan(40, 40)),
        ([0.1] * 10, None, True, Plan(10, 10)),
    ],
)
def test_a_plan_goes_by_what_is_known(
    times: list[float],
    deadline: float | None,
    called_back: bool,
    expected: Plan,
) -> None:
    """The provider's word, what was usual, or neither; never a question in the first ten seconds where we are called."""
    made = planned(SETTINGS, times, deadline, called_back=called_back)
    assert made.first == pytest.approx(expected.first)
    assert made.overdue == pytest.approx(expected.overdue)


def test_settings_fix_the_first_question() -> None:
    """Whatever was usual."""
    assert planned(SourceSettings(provider="acme", poll_after=7), TIMES, 500.0, called_back=True).first == 7


def test_questions_become_rarer_up_to_an_hour() -> None:
    """Each wait is longer than the one before."""
    waits = [next_wait(polled(times), 60) for times in range(20)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (96, 3600)
