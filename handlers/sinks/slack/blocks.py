"""Block Kit for text that nobody vouches for: every text arrives inert, and every limit of Slack's is kept.

What others wrote goes into `plain_text` objects, which Slack does not format, link or search for mentions, and is escaped
on top; `mrkdwn` holds nothing but our own link. Lengths are counted the most pessimistic way: after escaping, in UTF-16.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

# https://docs.slack.dev/reference/block-kit/blocks and …/composition-objects/text-object, 2026-11
BLOCKS = 50
HEADER = 150
SECTION = 3_000
FALLBACK = 4_000
URL = 3_000

_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Control characters, bidi marks, invisible characters and lone surrogates; joiners of emoji and scripts may stay."""

_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_ACTIVE = re.compile(r"[*_~`@]|:(?=//)|\.(?=\w)")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JOINER = "\u2060"
_PIECES = re.compile(r"(?s).{1,599}(?:\s+|$)|.{600}")
"""A long line in pieces that fit a section whatever they hold."""

SHORTENED = "Shortened to fit Slack."


def clean(text: str) -> str:
    """Return the text without what cannot be seen, at most one empty line in a row."""
    text = _UNSEEN.sub("", _BREAKS.sub("\n", text).replace("\t", " "))
    return re.sub(r"\n\s*\n", "\n\n", text).strip()


def one_line(text: str, limit: int = 200) -> str:
    """Return the text cleaned, on one line, cut to `limit` characters."""
    text = " ".join(clean(text[: limit * 8]).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def escape(text: str) -> str:
    """Escape Slack's three control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def defuse(text: str) -> str:
    """Part what Slack would format, link or take for a mention by an invisible joiner; for the top-level text."""
    return _ACTIVE.sub(lambda found: found[0] + _JOINER, text)


def weight(char: str) -> int:
    """Return how many characters this one may cost in Slack."""
    return len(_ENTITIES[char]) if char in _ENTITIES else 1 + (char > "\uffff")


def cut(text: str, limit: int) -> str:
    """Return the longest beginning of `text` that fits `limit` once escaped, with … where something is missing."""
    text, whole = text[: limit + 1], len(text) <= limit
    if whole and sum(map(weight, text)) <= limit:
        return text
    room = limit - 1
    for index, char in enumerate(text):
        room -= weight(char)
        if room < 0:
            return text[:index].rstrip() + "…"
    return text.rstrip() + "…"


def pieces(line: str) -> Iterator[str]:
    """Yield a line whole where it is short, else in pieces of at most 600 characters, parted between words."""
    if len(line) <= SECTION // 5:
        yield line
        return
    yield from (found[0].strip() for found in _PIECES.finditer(line))


def plain(text: str) -> dict[str, Any]:
    """Return a text object that shows the text as it is."""
    return {"type": "plain_text", "text": escape(text), "emoji": False}


class Page:
    """A message in the making: blocks from the top down, each cut to what Slack takes."""

    def __init__(self) -> None:
        self.blocks: list[dict[str, Any]] = []
        self.shortened = False

    def header(self, text: str) -> None:
        """Add the headline."""
        self._add("header", text, HEADER)

    def section(self, lines: Iterable[str]) -> None:
        """Add one section of the lines that are not empty."""
        self._add("section", "\n".join(line for line in lines if line), SECTION)

    def long(self, title: str, lines: Iterable[str], *, sections: int) -> None:
        """Add a text that may take several sections; what does not fit into `sections` is left out."""
        room = 0
        page: list[str] = []
        for line in chain((title,), *map(pieces, lines)):
            cost = sum(map(weight, line)) + 1
            if cost > room:
                self.section(page)
                page, room, sections = [], SECTION, sections - 1
            if sections < 0:
                self.shortened = True
                return
            page.append(line)
            room -= cost
        self.section(page)

    def link(self, url: str, label: str) -> None:
        """Add a link; a button would show a warning to everyone whose app takes no interactions."""
        if len(url) <= URL - 100 and url.startswith(("https://", "http://")):
            text = {"type": "mrkdwn", "text": f"<{url}|{label}>", "verbatim": True}
            self._push({"type": "section", "text": text})

    def footer(self, text: str) -> None:
        """Add the small print, with a note where something was cut."""
        parts = [self._fit(text, SECTION)]
        parts += [SHORTENED] if self.shortened else []
        if elements := [plain(part) for part in parts if part]:
            self._push({"type": "context", "elements": elements})

    def payload(self, fallback: str) -> dict[str, Any]:
        """Return the message; `fallback` is what notifications and screen readers say."""
        return {
            "text": escape(defuse(cut(fallback, FALLBACK // 2))),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
            "blocks": self.blocks,
        }

    def _add(self, kind: str, text: str, limit: int) -> None:
        if text.strip():
            self._push({"type": kind, "text": plain(self._fit(text, limit))})

    def _fit(self, text: str, limit: int) -> str:
        fitting = cut(text, limit)
        self.shortened |= fitting != text
        return fitting

    def _push(self, block: dict[str, Any]) -> None:
        if len(self.blocks) < BLOCKS:
            self.blocks.append(block)
