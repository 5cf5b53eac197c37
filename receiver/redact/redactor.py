"""Redactor: what a sink's settings want masked, found in texts."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from receiver.contract.patterns import Pattern
from receiver.contract.redaction import own_kinds
from receiver.contract.settings import REDACTED_KINDS, RedactSettings
from receiver.redact.cards import cards
from receiver.redact.digits import MAY_HOLD, runs
from receiver.redact.emails import emails
from receiver.redact.found import Deadline, Span, TooSlow
from receiver.redact.lines import mask, merged
from receiver.redact.phones import phones

_MAY_BE_EMAIL = re.compile(r"@|(?<!\w)(?:at|arroba)(?!\w)", re.IGNORECASE)


class Rules:
    """What settings want masked, compiled once."""

    def __init__(self, settings: RedactSettings) -> None:
        self.kinds = frozenset[str](settings.kinds)
        self.regions = settings.regions
        self.own = list(own_kinds(settings))
        names = "|".join([*REDACTED_KINDS, *settings.patterns, *settings.words])
        self.masks = re.compile(rf"\[(?:{names})\]")


class Redactor:
    """Finds and masks what rules want, for one event or text; within `deadline`, or it raises TooSlow."""

    def __init__(self, rules: Rules, deadline: Deadline) -> None:
        self.values: dict[str, set[str]] = defaultdict(set)
        """What was masked so far, by kind."""
        self._rules = rules
        self._deadline = deadline

    def find(self, text: str) -> list[Span]:
        """Return what is to be masked: in order, without overlaps, masks of an earlier redaction left alone."""
        self._deadline.left()
        if not text:
            return []
        spans = [span for name, pattern in self._rules.own for span in self._search(name, pattern, text)]
        if "email" in self._rules.kinds and _MAY_BE_EMAIL.search(text):
            spans += emails(text)
        if {"card", "phone"} & self._rules.kinds and MAY_HOLD.search(text):
            spans += self._numbers(text)
        return self._outside_masks(merged(spans), text)

    def text(self, text: str) -> str:
        """Return a text masked."""
        spans = self.find(text)
        return self.masked(text, spans) if spans else text

    def masked(self, text: str, spans: Iterable[Span]) -> str:
        """Return a text with these spans masked, and remember their values."""
        ours = merged(spans)
        for span in ours:
            self.values[span.kind].add(span.value)
        return mask(text, ours) if ours else text

    def _numbers(self, text: str) -> Iterator[Span]:
        found = list(runs(text))
        if "card" in self._rules.kinds:
            yield from cards(found)
        if "phone" in self._rules.kinds:
            yield from phones(text, found, self._rules.regions, self._deadline)

    def _search(self, name: str, pattern: Pattern, text: str) -> list[Span]:
        try:
            matches = pattern.finditer(text, timeout=self._deadline.left())
            return [Span(one.start(), one.end(), name, one[0].casefold()) for one in matches if one[0]]
        except TimeoutError:
            raise TooSlow from None

    def _outside_masks(self, spans: list[Span], text: str) -> list[Span]:
        if not spans or "[" not in text:
            return spans
        masks = [one.span() for one in self._rules.masks.finditer(text)]
        return list(_without(spans, masks)) if masks else spans


def _without(spans: Iterable[Span], masks: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Yield what of spans lies outside of masks; both are in order and without overlaps."""
    first = 0
    for span in spans:
        while first < len(masks) and masks[first][1] <= span.start:
            first += 1
        at, here = span.start, first
        while here < len(masks) and masks[here][0] < span.end:
            if at < masks[here][0]:
                yield Span(at, masks[here][0], span.kind, span.value)
            at, here = max(at, masks[here][1]), here + 1
        if at < span.end:
            yield Span(at, span.end, span.kind, span.value)
