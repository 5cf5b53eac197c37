"""What users want masked: patterns and lists of words, compiled, and refused where they cannot be searched in time."""

from collections.abc import Iterable

import regex

from receiver.contract.errors import ConfigError

Pattern = regex.Pattern[str]
"""A compiled `regex.Pattern`; the package is chosen for its searches' time limit, and comes built for every platform."""

_LONGEST = 1000
_PROBE_LENGTH = 5000
_PROBE_SECONDS = 0.25
_PROBES = ("a", "1", " ", "a ", "1-", "aA1 ", "ab", ".", "_", "x@")


def compiled(name: str, text: str) -> Pattern:
    """Compile a pattern. Raises ConfigError where it is none."""
    if len(text) > _LONGEST:
        raise ConfigError(f"patterns: {name} is longer than {_LONGEST} characters; write several")
    try:
        pattern = regex.compile(text, regex.VERSION0)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise ConfigError(f"patterns: {name} is no regular expression: {error}") from None
    return pattern


def probe(name: str, text: str) -> None:
    """Raise ConfigError where a pattern matches an empty text, or takes too long on texts that make bad ones slow."""
    pattern = compiled(name, text)
    own = sorted({sign for sign in text if sign.isalnum()})
    try:
        if pattern.match("", timeout=_PROBE_SECONDS):
            raise ConfigError(
                f"patterns: {name} matches an empty text and would mask everywhere; ask for one sign more"
            )
        for sign in (*_PROBES, *own[:40]):
            pattern.search((sign * _PROBE_LENGTH)[:_PROBE_LENGTH] + "\x00", timeout=_PROBE_SECONDS)
    except TimeoutError:
        raise ConfigError(
            f"patterns: {name} takes longer than {_PROBE_SECONDS} s on {_PROBE_LENGTH} characters; "
            "leave out repeats within repeats, such as (a+)+, or bound them, such as a{1,20}"
        ) from None


def any_word(name: str, words: Iterable[str]) -> Pattern:
    """Compile a list of words and phrases: whole words, in any case, over any white space. Raises ConfigError."""
    split = [word.split() for word in words]
    if not split or not all(split):
        raise ConfigError(f"words: {name} holds no word, or an empty one")
    phrases = sorted({r"\s+".join(map(regex.escape, one)) for one in split}, key=len, reverse=True)
    return regex.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", regex.VERSION1 | regex.IGNORECASE)
