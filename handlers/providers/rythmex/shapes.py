"""Finds its way in what Rythmex answers: which part is the result, under which name, in which state.

No page shows an answer. So a result may be the body itself, a member of it, or behind an address; Amazon's own job object
(API_CallAnalyticsJob) is one of the shapes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from handlers.providers.rythmex.settings import RythmexSettings
from receiver.contract.reading import Table, identifier, text

DEEPEST = 3
"""How many members down something is looked for."""
State = Literal["completed", "failed", "pending"]


def is_result(table: Table) -> bool:
    """Say whether an object is a result of Call Analytics: its turns are a list (tca-output-batch)."""
    return isinstance(table.get("Transcript"), list)


def levels(document: Table, depth: int = 0) -> Iterator[tuple[str, Table]]:
    """Yield the document and the objects in it, outermost first, with their dotted paths; nothing inside a result."""
    yield "", document
    if depth < DEEPEST and not is_result(document):
        for key, value in document.items():
            if isinstance(value, dict):
                for path, found in levels(value, depth + 1):
                    yield f"{key}.{path}" if path else key, found


def result_in(document: Table) -> tuple[str, Table] | None:
    """Return the result in a document, with its path, or None."""
    return next(((path, found) for path, found in levels(document) if is_result(found)), None)


def member(document: Table, names: Iterable[str]) -> tuple[Table, str] | None:
    """Return where the first of `names` stands that holds an identifier: outer objects before inner, then by name."""
    for _, table in levels(document):
        for name in names:
            if identifier(table.get(name)) is not None:
                return table, name
    return None


def value_of(document: Table, names: Iterable[str]) -> str | None:
    """Return what stands under the first of `names`."""
    found = member(document, names)
    return identifier(found[0][found[1]]) if found else None


def state_of(document: Table, settings: RythmexSettings) -> tuple[State, str | None]:
    """Say how far an analysis is, and in which word; a result without a word is completed."""
    word = value_of(document, settings.status_members)
    if word is None:
        return ("completed" if result_in(document) else "pending"), None
    folded = word.casefold()
    if folded in {one.casefold() for one in settings.completed_words}:
        return "completed", word
    return ("failed" if folded in {one.casefold() for one in settings.failed_words} else "pending"), word


def address_in(document: Table, settings: RythmexSettings) -> str | None:
    """Return where a result that is not in the answer can be read, or None."""
    found = (text(table.get(name)) for _, table in levels(document) for name in settings.url_members)
    return next((url for url in found if url and url.startswith(("https://", "http://"))), None)


def rows_of(found: Any) -> tuple[list[Table], str | None]:
    """Return a list's rows and the address of its next page: an array, or Django REST Framework's page of `results`."""
    rows = found.get("results") if isinstance(found, dict) else found
    onward = text(found.get("next")) if isinstance(found, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [], onward
