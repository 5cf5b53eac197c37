"""Full text on PostgreSQL: what was said and what is looked for, cut into the same words, and the words found marked.

Words are runs of letters and digits, in small letters and, where they are Latin, without accents: as SQLite's index has
them. The database's own parsers are not asked: they read addresses and numbers their own way, and go by the locale of the database.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

from receiver.store.query import Query, Term
from receiver.store.snippet import BEGIN, END

_ACCENTS = "\u0300-\u036f"
_ACCENT = re.compile(f"[{_ACCENTS}]+")
_WORD = re.compile(r"[^\W_]+")
_LONGEST = 500
"""Characters of a word; the database takes 2,046 bytes."""
_UNKEPT = re.compile("[\0\ud800-\udfff]")
_WHO = 5
"""From where a row of the index has texts: who said it, as what, how; the tags; what was said."""


class _Folded(dict[int, str]):
    """Each character as it is compared; one stays one, so that places in a text stay what they are."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        small = "\u03c3" if char == "\u03c2" else char.lower()  # a sigma at the end of a word is one too
        whole = unicodedata.normalize("NFD", small)
        if "LATIN" in unicodedata.name(whole[0], "") and all(map(_ACCENT.fullmatch, whole[1:])):
            small = whole[0]
        self[code] = folded = small if len(small) == 1 else char
        return folded


_FOLDED = _Folded()


def words(text: str) -> list[str]:
    """Cut a text into words."""
    return [word[:_LONGEST] for word in _WORD.findall(_ACCENT.sub("", text.translate(_FOLDED)))]


def match(query: Query | None, tags: Sequence[str]) -> str:
    """Return a query as a tsquery: words among what was said, tags among the tags. One of both must be there."""
    parts = [_said(query)] if query else []
    return " & ".join([*parts, *map(_tag, tags)])


def indexed(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return rows of the index with the words that the database looks in, in place of the tags."""
    return [(*row[:_WHO], *map(_kept, row[_WHO:-2]), _vector(str(row[-1]), str(row[-2])), row[-1]) for row in rows]


class Marking:
    """Marks the words of a query in texts."""

    def __init__(self, query: Query) -> None:
        wanted = [words(term.words) + ["*"] * term.prefix for term in chain.from_iterable(query.groups)]
        found = "|".join(_pattern(one) for one in sorted(wanted, key=lambda one: -len("".join(one))))
        self._found = re.compile(rf"(?<![^\W_])(?<![{_ACCENTS}])(?:{found})")

    def __call__(self, text: str) -> str:
        """Return a text with marks around the words."""
        pieces, at = [], 0
        for one in self._found.finditer(text.translate(_FOLDED)):
            pieces += [text[at : one.start()], BEGIN, text[one.start() : one.end()], END]
            at = one.end()
        return "".join([*pieces, text[at:]])


def _vector(text: str, tags: str) -> str:
    """Return a tsvector: each word with its places, and each tag, which no word is like."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(words(text), 1):
        places.setdefault(word, []).append(place)
    said = (f"{word}:{','.join(map(str, found))}" for word, found in places.items())
    return " ".join([*said, *map(_tag, tags.split())])


def _said(query: Query) -> str:
    wanted = " & ".join(f"({_any(group)})" for group in query.groups)
    return f"{wanted} & !({_any(query.without)})" if query.without else wanted


def _any(terms: Sequence[Term]) -> str:
    return " | ".join(_term(term) for term in terms)


def _term(term: Term) -> str:
    beside = " <-> ".join(f"'{word}'" for word in words(term.words))
    return f"({beside}{':*' if term.prefix else ''})"


def _tag(tag: str) -> str:
    return f"'={tag}'"


def _pattern(wanted: Sequence[str]) -> str:
    """Return what finds words beside each other; a star at their end lets the last one go on."""
    *whole, last = wanted
    open_end = last == "*"
    said = whole if open_end else wanted
    beside = r"[\W_]+".join(rf"[{_ACCENTS}]*".join(re.escape(char) for char in word) for word in said)
    return rf"{beside}(?:[^\W_]|[{_ACCENTS}])*" if open_end else rf"{beside}[{_ACCENTS}]*(?![^\W_])"


def _kept(value: object) -> object:
    """Return a text without what PostgreSQL cannot keep in one."""
    return _UNKEPT.sub("\ufffd", value) if isinstance(value, str) else value
