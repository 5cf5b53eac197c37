"""Where a word was found: a part of the text around it, with the places of the words, and how well it fits."""

import math
import re
from collections import Counter
from collections.abc import Sequence

BEGIN, END = "\x01", "\x02"
"""Marks that engines put around the words they found; no indexed text holds them."""
WIDTH = 160
"""Characters of a snippet, about."""
_MARKED = re.compile(f"{BEGIN}([^{END}]*){END}")


def snippet(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the part of a text around the first words found, and where in it words were found (from, to)."""
    spans, plain, at = [], "", 0
    for found in _MARKED.finditer(marked):
        plain += marked[at : found.start()]
        spans.append((len(plain), len(plain) + len(found[1])))
        plain += found[1]
        at = found.end()
    plain += marked[at:]
    first = spans[0][0] if spans else 0
    start, end = _part(plain, first)
    before = "… " if start else ""
    shift = len(before) - start
    inside = [(a + shift, b + shift) for a, b in spans if start <= a and b <= end]
    return before + plain[start:end] + (" …" if end < len(plain) else ""), inside


def _part(text: str, first: int) -> tuple[int, int]:
    """Return from where to where to cut, at blanks where there are some."""
    if len(text) <= WIDTH:
        return 0, len(text)
    start = max(0, min(first - WIDTH // 3, len(text) - WIDTH))
    if start:
        blank = text.find(" ", start, first)
        start = start if blank < 0 else blank + 1
    end = min(len(text), start + WIDTH)
    if end < len(text):
        blank = text.rfind(" ", first + 1, end)
        end = end if blank < 0 else blank
    return start, end


def ranked(marked: Sequence[str]) -> list[int]:
    """Return the places of texts, the best first: BM25 (k1 1.2, b 0.75) over these texts, the earlier where two are alike."""
    found = [_MARKED.findall(text.casefold()) for text in marked]
    texts = Counter(word for words in found for word in set(words))
    worth = {word: math.log(1 + (len(marked) - count + 0.5) / (count + 0.5)) for word, count in texts.items()}
    usual = sum(map(len, marked)) / max(1, len(marked)) or 1.0
    scores = []
    for words, text in zip(found, marked, strict=True):
        bent = 0.3 + 0.9 * len(text) / usual
        counts = [(word, words.count(word)) for word in set(words)] if len(words) > 1 else [(word, 1) for word in words]
        scores.append(-sum(worth[word] * count * 2.2 / (count + bent) for word, count in counts))
    return sorted(range(len(marked)), key=scores.__getitem__)
