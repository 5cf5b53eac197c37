"""What commands print: tables for people, JSON lines for programs."""

import json
from typing import Any

import pytest

from receiver.cli.output import cell, show, show_one

ROWS: list[dict[str, Any]] = [
    {"id": "rcp_" + "x" * 200, "said": "[bold]a[/bold] <!channel>\n\x1b[2Jb", "n": 1, "extra": None},
    {"id": "rcp_2"},
]


def test_a_table_has_the_columns_and_cuts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the width, ids stay whole when nothing is a terminal; markup and control characters are inert."""
    show(ROWS, ["id", "said", "n"], as_json=False)
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "said", "n"]
    assert first.startswith("rcp_" + "x" * 200)
    assert "[bold]a[/bold] <!channel> �[2Jb" in first
    assert second.split() == ["rcp_2", "-", "-"]


def test_json_lines_hold_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is one line with all members, shown or not."""
    show(iter(ROWS), ["id"], as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    """One thing is its members, or one line of JSON."""
    show_one({"id": "a", "state": None}, as_json=False)
    show_one({"id": "a"}, as_json=True)
    show_one({}, as_json=False)
    assert capsys.readouterr().out == 'id     a\nstate  -\n{"id":"a"}\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (False, "no"), (1.5, "1.5"), ([1, "a"], '[1,"a"]'), ("a\tb\x9b", "a b�")],
)
def test_cells(value: object, text: str) -> None:
    """Every value is one line."""
    assert cell(value) == text
