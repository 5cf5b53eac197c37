"""What a detector finds: a kind of value, where it stands in a text, and the value itself in one writing."""

import time

import msgspec

from receiver.contract.errors import Overloaded


class Span(msgspec.Struct, frozen=True, order=True, gc=False):
    """One value in a text: characters `start` to `end`; `value` tells different values of a kind apart."""

    start: int
    end: int
    kind: str
    value: str


class TooSlow(Overloaded):
    """Redaction took longer than its time."""


class Deadline:
    """A time that work must not pass."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises TooSlow where none are."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TooSlow
        return left
