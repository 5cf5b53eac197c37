"""The labelled corpus: its size, its figures as the page says them, and how a corpus is scored."""

import json
import re
from pathlib import Path

import pytest

from receiver.contract.errors import UsageError
from receiver.redact.score import Label, corpus, scored

ROOT = Path(__file__).parents[3]
OURS = ROOT / "fixtures" / "redaction"
PAGE = (ROOT / "docs" / "redaction.md").read_text("utf-8")


def test_the_corpus_is_large_and_honest() -> None:
    """At least 500 turns, none twice, at least 40 % with nothing to mask, every label inside its text."""
    turns = corpus(OURS)
    assert len(turns) >= 500
    assert len({turn.text for turn in turns}) == len(turns)
    assert sum(not turn.spans for turn in turns) >= 0.4 * len(turns)
    assert all(0 <= one.start < one.end <= len(turn.text) for turn in turns for one in turn.spans)


def test_the_page_says_what_is_measured() -> None:
    """Precision and recall of each kind stand in docs/redaction.md as they are."""
    scores, faults = scored(corpus(OURS))
    figures = [
        (one.kind, str(one.labelled), str(one.found), f"{one.recall:.3f}", str(one.wrong), f"{one.precision:.3f}")
        for one in scores
    ]
    assert (
        re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|$", PAGE, re.MULTILINE) == figures
    )
    assert f"{len(corpus(OURS))} made-up turns" in PAGE
    assert len([one for one in faults if one.what == "missed"]) == sum(one.labelled - one.found for one in scores)


def test_half_a_value_is_not_found(tmp_path: Path) -> None:
    """A value counts when nothing of it is left; a mask elsewhere is wrong; of another kind too."""
    label = {"kind": "card", "start": 0, "end": 21}
    rows = [
        {"text": "4111111111111111 and x", "spans": [label]},
        {"text": "ann@example.com", "spans": [{"kind": "phone", "start": 0, "end": 15}]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    scores, faults = scored(corpus(tmp_path))
    card, phone, email = scores
    assert (card.labelled, card.found, card.recall, card.precision) == (1, 0, 0.0, 1.0)
    assert (phone.recall, phone.precision, email.recall, email.precision) == (0.0, 1.0, 1.0, 0.0)
    assert [(one.kind, one.what) for one in faults] == [("card", "missed"), ("phone", "missed"), ("email", "wrong")]
    assert corpus(tmp_path)[0].spans == (Label("card", 0, 21),)


@pytest.mark.parametrize(
    "content", ["{", '{"text": 1}', '{"text": "x", "spans": [{"kind": "fax", "start": 0, "end": 1}]}']
)
def test_a_corpus_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    """File and line are told; so is a folder without turns."""
    with pytest.raises(UsageError, match="holds no turns"):
        corpus(tmp_path)
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(UsageError, match=r"a\.jsonl:1: "):
        corpus(tmp_path)
