"""Payment cards: runs of digits that begin like an issuer's, are as long, and pass the Luhn check (ISO/IEC 7812-1)."""

from collections.abc import Iterator

from receiver.redact.digits import Run
from receiver.redact.found import Span

_LONGEST = 19
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_MAESTRO = ("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763")


def cards(runs: list[Run]) -> Iterator[Span]:
    """Yield the card numbers of a text's runs of digits."""
    for run in runs:
        if sum(len(part.digits) for part in run) >= 13:
            yield from _in_run(run)


def _in_run(run: Run) -> Iterator[Span]:
    first = 0
    while first < len(run):
        found = _from(run, first)
        if found is None:
            first += 1
            continue
        last, number = found
        yield Span(run[first].start, run[last].end, "card", number)
        first = last + 1


def _from(run: Run, first: int) -> tuple[int, str] | None:
    """Return the last part and the digits of a card that begins with a part."""
    number = ""
    for last in range(first, len(run)):
        number += run[last].digits
        if len(number) > _LONGEST:
            return None
        if len(number) >= 13 and len(number) in lengths(number) and luhn(number):
            return last, number
    return None


def luhn(digits: str) -> bool:
    """Say whether the check digit is right."""
    ends = digits[::-1]
    return (sum(map(int, ends[::2])) + sum(_DOUBLED[int(digit)] for digit in ends[1::2])) % 10 == 0


def lengths(digits: str) -> tuple[int, ...]:
    """Return how long a card that begins so is; nothing where no issuer begins so."""
    two, four = int(digits[:2]), int(digits[:4])
    if digits.startswith(_MAESTRO):
        return (13, 16, 18, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720 or 2200 <= four <= 2204:
        return (16,)
    if two in (34, 37):
        return (15,)
    if two in (36, 38, 39) or 3000 <= four <= 3059:
        return (14, 16, 19)
    if two in (62, 64, 65, 35) or four == 6011:
        return (16, 17, 18, 19)
    return (16, 19) if digits[0] == "4" else ()
