"""SQL as text: names and sentences."""

import sys
from pathlib import Path

import pytest

from receiver.store import sql
from receiver.store.listing import is_state


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


def test_a_name_stands_in_one_file(package: Path) -> None:
    """Files of one package share their names."""
    (package / "a.sql").write_text("-- one: Says one.\nSELECT 1;\n")
    (package / "b.sql").write_text("-- two: Says two.\nSELECT 2;\n")
    assert sql.load_all("sql_of_test") == {"one": "SELECT 1", "two": "SELECT 2"}
    (package / "c.sql").write_text("-- two: Says two again.\nSELECT 2;\n")
    with pytest.raises(ValueError, match="two stands in another file too"):
        sql.load_all("sql_of_test")


def test_rows_of_parameters() -> None:
    """As many as there are."""
    assert sql.rows(2, 3) == "(?,?,?),(?,?,?)"


def test_what_only_sqlite_needs_stands_in_a_comment() -> None:
    """It is part of a condition there, and none elsewhere."""
    condition = is_state("d.state", "dead", "delivered")
    assert (
        sql.for_sqlite([condition, "TRUE"]).replace("  ", " ") == "d.state = 'dead' AND d.state <> 'delivered' AND TRUE"
    )
    assert condition.partition("/*")[0].rstrip() == "d.state = 'dead'"
    assert is_state("d.state", "delivered", "delivered") == "d.state = 'delivered'"
