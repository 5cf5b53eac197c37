"""Score: how much of a labelled corpus is found, and how much of what is found is labelled.

A corpus is a folder of JSON Lines: `{"text", "language", "region", "spans": [{"kind", "start", "end"}], "note"}`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from receiver.contract.errors import UsageError
from receiver.contract.settings import REDACTED_KINDS, RedactedKind, RedactSettings
from receiver.redact.found import Deadline, Span
from receiver.redact.redactor import Redactor, Rules

SECONDS = 600.0


class Label(msgspec.Struct, frozen=True):
    """A value that a person marked in a turn, by its characters."""

    kind: RedactedKind
    start: int
    end: int


class Turn(msgspec.Struct, frozen=True):
    """What somebody said at a stretch, with the values in it."""

    text: str
    spans: tuple[Label, ...]
    language: str = "en"
    region: str = "US"
    note: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one kind; a value counts as found when none of its letters and digits is left."""

    kind: str
    labelled: int
    found: int
    wrong: int
    """Masks where nothing of this kind is labelled."""
    right: int

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.labelled if self.labelled else 1.0


class Fault(msgspec.Struct, frozen=True):
    """A value that was not masked whole (`missed`), or a mask where there is none (`wrong`)."""

    kind: str
    what: str
    note: str
    text: str


def corpus(folder: Path) -> list[Turn]:
    """Read every turn of a folder's files. Raises UsageError where there are none or one cannot be read."""
    turns: list[Turn] = []
    for file in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                turns.append(msgspec.json.decode(line, type=Turn))
            except msgspec.DecodeError as error:
                raise UsageError(f"{file}:{number}: {error}") from None
    if not turns:
        raise UsageError(f"{folder} holds no turns: it needs files NAME.jsonl")
    return turns


def scored(turns: Iterable[Turn]) -> tuple[list[Score], list[Fault]]:
    """Return the figures of each kind, and every value missed and mask too many."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in REDACTED_KINDS}
    faults: list[Fault] = []
    redactors: dict[str, Redactor] = {}
    for turn in turns:
        if turn.region not in redactors:
            redactors[turn.region] = Redactor(Rules(RedactSettings(regions=(turn.region,))), Deadline(SECONDS))
        found = redactors[turn.region].find(turn.text)
        for label in turn.spans:
            whole = _covered(turn.text, label, found)
            counts[label.kind].update(labelled=1, found=whole)
            faults += [] if whole else [Fault(label.kind, "missed", turn.note, turn.text)]
        for one in found:
            right = any(one.kind == label.kind and _touch(one, label) for label in turn.spans)
            counts[one.kind].update(right=right, wrong=not right)
            faults += [] if right else [Fault(one.kind, "wrong", turn.note, turn.text)]
    figures = ("labelled", "found", "right", "wrong")
    return [Score(kind=kind, **{name: count[name] for name in figures}) for kind, count in counts.items()], faults


def _covered(text: str, label: Label, found: Sequence[Span]) -> bool:
    """Say whether nothing of a value that tells anything is left outside of masks of its kind."""
    ours = [one for one in found if one.kind == label.kind]
    return all(
        any(one.start <= at < one.end for one in ours) for at in range(label.start, label.end) if text[at].isalnum()
    )


def _touch(one: Span, other: Label) -> bool:
    return one.start < other.end and other.start < one.end
