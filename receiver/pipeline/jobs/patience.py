"""Patience: when a job is asked about, when it is overdue, when it is lost; learned from the jobs before it."""

from collections.abc import Sequence

import msgspec

from receiver.contract.settings import SourceSettings
from receiver.store.jobs import JobRow

FIRST = 300.0
"""Seconds to the first question where nothing is known of a source's usual times, and a callback is expected."""
FIRST_ALONE = 15.0
"""The same where no callback can come."""
OVERDUE = 3600.0
_ENOUGH = 5
"""Jobs from which on their times count."""
_GROWTH = 1.6
_SHORTEST, _LONGEST = 10.0, 3600.0


class Plan(msgspec.Struct, frozen=True):
    """What a job's life looks like from its submission on, in seconds: the first question, and when it is overdue."""

    first: float
    overdue: float


def usual(times: Sequence[float]) -> float | None:
    """Return the time in which nine of ten jobs are done, None where too few are known; `times` are sorted."""
    return times[len(times) * 9 // 10] if len(times) >= _ENOUGH else None


def planned(settings: SourceSettings, times: Sequence[float], deadline_in: float | None, *, called_back: bool) -> Plan:
    """Return a plan for a job that was just submitted: the provider's word counts, else what was usual so far."""
    known = usual(times)
    if settings.poll_after is not None:
        first = settings.poll_after
    elif called_back:
        first = max(_SHORTEST, deadline_in or 0, 1.5 * known if known is not None else FIRST if not deadline_in else 0)
    else:
        first = known if known is not None else FIRST_ALONE
    overdue = max(deadline_in or 0, 3 * known if known is not None else OVERDUE if deadline_in is None else 0, first)
    return Plan(first, overdue)


def next_wait(job: JobRow, first: float) -> float:
    """Return the seconds to the next question: each time longer, up to an hour."""
    longest = max(_LONGEST, first)
    return min(longest, max(first, 0.1) * _GROWTH ** min(job.polls + 1, 40))
