"""E-mail addresses, as they are written and as they are said: "ann dot lee at example dot com"."""

import re
from collections.abc import Iterator

from receiver.redact.found import Span

_LONGEST_LOCAL, _LONGEST_DOMAIN = 320, 320
_AT = re.compile(r"\s?(?:@|[(\[]at[)\]])\s?|[\s,]+(?:at|arroba)\s+", re.IGNORECASE)
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+\Z")
_DOT = r"(?:\s?[(\[](?:dot|punto|punkt)[)\]]\s?|\s+(?:dot|punto|punkt|point)\s+|\.)"
_DOMAIN = re.compile(
    rf"(?:(?:g|hot)\s+mail|[\w-]+)(?:\s+(?:dash|hyphen|guión|guion|minus)\s+[\w-]+)*(?:{_DOT}[\w-]+)+", re.IGNORECASE
)
_LINK = r"(?:dot|punto|punkt|point|underscore|dash|hyphen|minus|plus|guión|guion|unterstrich)"
_FILLER = re.compile(r"(?:[\s,]+(?:uh|um|er|eh|äh))+[\s,]*\Z|[\s,]+\Z", re.IGNORECASE)
_PIECE = r"(?:\w(?:\s\w)+|[\w.+-]+)"
_SAID = re.compile(rf"(?<![\w.])(?:{_PIECE}(?:\s+{_LINK}\s+|\s?[(\[]dot[)\]]\s?))*{_PIECE}\Z", re.IGNORECASE)
_SAID_TLDS = frozenset({
    "com", "org", "net", "edu", "gov", "info", "biz", "io", "co", "uk", "us", "ca", "au", "nz", "ie", "de", "at",
    "ch", "es", "fr", "it", "nl", "be", "pt", "pl", "se", "no", "dk", "fi", "eu", "mx", "ar", "cl", "br", "in", "jp",
    "cn", "museum", "app", "dev", "health", "online", "shop",
})  # fmt: skip
_NOT_NAMES = frozenset({
    "us", "me", "it", "is", "be", "look", "looking", "find", "website", "site", "page", "online", "available",
    "store", "shop", "and", "here", "there", "are", "was", "arrive", "live", "visit", "go", "shopping", "order",
    "ordered", "bought", "working", "work", "works",
})  # fmt: skip
"""Words that stand before "at example dot com" where a page is meant, not a mailbox."""


def emails(text: str) -> Iterator[Span]:
    """Yield the e-mail addresses of a text."""
    done = 0
    for at in _AT.finditer(text):
        if at.start() < done:
            continue
        found = _around(text, at, done)
        if found is not None:
            done = found.end
            yield found


def _around(text: str, at: re.Match[str], done: int) -> Span | None:
    sign = "@" in at[0] or "(" in at[0] or "[" in at[0]
    domain = _DOMAIN.match(text, at.end(), at.end() + _LONGEST_DOMAIN)
    if domain is None or not re.search(r"[^\W\d]", re.split(r"\W+", domain[0])[-1]):
        return None
    end = domain.end() if sign and not re.search(r"\s", domain[0]) else _said_end(domain)
    before = text[max(done, at.start() - _LONGEST_LOCAL) : at.start()]
    start = _local(before, sign=sign and not re.search(r"\(|\[", at[0]))
    if start is None or end is None:
        return None
    begin = at.start() - len(before) + start
    return Span(begin, end, "email", _one_writing(text[begin : at.start()] + "@" + text[at.end() : end]))


def _said_end(domain: re.Match[str]) -> int | None:
    """Return where a domain that was said ends: at the last name of a top level that people say."""
    pieces = list(re.finditer(r"\w+", domain[0]))
    for piece in reversed(pieces[1:]):
        if piece[0].casefold() in _SAID_TLDS:
            return domain.start() + piece.end()
    return None


def _local(before: str, *, sign: bool) -> int | None:
    """Return where the name begins in what stands before the sign."""
    if sign:
        match = _LOCAL.search(before)
        return match.start() if match else None
    filler = _FILLER.search(before)
    cut = before[: filler.start()] if filler else before
    match = _SAID.search(cut)
    if match is None or match[0].casefold() in _NOT_NAMES:
        return None
    return match.start()


def _one_writing(said: str) -> str:
    """Return an address as it is written, for telling one from another."""
    plain = re.sub(r"[\s(\[]+(?:dot|punto|punkt|point)[\s)\]]+", ".", said.casefold())
    return re.sub(r"\s+", "", plain)
