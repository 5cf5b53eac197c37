"""A query in the words of FTS5: everything typed stands between quotation marks, where nothing has a meaning."""

from collections.abc import Sequence

from receiver.store.query import Query, Term


def match(query: Query | None, tags: Sequence[str]) -> str:
    """Return the text for MATCH: words among what was said, tags among the tags. One of both must be there."""
    parts = [f"text : ({_said(query)})"] if query else []
    parts += [f'tags : "{tag}"' for tag in tags]
    return " AND ".join(f"({part})" for part in parts)


def _said(query: Query) -> str:
    wanted = " AND ".join(f"({_any(group)})" for group in query.groups)
    return f"({wanted}) NOT ({_any(query.without)})" if query.without else wanted


def _any(terms: Sequence[Term]) -> str:
    return " OR ".join(_term(term) for term in terms)


def _term(term: Term) -> str:
    quoted = '"' + term.words.replace('"', '""') + '"'
    return f"{quoted} *" if term.prefix else quoted
