"""SQL as text: names, sentences, and that every query is one the database can plan."""

import contextlib
import re
import sqlite3
import sys
from pathlib import Path

import pytest
from kept import kept_in

from receiver.store import sql
from receiver.store.opening import PACKAGE
from receiver.testing.store import Clock

QUERIES = sql.load(PACKAGE, "queries.sql")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a package to write SQL into."""
    folder = tmp_path / "sql_of_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sql_of_test", raising=False)
    return folder


def test_queries_are_read_by_name(package: Path) -> None:
    """Comments of the file are skipped, lines of a query are kept, the semicolon is not."""
    (package / "q.sql").write_text(
        "-- About all.\n\n-- one: Says one.\nSELECT\n    1;\n\n-- two: Says two.\n-- why\nSELECT 2;\n"
    )
    assert sql.load("sql_of_test", "q.sql") == {"one": "SELECT\n    1", "two": "SELECT 2"}


@pytest.mark.parametrize(
    ("text", "told"), [("SELECT 1;", "before the first name"), ("-- a: A.\nSELECT 1;\n-- a: B.\n", "a stands twice")]
)
def test_what_has_no_name_is_refused(package: Path, text: str, told: str) -> None:
    """Every query has a name of its own."""
    (package / "q.sql").write_text(text)
    with pytest.raises(ValueError, match=told):
        sql.load("sql_of_test", "q.sql")


def test_rows_of_parameters() -> None:
    """As many as there are."""
    assert sql.rows(2, 3) == "(?,?,?),(?,?,?)"


@pytest.mark.parametrize("name", QUERIES)
async def test_every_query_can_be_planned(tmp_path: Path, name: str) -> None:
    """Tables, columns and functions are there."""
    async with kept_in(tmp_path / "store.db", Clock()):
        pass
    text = QUERIES[name].replace("{where}", "1")
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        if "{rows}" in text:
            columns = re.search(r"\(([a-z_, ]+)\)", text)
            assert columns is not None
            width = columns[1].count(",") + 1
            connection.execute("EXPLAIN " + text.replace("{rows}", sql.rows(2, width)), [0] * 2 * width)
        else:
            connection.execute("EXPLAIN " + text, dict.fromkeys(re.findall(r":([a-z_0-9]+)", text), 0))
