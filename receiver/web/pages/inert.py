"""Text of strangers, made inert for people: escaped, isolated, and with every character that hides named."""

import re
import unicodedata

from markupsafe import Markup, escape

_HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Controls but for tab and line feed, marks that turn or isolate directions, and what has no width; joiners of emoji stay."""


def inert(text: object) -> Markup:
    """Return text as HTML that says what it says: nothing in it is markup, and it turns nothing around it."""
    found, at = Markup(), 0
    plain = str(text)
    for match in _HIDING.finditer(plain):
        found += escape(plain[at : match.start()]) + _named(match[0])
        at = match.end()
    return Markup('<bdi dir="auto">{}</bdi>').format(found + escape(plain[at:]))


def _named(character: str) -> Markup:
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "control character")
    return Markup('<span class="hidden-character" title="{}">{}</span>').format(name, code)
