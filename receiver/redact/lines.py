"""Lines: texts that are read as one, so that a value over several of them is found and masked in each."""

from collections.abc import Callable, Iterable, Sequence

from receiver.redact.found import Span

Find = Callable[[str], list[Span]]
"""Finds what is to be masked in a text: in order, without overlaps."""


def find_over(lines: Sequence[str], find: Find, joint: str = " ") -> list[list[Span]]:
    """Return what is found in each line, read with the others; a value over several is in each with its part."""
    return split(find(joint.join(lines)), lines, len(joint))


def split(spans: Iterable[Span], lines: Sequence[str], joint: int) -> list[list[Span]]:
    """Cut spans of the joined lines into spans of each line; `joint` characters stand between two lines."""
    found: list[list[Span]] = [[] for _ in lines]
    number, at = 0, 0
    for span in spans:
        while number < len(lines) and at + len(lines[number]) <= span.start:
            at += len(lines[number]) + joint
            number += 1
        line, begin = number, at
        while line < len(lines) and begin < span.end:
            start, end = max(span.start - begin, 0), min(span.end - begin, len(lines[line]))
            if start < end:
                found[line].append(Span(start, end, span.kind, span.value))
            begin += len(lines[line]) + joint
            line += 1
    return found


def placed(pieces: Iterable[str], text: str) -> list[tuple[int, int] | None]:
    """Return where each piece stands in a text, one after the other; None for one that does not."""
    places: list[tuple[int, int] | None] = []
    at, folded = 0, text.lower()
    same = len(folded) == len(text)
    for piece in pieces:
        wanted = piece.lower() if same else piece
        start = (folded if same else text).find(wanted, at) if piece else -1
        places.append((start, start + len(piece)) if start >= 0 and len(wanted) == len(piece) else None)
        if start >= 0:
            at = start + len(piece)
    return places


def mask(text: str, spans: Iterable[Span]) -> str:
    """Return a text with each span as its kind in brackets; spans that overlap become one."""
    parts, at = [], 0
    for span in merged(spans):
        parts += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*parts, text[at:]])


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, overlapping ones as one, which is what the longest of them is."""
    kept: list[Span] = []
    longest = 0
    for span in sorted(spans):
        size = span.end - span.start
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
            longest = size
            continue
        named = span if size > longest else kept[-1]
        kept[-1] = Span(kept[-1].start, max(kept[-1].end, span.end), named.kind, named.value)
        longest = max(longest, size)
    return kept
