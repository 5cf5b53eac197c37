"""Values in texts: written, said, with pauses, and what only looks like them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.settings import RedactSettings
from receiver.redact.cards import luhn
from receiver.redact.digits import runs
from receiver.redact.found import Deadline, Span, TooSlow
from receiver.redact.lines import find_over, mask, merged, placed
from receiver.redact.redactor import Redactor, Rules

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
OWN = {"patterns": {"order": r"AB-\d{6}"}, "words": {"product": ("Blue Whale", "Atlas")}}


def redactor(seconds: float = 10.0, **settings: Any) -> Redactor:
    """Return a redactor of everything, or as settings say."""
    return Redactor(Rules(RedactSettings(**settings)), Deadline(seconds))


def masked(text: str, **settings: Any) -> str:
    """Return a text masked."""
    return redactor(**settings).text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is 4111 1111 1111 1111, exp 12/26.", "It is [card], exp 12/26."),
        ("4111-1111-1111-1111", "[card]"),
        ("amex 378282246310005", "amex [card]"),
        ("three seven eight two, eight two two four six three one oh oh oh five", "[card]"),
        ("Four one one one, uh, one one one one... one one one one. One one one one", "[card]"),
        ("four triple one, quadruple no, double one", "four triple one, quadruple no, double one"),
        ("four triple one triple one, triple one, triple one triple one", "[card]"),
        ("forty-one eleven eleven eleven eleven eleven eleven eleven", "[card]"),
        ("cuatro uno uno uno uno uno uno uno uno uno uno uno uno uno uno uno", "[card]"),
        ("it is 4111 then one one one one, 1111 eleven eleven", "it is [card]"),
        ("6759649826438453, 30569309025904, 6011111111111117", "[card], [card], [card]"),
        ("3530111333300000, 6240008631401148, 5555555555554444", "[card], [card], [card]"),
        ("four one one one [pause] one one one one <silence> 1111 (pause) 1111", "[card]"),
        ("four one one one? One one one one? One one one one? One one one one?", "[card]?"),
        ("4111\u200b1111\u00ad1111\ufeff1111", "[card]"),
        ("four triple one, quadruple one, quadruple one, quadruple one", "[card]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("9111 1111 1111 1116", "9111 1111 1111 1116"),
        ("4111 1111 1111 1111 4111 1111 1111 1111", "[card] [card]"),
        ("card\u0664" + "\u0661" * 15, "card[card]"),
    ],
)
def test_cards(text: str, shown: str) -> None:
    """Runs of digits that begin like an issuer's, are as long, and pass the check."""
    assert masked(text, kinds=("card",)) == shown


@pytest.mark.parametrize(
    ("text", "shown", "region"),
    [
        ("Call (415) 555-2671 now", "Call [phone] now", "US"),
        ("Call me on +34 912 345 678", "Call me on [phone]", "US"),
        ("four one five, five five five, two six seven one", "[phone]", "US"),
        ("one eight hundred, three five six, nine three seven seven", "[phone]", "US"),
        ("plus four four two oh seven nine four six oh nine five eight", "[phone]", "US"),
        ("it's oh two oh, seven nine four six, oh nine five eight, bye", "it's [phone], bye", "GB"),
        ("seis uno dos, tres cuatro cinco, seis siete ocho", "[phone]", "ES"),
        ("null drei null, zweiundvierzig, acht sieben sechs fünf", "[phone]", "DE"),
        ("treinta y cinco", "treinta y cinco", "ES"),
        ("4 1 5 5 5 5 2 6 7 1", "[phone]", "US"),
        ("415, uh, 555, 2671", "[phone]", "US"),
        ("order 12345678, at 9:30, for $1,234.56", "order 12345678, at 9:30, for $1,234.56", "US"),
        ("192.168.10.24", "192.168.10.24", "US"),
        ("five, four, three, two, one", "five, four, three, two, one", "US"),
    ],
)
def test_phones(text: str, shown: str, region: str) -> None:
    """Numbers that are valid in a region, or with a country's code; no other digits."""
    assert masked(text, kinds=("phone",), regions=(region,)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Write to Ann.Lee+x@Mail.example.org, please.", "Write to [email], please."),
        ("<ann@example.com>", "<[email]>"),
        ("ann dot lee at example dot com, yes", "[email], yes"),
        ("it is a n n at gmail.com", "it is [email]"),
        ("ann underscore lee, uh, at acme dash parts dot co dot uk", "[email]"),
        ("ann (at) example (dot) org", "[email]"),
        ("a n n dot l e e at example dot com", "[email]"),
        ("ann dot lee at g mail dot com", "[email]"),
        ("ana punto ruiz arroba example punto es", "[email]"),
        ("jo at example dot at", "[email]"),
        ("find us at example dot com", "find us at example dot com"),
        ("meet me at noon. Is that right?", "meet me at noon. Is that right?"),
        ("3 @ 4.50 each", "3 @ 4.50 each"),
        ("@team and a@b", "@team and a@b"),
        ("at example dot com", "at example dot com"),
        ("jürgen@example.de", "[email]"),
    ],
)
def test_emails(text: str, shown: str) -> None:
    """Addresses as they are written and said; no pages, no prices, no handles."""
    assert masked(text, kinds=("email",)) == shown


def test_own_kinds() -> None:
    """Patterns as they are; words whole, in any case, over any white space."""
    text = "AB-123456: two blue \n whales, a BLUE  whale and atlases; ATLAS"
    assert masked(text, **OWN) == "[order]: two blue \n whales, a [product] and atlases; [product]"


def test_a_short_own_word_uncovers_nothing() -> None:
    """What overlaps is masked as one, by the name of the longest."""
    text = "it is four one one one one one one one one one one one one one one one"
    assert masked(text, words={"number": ("four",)}) == "it is [card]"


def test_only_what_is_wanted() -> None:
    """Other kinds stay."""
    assert masked("4111111111111111 ann@example.com", kinds=("email",)) == "4111111111111111 [email]"


def test_values_are_told_apart() -> None:
    """The same value in two writings is one, different ones are two."""
    one = redactor()
    one.text("4111 1111 1111 1111, that is four one one one one one one one one one one one one one one one")
    one.text("212-736-5000 or +1 212 736 5000, or 212 736 5001; ANN at example dot com, ann@example.com")
    assert {kind: len(values) for kind, values in one.values.items()} == {"card": 1, "phone": 2, "email": 1}


def test_masks_stay() -> None:
    """What was masked before is not masked again, whatever own patterns say."""
    assert masked("[card] then [email] ann@example.com") == "[card] then [email] [email]"
    own = {"patterns": {"any": r"\w.*"}}
    assert masked("so [card] it", **own) == "[any][card][any]"
    assert masked("[any][card][any]", **own) == "[any][card][any]"


def test_time_is_bounded() -> None:
    """A search that takes too long ends."""
    with pytest.raises(TooSlow):
        masked("x" * 50, seconds=-1.0)
    with pytest.raises(TooSlow):
        masked("a" * 40 + "b", seconds=0.05, patterns={"bad": "(a|aa)+$"})


def test_nothing_is_in_an_empty_text() -> None:
    """An empty text is itself."""
    assert masked("") == ""


@given(
    st.text("0123456789", min_size=15, max_size=15), st.lists(st.sampled_from([" ", ", ", " uh ", ". "]), min_size=16)
)
def test_a_card_is_found_however_it_is_said(rest: str, gaps: list[str]) -> None:
    """Digit by digit, with any pauses: nothing of it is left."""
    digits = next(number for last in "0123456789" if luhn(number := "4" + rest[:14] + last))
    said = "".join(WORDS[int(digit)] + gap for digit, gap in zip(digits, gaps, strict=False))
    assert masked("it is " + said.rstrip(" .,uh"), kinds=("card",)) == "it is [card]"


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """Runs lie in the text, in order; masking twice changes nothing more."""
    ends = [(part.start, part.end) for run in runs(text) for part in run]
    assert ends == sorted(ends)
    once = masked(text, **OWN)
    assert masked(once, **OWN) == once


# Lines


def test_values_over_lines() -> None:
    """Each line gets the mask of its part."""
    found = find_over(["ab 4111", "", "1111 1111", "1111 x"], redactor().find)
    shown = [mask(line, spans) for line, spans in zip(["ab 4111", "", "1111 1111", "1111 x"], found, strict=True)]
    assert shown == ["ab [card]", "", "[card]", "[card] x"]


def test_pieces_are_found_in_their_order() -> None:
    """In any case; what is not there has no place."""
    assert placed(["One", "x", "one", ""], "one, One!") == [(0, 3), None, (5, 8), None]
    assert placed(["İ", "i"], "İi") == [(0, 1), (1, 2)]


def test_overlapping_spans_are_one() -> None:
    """It is what the longest is."""
    spans = [Span(5, 6, "c", "3"), Span(0, 2, "a", "1"), Span(1, 5, "b", "2"), Span(2, 3, "d", "4")]
    assert merged(spans) == [Span(0, 5, "b", "2"), Span(5, 6, "c", "3")]
