"""The SQL of both engines: the same names, and on PostgreSQL every query is one that the database can plan."""

import re

import psycopg
import pytest
from postgres_server import database, needs_postgres

from receiver.store import sql
from receiver.store.opening import PACKAGE as SQLITE
from receiver.store.postgres.engine import FILES, PostgresEngine
from receiver.store.postgres.engine import PACKAGE as POSTGRES

SHARED = sql.load(POSTGRES, "shared.sql")
OURS = {name: text for file in FILES for name, text in sql.load(POSTGRES, file).items() if name not in SHARED}


def test_both_engines_know_the_same_queries() -> None:
    """A verb is written once: what one engine is asked, the other must know."""
    theirs = sql.load_all(SQLITE)
    lacks = sorted(theirs.keys() - OURS.keys())
    assert not lacks, (
        f"receiver/store/postgres lacks {', '.join(lacks)}: write each there under the same name, with "
        "`= ANY(:ids::bigint[])` for a list, `unnest(:id::bigint[], …)` for `{rows}` and for what run_many is given, "
        "RETURNING and ON CONFLICT as on SQLite; tables and columns come by a new file in receiver/store/postgres/migrations"
    )
    more = sorted(OURS.keys() - theirs.keys())
    assert not more, f"receiver/store/sqlite lacks {', '.join(more)}; what only PostgreSQL has is in shared.sql"


@needs_postgres
async def test_every_query_is_explained() -> None:
    """Tables, columns, types and functions are there, and the planner has a plan, whatever the parameters."""
    with database() as url:
        engine = PostgresEngine(url)
        await engine.migrate()
        await engine.close()
        faults = []
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET plan_cache_mode = force_generic_plan")
            for file in (*FILES, "quarantine.sql"):
                for name, text in sql.load(POSTGRES, file).items():
                    whole = text.replace("{where}", "TRUE")
                    for number, parameter in enumerate(sql.names(whole), 1):
                        whole = re.sub(rf"(?<!:):{parameter}\b", f"${number}", whole)
                    nulls = f"({', '.join(['NULL'] * len(sql.names(text)))})" if sql.names(text) else ""
                    try:
                        connection.execute(f"PREPARE {name} AS {whole}".encode())
                        connection.execute(f"EXPLAIN EXECUTE {name}{nulls}".encode())
                    except psycopg.Error as error:
                        faults.append(f"{name}: {error}")
        assert faults == []


@pytest.mark.parametrize(
    ("text", "names", "for_client"),
    [
        ("SELECT :a, :b::text, :a", ["a", "b"], "SELECT %(a)b, %(b)b::text, %(a)b"),
        ("x LIKE '%.failed'", [], "x LIKE '%%.failed'"),
        ("'{}'::bigint[]", [], "'{}'::bigint[]"),
    ],
)
def test_parameters_for_psycopg(text: str, names: list[str], for_client: str) -> None:
    """Names become the client's; casts and percent signs stay what they are."""
    assert (sql.names(text), sql.for_psycopg(text)) == (names, for_client)
