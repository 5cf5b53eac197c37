"""What a provider's code returned, looked at before anything is made of it."""

from collections.abc import Iterator
from typing import Any

from receiver.contract.errors import Unreadable, UsageError
from receiver.contract.model import Notice, Outcome, Result

_LONGEST_NAME = 1000


def checked(said: Any) -> tuple[Outcome, ...]:
    """Return what a provider's code returned, where it is what it should be. Raises Unreadable.

    Names must be such that they are found again: SQLite ends texts in JSON at a NUL, and an index has its limits.
    """
    if not isinstance(said, tuple) or not all(isinstance(outcome, Outcome) for outcome in said):
        raise Unreadable("the normalizer returned something else than a tuple of outcomes")
    for outcome in said:
        for member, name in _names(outcome):
            if not isinstance(name, str) or not _is_name(name):
                raise Unreadable(f"{member} is no text, holds a NUL, or is longer than {_LONGEST_NAME} characters")
    return said


def check_name(what: str, name: str | None) -> None:
    """Raise UsageError for the name of something that somebody asks for, where it cannot be kept as one."""
    if name is not None and not (name and _is_name(name)):
        raise UsageError(f"{what} is a text of 1 to {_LONGEST_NAME} characters, without a NUL")


def _is_name(text: str) -> bool:
    return "\0" not in text and len(text) <= _LONGEST_NAME


def _names(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    if isinstance(outcome, Notice):
        yield "name", outcome.name
    else:
        yield "job_id", outcome.job_id
    if isinstance(outcome, Result):
        yield "operation", outcome.operation
    if isinstance(outcome, Result | Notice) and outcome.call is not None:
        yield "call.external_id", outcome.call.external_id or ""
