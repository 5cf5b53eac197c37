"""Queries: what people type is read as words, whatever it is, or refused with the reason."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.errors import UsageError
from receiver.store.query import LONGEST, MOST, Query, Term, read
from receiver.store.sqlite.match import match


def words(*texts: str) -> Query:
    """Return a query for single words."""
    return Query(tuple((Term(text),) for text in texts))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("refund", words("refund")),
        ("  a\tb ", words("a", "b")),
        ('"last week" x', words("last week", "x")),
        ("“last week”", words("last week")),
        ("can*", Query(((Term("can", prefix=True),),))),
        ('"last we"*', Query(((Term("last we", prefix=True),),))),
        ("a OR b c", Query(((Term("a"), Term("b")), (Term("c"),)))),
        ("a OR b OR c*x", Query(((Term("a"), Term("b"), Term("c*x")),))),
        ('a -b -"c d"', Query(((Term("a"),),), (Term("b"), Term("c d")))),
        ("NEAR(a b) AND or NOT", words("NEAR(a", "b)", "AND", "or", "NOT")),
        ("text:x {tags}:y ^z", words("text:x", "{tags}:y", "^z")),
        ("don't", words("don't")),
        ("你好", words("你好")),
    ],
)
def test_what_is_typed(text: str, query: Query) -> None:
    """Words, phrases, beginnings, one of several, and what is left out; nothing else has a meaning."""
    assert read(text) == query


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a word"),
        ("   ", "expected a word"),
        ("-a", "not only what to leave out"),
        ('"', "quotation mark"),
        ('a "b', "quotation mark"),
        ('a"b', "quotation mark"),
        ('"a"b', "quotation mark"),
        ("*", "no letter"),
        ("!!!", "no letter"),
        ('""', "no letter"),
        ("---", "no letter"),
        ("a*", "2 letters"),
        ("foo-b*", "2 letters"),
        ("OR a", "OR stands"),
        ("a OR", "OR stands"),
        ("a OR OR b", "OR stands"),
        ("a OR -b", "OR stands"),
        ("a\x00b", "no text"),
        ("a\ud800", "no text"),
        ("a" * (LONGEST + 1), "500 characters"),
        (" ".join(["a"] * (MOST + 1)), "20 words"),
    ],
)
def test_what_cannot_be_looked_for(text: str, told: str) -> None:
    """Each with the reason, and the parameter's name."""
    with pytest.raises(UsageError, match=rf"^q: .*{told}"):
        read(text)


@given(st.text(st.sampled_from("ab\"*-^:(){}+ORNEAT' \t\\,;%_\x00é中"), max_size=40))
def test_the_index_takes_whatever_is_read(text: str) -> None:
    """A query that was read is never an error of the index, nor does it reach the tags."""
    index = sqlite3.connect(":memory:")
    index.execute("CREATE VIRTUAL TABLE words USING fts5(text, tags)")
    index.execute("INSERT INTO words VALUES ('a b ab', 'secret')")
    try:
        query = read(text)
    except UsageError:
        return
    index.execute("SELECT * FROM words WHERE words MATCH ?", (match(query, ["secret"]),)).fetchall()
    index.close()


def test_tags_are_apart_from_words() -> None:
    """Nothing typed finds a tag, and a tag is no word that was said."""
    assert match(read("a"), ["t1"]) == '(text : (("a"))) AND (tags : "t1")'
    assert match(None, ["t1", "t2"]) == '(tags : "t1") AND (tags : "t2")'
    assert match(read('a OR x -b "c de"*'), []) == '(text : ((("a" OR "x") AND ("c de" *)) NOT ("b")))'
