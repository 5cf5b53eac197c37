"""Full text of PostgreSQL: the same words as SQLite's, found by the same queries, and marked in the same places."""

from pathlib import Path

from both_engines import kept_on
from kept import normalized, result
from postgres_server import needs_postgres

from receiver.pipeline.indexing import Indexing
from receiver.store.lists import Lists
from receiver.store.postgres.words import Marking, indexed, match, words
from receiver.store.query import read
from receiver.testing.store import Clock

SAID = (
    "Cafés and the café's bill",
    "decomposed cafe\u0301 here",
    "last-week, or last week; the last  week",
    "snake_case and don't",
    "write to a.b@example.com or see https://example.com/a-b?c=1",
    "it was 1,200.50 on 2024-11-20, number 12abc and -5",
    "ΟΔΟΣ οδος Ελλάδα",
    "İstanbul Straße STRASSE",
    "ёлка Ёж",
    "東京 から 서울 한국어",
    "<b>bold</b> &amp; 'quoted' \\ back:slash * star",
    "😀 smile 😀smile",
    "½ x² ﬁne",
    "w" * 700,
)
ASKED = (
    "cafe", "cafes", "caf*", "café*", "bill -cafe", '"the cafe"', '"cafe s"', "last-week", '"last week"', '"last we"*', "week",
    "snake_case", "case", "don't", "dont", "t", "example", "example.com", '"b example"', "https", "1,200.50", "200", "2024-11-20",
    "20*", "12abc", "12", "5", "οδος", "ΟΔΟΣ", "ελλαδα", "Ελλάδα", "istanbul", "straße", "strasse", "елка", "ёлка", "ёж", "東京", "東京*", "한국어", "서울",
    "b", "amp", "quoted", "back:slash", "star", "smile", "½", "x²", "w" * 400, "w" * 400 + "*", "cafe OR smile", "the -bill",
    '"the last" OR straße', "ww*",
)  # fmt: skip


@needs_postgres
async def test_both_engines_find_and_mark_the_same(tmp_path: Path) -> None:
    """Accents, marks between words, numbers, addresses, scripts of all kinds."""
    found = []
    for engine in ("sqlite", "postgresql"):
        async with kept_on(engine, tmp_path, Clock()) as store:
            await normalized(store, [result(f"job-{number}", text=text) for number, text in enumerate(SAID)], [])
            while await Indexing(store).step():
                pass
            search = Lists(store.engine).search
            told = {}
            for text in ASKED:
                items = (await search.segments({"q": text})).items
                told[text] = [(one["job_id"], one["snippet"], one["marks"]) for one in items]
            found.append(told)
    differ = {text: (items, found[0][text]) for text, items in found[1].items() if items != found[0][text]}
    assert differ == {}
    assert sum(map(bool, found[0].values())) > len(ASKED) / 2


def test_what_postgresql_cannot_keep_is_left_out() -> None:
    """A zero in a name that a provider gave does not hold up the index."""
    ((*_, speaker, label, role, mood, vector, text),) = indexed(
        [(1, 2, 3, 0.0, 1.0, "a\0", "\ud800", None, "m", "0q0a", "It is it")]
    )
    assert (speaker, label, role, mood, text) == ("a\ufffd", "\ufffd", None, "m", "It is it")
    assert vector == "it:1,3 is:2 '=0q0a'"


def test_nothing_typed_reaches_the_database_as_it_is() -> None:
    """Quotes and operators are no part of words; those that are too long are cut alike."""
    assert match(read("a'b\\ cd:*"), ["0q0a"]) == "(('a' <-> 'b')) & (('cd':*)) & '=0q0a'"
    assert words("x" * 900) == ["x" * 500]
    assert Marking(read("nothing"))("as it was") == "as it was"
