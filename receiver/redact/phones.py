"""Telephone numbers: written as `phonenumbers` finds them, and said, digit by digit or in groups."""

import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise

import phonenumbers
from phonenumbers import Leniency, PhoneNumber, PhoneNumberMatcher

from receiver.redact.digits import Part, Run
from receiver.redact.found import Deadline, Span

_SHORTEST, _LONGEST = 7, 15
"""Digits of a number with its country's code (ITU-T E.164)."""


def phones(text: str, runs: list[Run], regions: Sequence[str], deadline: Deadline) -> Iterator[Span]:
    """Yield the telephone numbers that are valid in one of the regions, or anywhere after a plus sign."""
    written = sum(len(part.digits) for run in runs for part in run if not part.spoken) >= _SHORTEST
    for region in regions if written else ():
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID, max_tries=1 << 30):
            deadline.left()
            yield Span(match.start, match.end, "phone", _one_writing(match.number))
    for run in runs:
        if _is_said(run) and sum(len(part.digits) for part in run) >= _SHORTEST:
            deadline.left()
            yield from _in_run(run, tuple(regions))


def _is_said(run: Run) -> bool:
    """Say whether digits are words, stand alone, or have a pause between them: what the library does not read."""
    spoken = any(part.spoken for part in run) or any(part.paused for part in run[1:])
    return len(run) > 1 and (spoken or all(len(part.digits) == 1 for part in run))


def _in_run(run: Run, regions: Sequence[str]) -> Iterator[Span]:
    first = 0
    while first < len(run):
        last, number = (None, None) if not run[first].paused else _from(run, first, regions)
        if last is None or number is None:
            first += 1
            continue
        yield Span(run[first].start, run[last].end, "phone", number)
        first = last + 1


def _from(run: Run, first: int, regions: Sequence[str]) -> tuple[int | None, str | None]:
    """Return the last part and the number of the longest one that begins with a part and ends at a pause."""
    ends: list[tuple[int, str]] = []
    digits = ""
    for last, (part, after) in enumerate(pairwise([*run[first:], None]), first):
        assert isinstance(part, Part)
        digits += part.digits
        if len(digits) > _LONGEST or (last > first and part.plus):
            break
        if len(digits) >= _SHORTEST and (after is None or after.paused):
            ends.append((last, digits))
    for last, said in reversed(ends):
        if (number := valid(f"+{said}" if run[first].plus else said, tuple(regions))) is not None:
            return last, number
    return None, None


@functools.lru_cache(1024)
def valid(digits: str, regions: tuple[str, ...]) -> str | None:
    """Return the number in one writing where it is valid in one of the regions, else None."""
    for region in regions:
        try:
            number = phonenumbers.parse(digits, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return _one_writing(number)
    return None


def _one_writing(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
