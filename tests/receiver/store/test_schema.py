"""What the migrations make of an empty store is the schema that is written down."""

from pathlib import Path

import pytest
from postgres_server import database, needs_postgres
from schemas import POSTGRES, RENEW, SQLITE, Schema, differences, of_postgres, of_sqlite, write, written


def _same(path: Path, found: Schema) -> None:
    if told := differences(written(path), found):
        lines = "\n".join(told)
        pytest.fail(f"{path.name} is not what the migrations make (+ is made, - is written):\n{lines}\nrenew: {RENEW}")


async def test_migrations_make_the_schema_of_sqlite(tmp_path: Path) -> None:
    """Every table, column, index and trigger, of the store and of the quarantine."""
    _same(SQLITE, await of_sqlite(tmp_path))


@needs_postgres
async def test_migrations_make_the_schema_of_postgres() -> None:
    """Every table, column, default, constraint, index, trigger, function and sequence."""
    with database() as url:
        _same(POSTGRES, await of_postgres(url))


def test_a_schema_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The file holds all of it."""
    schema = {"table b": ["id bigint NOT NULL", "index b_id"], "sequence a": ["bigint"]}
    write(tmp_path / "schema.txt", schema)
    assert written(tmp_path / "schema.txt") == schema


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"table a": ["id bigint", "name text"]}, []),
        (
            {"table a": ["id bigint", "name text NOT NULL"]},
            ["  table a", "-     name text", "+     name text NOT NULL"],
        ),
        ({"table a": ["name text", "id bigint"]}, ["  table a: in another order"]),
        ({}, ["- table a", "-     id bigint", "-     name text"]),
        ({"table a": ["id bigint", "name text"], "table b": ["id bigint"]}, ["+ table b", "+     id bigint"]),
    ],
)
def test_differences_are_told_object_by_object(found: Schema, told: list[str]) -> None:
    """What is missing, what is more, what changed."""
    assert differences({"table a": ["id bigint", "name text"]}, found) == told
