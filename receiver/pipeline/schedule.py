"""Schedule: when a delivery is tried again, and when a sink that fails is left alone. Pure arithmetic."""

from collections.abc import Callable, Sequence

from receiver.contract.model import SinkState

TRIP_AFTER = 5
"""Failures in a row."""
_PROBES = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds until a sink that tripped is probed, failure after failure."""
_JITTER = 0.2
_LONGEST_WAIT = 7 * 86_400


def wait_after(attempt: int, retry: Sequence[float], asked: float | None, dice: float) -> float | None:
    """Return the seconds until the next try after the failed try `attempt` (from 1), or None where it was the last.

    `retry` holds the wait before each try, `asked` what the other side asked for, `dice` is between 0 and 1.
    """
    if attempt >= len(retry):
        return None
    jittered = retry[attempt] * (1 - _JITTER + 2 * _JITTER * dice)
    return max(jittered, min(asked or 0.0, _LONGEST_WAIT))


def rest_after(failures: int, first: float) -> float:
    """Return the seconds until a store that failed so often in a row is asked again: the first rest, doubled up to eightfold."""
    return first * 2.0 ** min(failures - 1, 3)


class Health:
    """A sink's health: trips after failures in a row, is probed, and comes back step by step."""

    def __init__(self, state: SinkState = SinkState.RUNNING, failures: int = 0, probe_at: float = 0.0) -> None:
        self.state = state
        self.failures = failures
        self.probe_at = probe_at
        self.reason: str | None = None
        self._ramp: int | None = 1 if state is SinkState.TRIPPED else None
        self._passed = 0

    def allowed(self, now: float, most: int) -> int:
        """Return how many sends may be under way at once: none, one probe, or more and more up to `most`."""
        if self.state is SinkState.PAUSED:
            return 0
        if self.state is SinkState.TRIPPED:
            return 0 if 0 < self.probe_at - now <= _PROBES[-1] else 1  # further off: the clock was set back
        return min(self._ramp or most, most)

    def succeeded(self) -> bool:
        """Note a success; return True where the sink came back by it."""
        back = self.state is SinkState.TRIPPED
        self.failures = 0
        if back:
            self.state, self.reason, self._ramp, self._passed = SinkState.RUNNING, None, 1, 0
        elif self._ramp is not None:
            self._climb(self._ramp)
        return back

    def _climb(self, step: int) -> None:
        """Go one step up after as many successes as the step is wide."""
        self._passed += 1
        if self._passed >= step:
            self._ramp, self._passed = None if step >= 64 else step * 2, 0

    def failed(self, now: float, reason: str) -> bool:
        """Note a failure; return True where the sink tripped by it."""
        self.failures += 1
        if self.state is SinkState.RUNNING and self.failures < TRIP_AFTER:
            return False
        tripped = self.state is SinkState.RUNNING
        if self.state is not SinkState.PAUSED:
            self.state, self.reason, self._ramp = SinkState.TRIPPED, reason, 1
        self.probe_at = now + _PROBES[min(max(0, self.failures - TRIP_AFTER), len(_PROBES) - 1)]
        return tripped

    def is_ordered(self, state: SinkState, *, later: bool) -> bool:
        """Say whether a stored state is an operator's word: a pause, its end, or "running" written later than our trip."""
        if state is self.state:
            return False
        return SinkState.PAUSED in (state, self.state) or (state is SinkState.RUNNING and later)

    def ordered(self, state: SinkState) -> None:
        """Take an operator's word: paused, or running again."""
        if state is SinkState.RUNNING and self.state is not SinkState.RUNNING:
            self.failures, self.reason, self._ramp = 0, None, 1
        self.state = state


class Pace:
    """At most so many sends a second, and none before a moment that the other side named."""

    def __init__(self, rate: float | None, now: Callable[[], float]) -> None:
        """`now` is any clock in seconds that does not step back."""
        self._gap = 1 / rate if rate else 0.0
        self._now = now
        self._free_at = 0.0

    def wait(self) -> float:
        """Return the seconds until the next send may start."""
        return max(0.0, self._free_at - self._now())

    def sent(self) -> None:
        """Note that a send starts now."""
        self._free_at = max(self._free_at, self._now()) + self._gap

    def hold(self, seconds: float) -> None:
        """Start nothing for so long."""
        self._free_at = max(self._free_at, self._now() + seconds)
