"""Ids: 64-bit integers in order of time inside the store, a prefix and 13 letters outside.

41 bits of milliseconds since 2024, 10 bits of the process that made it, 12 bits of a counter; so rows are appended
where their index is warm, and several processes never make the same one.
"""

import re
from collections.abc import Callable

from receiver.contract.errors import NotFound

EPOCH_MS = 1_704_067_200_000
"""2024-01-01 in Unix milliseconds."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_LENGTH = 13

RECEIPT = "rcp_"
TRANSCRIPT = "trn_"
CALL = "call_"
EVENT = "evt_"
DELIVERY = "dlv_"
ATTEMPT = "att_"
JOB = "job_"
QUARANTINED = "qrn_"
TOKEN = "tok_"  # noqa: S105 -- how ids of tokens begin
AUDIT = "aud_"
_PREFIXES = (RECEIPT, TRANSCRIPT, CALL, EVENT, DELIVERY, ATTEMPT, JOB, QUARANTINED, TOKEN, AUDIT)


class Ids:
    """Makes ids that grow with time, also where the clock steps back."""

    __slots__ = ("_last", "_now", "_process")

    def __init__(self, now: Callable[[], float], process: int) -> None:
        """`now` is Unix time in seconds; `process` the number of this start, of which the low 10 bits count."""
        self._now = now
        self._process = process & 0x3FF
        self._last = 0

    def become(self, process: int) -> None:
        """Make ids of another start from now on."""
        self._process = process & 0x3FF
        self._last = 0

    def next(self) -> int:
        """Return the next id."""
        moment = int(self._now() * 1000) - EPOCH_MS
        first = (moment << 22) | (self._process << 12)
        last = self._last
        if first > last:
            made = first
        elif (last + 1) & 0xFFF:
            made = last + 1
        else:
            made = ((last >> 22) + 1 << 22) | (self._process << 12)
        self._last = made
        return made


def encode(prefix: str, number: int) -> str:
    """Write an id the way the outside sees it: `rcp_01h2…`; the letters sort like the numbers."""
    return (
        f"{prefix}{_ALPHABET[number >> 60 & 31]}{_PAIRS[number >> 50 & 1023]}{_PAIRS[number >> 40 & 1023]}"
        f"{_PAIRS[number >> 30 & 1023]}{_PAIRS[number >> 20 & 1023]}{_PAIRS[number >> 10 & 1023]}{_PAIRS[number & 1023]}"
    )


def decode(prefix: str, text: str) -> int:
    """Read an id. Raises NotFound for what is none of this kind."""
    letters = text.removeprefix(prefix)
    if not text.startswith(prefix) or len(letters) != _LENGTH or not _VALUES.keys() >= set(letters):
        raise NotFound(f"{text[:40]!r} is no id of the form {prefix}… with {_LENGTH} letters and digits")
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    if number >= 1 << 63:
        raise NotFound(f"{text[:40]!r} is no id of ours")
    return number


def pattern(prefix: str) -> str:
    """Return what ids of a kind look like, as a regular expression."""
    return f"^{prefix}[0-7][{_ALPHABET}]{{{_LENGTH - 1}}}$"


def is_one(text: str) -> bool:
    """Say whether a text has the form of an id of ours, of whatever kind."""
    return any(re.fullmatch(pattern(prefix), text) for prefix in _PREFIXES if text.startswith(prefix))


def at(milliseconds: int) -> int:
    """Return the lowest id that could be made at a moment (Unix milliseconds): the bound of a range of time."""
    return min(max(0, milliseconds - EPOCH_MS) << 22, (1 << 63) - 1)


def moment(number: int) -> int:
    """Return when an id was made, Unix milliseconds."""
    return (number >> 22) + EPOCH_MS
