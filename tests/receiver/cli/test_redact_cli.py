"""`hookscribe redact`: a text masked, and the figures of a corpus."""

import json
from pathlib import Path

import pytest

from receiver import cli
from receiver.cli import redact as command

TEXT = "Call 212-736-5000, card four one one one one one one one one one one one one one one one.\n"


def test_a_text_is_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text goes to standard output, what was masked to standard error."""
    file = tmp_path / "said.txt"
    file.write_text(TEXT)
    assert cli.run(["redact", str(file)]) == 0
    assert capsys.readouterr() == ("Call [phone], card [card].\n", "phone: 1 masked\ncard: 1 masked\n")
    assert cli.run(["redact", str(file), "--kinds", "card", "--regions", "ES,DE"]) == 0
    assert capsys.readouterr().out.startswith("Call 212-736-5000, card [card].")


def test_the_corpus_is_scored(capsys: pytest.CaptureFixture[str]) -> None:
    """A row a kind; with --faults a row for each value missed and each mask too many; JSON for programs."""
    assert cli.run(["redact", "--score"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["kind", "labelled", "found", "recall", "wrong", "precision"]
    assert [row.split()[0] for row in rows] == ["card", "phone", "email"]
    assert cli.run(["redact", "--score", "--json"]) == 0
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert cli.run(["redact", "--score", "--faults", "--json"]) == 0
    faults = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(faults) == sum(one["labelled"] - one["found"] + one["wrong"] for one in figures)


def test_another_corpus_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of one's own."""
    turn = {"text": "ann@example.com", "spans": [{"kind": "email", "start": 0, "end": 15}]}
    (tmp_path / "ours.jsonl").write_text(json.dumps(turn))
    assert cli.run(["redact", "--json", "--score", str(tmp_path)]) == 0
    email = json.loads(capsys.readouterr().out.splitlines()[2])
    assert (email["labelled"], email["found"], email["recall"], email["precision"]) == (1, 1, "1.000", "1.000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a FILE, or - for standard input; --score needs none"),
        (["FILE", "--kinds", "card,fax"], "--kinds: fax is none of card, phone, email"),
        (["FILE", "--kinds", ""], "--kinds: nothing is to be masked"),
        (["FILE", "--regions", "US,gb"], "--regions: 'gb' is no country with telephone numbers"),
        (["--score", "FOLDER"], "holds no turns: it needs files NAME.jsonl"),
        (["BYTES"], "the file is not UTF-8 at byte 1"),
        (["LONG"], "the file is longer than 100 bytes"),
    ],
)
def test_wrong_use(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    """Each is told, with exit code 2."""
    monkeypatch.setattr(command, "_MOST", 100)
    (tmp_path / "FILE").write_text("x")
    (tmp_path / "BYTES").write_bytes(b"x\xff")
    (tmp_path / "LONG").write_bytes(b"x" * 101)
    placed = [str(tmp_path / one) if one.isupper() else one for one in arguments]
    assert cli.run(["redact", *placed]) == 2
    assert message in capsys.readouterr().err
