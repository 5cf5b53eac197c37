"""Digits as they are written and said: a text's runs of digits, with what may stand between them.

Spoken digits are read in English, Spanish and German: "oh", "double four", "forty-two eleven", "eight hundred",
"dos cuatro", "zweiundvierzig".
"""

import re
from collections.abc import Iterator

import msgspec

MOST_FILLERS = 3
"""Words such as "uh" that may stand between two digits of a number."""

_UNITS = (
    "zero one two three four five six seven eight nine",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "null eins zwei drei vier fünf sechs sieben acht neun",
)
_TEENS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
    "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
)
_TENS = (
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
)
_OTHERS = {
    "oh": "0", "o": "0", "nought": "0", "naught": "0", "una": "1", "un": "1", "ein": "1", "zwo": "2",
    "fuenf": "5", "zwoelf": "12", "dreissig": "30", "fourty": "40", "dieciseis": "16",
}  # fmt: skip
_TWENTIES = "veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
_TIMES = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4, "doble": 2, "doppel": 2, "doppelt": 2}
_ZEROS = {"hundred": "00", "thousand": "000", "hundert": "00", "tausend": "000", "mil": "000"}
_FILLERS = frozenset({
    "uh", "um", "er", "erm", "eh", "ah", "hm", "hmm", "mm", "okay", "ok", "then", "and", "so", "well", "like",
    "sorry", "dash", "hyphen", "space", "pause", "silence", "y", "este", "pues", "luego", "guion", "guión", "äh", "ähm",
    "und", "dann", "also", "strich", "bindestrich",
})  # fmt: skip
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_GAP = re.compile(r"[\s,.;()\[\]<>?\u00ad\u200b-\u200d\u2010-\u2015\u2060\u2212\u2026\ufeff-]{0,8}\+?[\s(]{0,2}")
_SPACE = re.compile(r"[\s-]{1,2}")
_BREAK = re.compile(r"[^\s]")


def _words() -> dict[str, str]:
    words = dict(_OTHERS)
    for table, first in ((_UNITS, 0), (_TEENS, 10)):
        for line in table:
            words |= {word: str(number) for number, word in enumerate(line.split(), first)}
    for line in _TENS:
        words |= {word: str(number * 10) for number, word in enumerate(line.split(), 2)}
    words |= {word: str(number) for number, word in enumerate(_TWENTIES.split(), 21)}
    words |= {word.translate(str.maketrans("éó", "eo")): digits for word, digits in list(words.items())}
    german = ["ein", *_UNITS[2].split()[2:]]
    for ten, name in enumerate(_TENS[2].split(), 2):
        words |= {f"{unit}und{name}": f"{ten}{one}" for one, unit in enumerate(german, 1)}
    return words


_WORDS = _words()
_ALONE = frozenset({"o", "oh", "un", "ein", "una", "once", "mil"})
"""Words that are digits only beside others."""
MAY_HOLD = re.compile(
    r"\d|(?<!\w)(?:" + "|".join(sorted({*_WORDS, *_TIMES} - _ALONE, key=len, reverse=True)) + r")(?!\w)", re.IGNORECASE
)
"""What a text holds that holds digits at all."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """Some digits of a run: where they stand, whether they are words, whether a pause or a sign stands before them."""

    digits: str
    start: int
    end: int
    spoken: bool
    paused: bool
    plus: bool = False


Run = list[Part]


def runs(text: str) -> Iterator[Run]:
    """Yield each run of digits: parts with only spaces, signs, and a few words such as "uh" between them."""
    run: Run = []
    pending: list[re.Match[str]] = []
    at = 0
    for token in _TOKEN.finditer(text):
        if not _GAP.fullmatch(text, at, token.start()):
            yield from _ended(run)
            run, pending = [], []
        at = token.end()
        if (part := _part(text, token, run, pending)) is not None:
            _grow(run, part, text)
            pending = []
        elif token[0].casefold() in (_FILLERS | _TIMES.keys() | {"plus"}) and len(pending) < MOST_FILLERS:
            pending.append(token)
        else:
            yield from _ended(run)
            run, pending = [], []
    yield from _ended(run)


def _ended(run: Run) -> Iterator[Run]:
    if run:
        yield run


def _part(text: str, token: re.Match[str], run: Run, pending: list[re.Match[str]]) -> Part | None:
    """Return a token's digits, with a "double" or "plus" before it; None for a word that is none."""
    word = token[0].casefold()
    spoken = not word[0].isdecimal()
    digits: str | None
    if not spoken:
        digits = "".join(str(int(sign)) for sign in word)
    else:
        digits = _ZEROS.get(word) if run and not pending and word in _ZEROS else _WORDS.get(word)
    if digits is None:
        return None
    start, before = token.start(), pending[-1][0].casefold() if pending else ""
    if before in _TIMES and len(digits) == 1:
        digits, start = digits * _TIMES[before], pending[-1].start()
    plus = before == "plus" or text[max(0, start - 2) : start].rstrip(" (").endswith("+")
    gap = text[run[-1].end : start] if run else ""
    paused = not run or plus or bool(_BREAK.search(gap))
    return Part(digits, pending[-1].start() if before == "plus" else start, token.end(), spoken, paused, plus)


def _grow(run: Run, part: Part, text: str) -> None:
    """Add a part; "forty" and "two" are one."""
    last = run[-1] if run else None
    if last is not None and part.spoken and last.spoken and len(part.digits) == 1 != int(part.digits) + 1:
        between = text[last.end : part.start].casefold()
        tens = len(last.digits) == 2 and last.digits[0] > "1" and last.digits[1] == "0"
        if tens and (_SPACE.fullmatch(between) or between.strip() == "y"):
            run[-1] = Part(last.digits[0] + part.digits, last.start, part.end, True, last.paused, last.plus)
            return
    run.append(part)
