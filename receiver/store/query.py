"""What people type into a search box, read as words: `refund "last week" cancel* -test invoice OR bill`.

Words stand side by side and must all be there; OR joins two into one of which any will do; a minus leaves out; a star at
the end of a word takes all that begin so. Each engine puts what was read into its own words; nothing typed reaches it as is.
"""

import re

import msgspec

from receiver.contract.errors import UsageError

LONGEST = 500
"""Characters."""
MOST = 20
"""Words and phrases."""
_SHORTEST_PREFIX = 2
_PIECE = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+?))(?P<star>\*?)(?=\s|$)\s*')
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})


class Term(msgspec.Struct, frozen=True):
    """Words that stand beside each other; `prefix`: the last of them may go on."""

    words: str
    prefix: bool = False


class Query(msgspec.Struct, frozen=True):
    """One term of each of `groups`, and none of `without`."""

    groups: tuple[tuple[Term, ...], ...]
    without: tuple[Term, ...] = ()


def read(text: str) -> Query:
    """Read a query. Raises UsageError, which says what is wrong with it."""
    groups: list[tuple[Term, ...]] = []
    without: list[Term] = []
    joins = False
    for piece in _pieces(text):
        if piece["word"] == "OR" and not piece["minus"] and not piece["star"]:
            if joins or not groups:
                raise UsageError("q: OR stands between two words")
            joins = True
            continue
        term = _term(piece)
        if piece["minus"]:
            without.append(term)
        elif joins:
            groups[-1] = (*groups[-1], term)
        else:
            groups.append((term,))
        if joins and piece["minus"]:
            raise UsageError("q: OR stands between two words; what is left out with - cannot be one of them")
        joins = False
    return _checked(groups, without, joins=joins)


def _pieces(text: str) -> list[re.Match[str]]:
    text = text.translate(_QUOTES).strip()
    if len(text) > LONGEST:
        raise UsageError(f"q: {LONGEST} characters are the most")
    if any(ord(char) < 32 and not char.isspace() for char in text) or re.search("[\ud800-\udfff]", text):
        raise UsageError("q: there are characters in it that are in no text")
    found, at = [], 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise UsageError('q: a quotation mark stands alone; a phrase is "between two"')
        found.append(piece)
        at = piece.end()
    return found


def _term(piece: re.Match[str]) -> Term:
    words = piece["word"] if piece["phrase"] is None else piece["phrase"]
    pieces = re.findall(r"[^\W_]+", words)
    if not pieces:
        raise UsageError(f"q: {words[:40]!r} has no letter and no digit to look for")
    if piece["star"] and len(pieces[-1]) < _SHORTEST_PREFIX:
        raise UsageError(f"q: {words[:40]!r}* would find too much; {_SHORTEST_PREFIX} letters are the least before a *")
    return Term(words, bool(piece["star"]))


def _checked(groups: list[tuple[Term, ...]], without: list[Term], *, joins: bool) -> Query:
    if joins:
        raise UsageError("q: OR stands between two words")
    if not groups:
        raise UsageError("q: expected a word to look for" + (", not only what to leave out" if without else ""))
    if sum(map(len, groups)) + len(without) > MOST:
        raise UsageError(f"q: {MOST} words and phrases are the most")
    return Query(tuple(groups), tuple(without))
