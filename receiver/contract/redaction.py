"""What a sink's table `redact` says: checked, and its own kinds compiled."""

import re
from collections.abc import Iterator

from phonenumbers import SUPPORTED_REGIONS

from receiver.contract.errors import ConfigError
from receiver.contract.patterns import Pattern, any_word, compiled, probe
from receiver.contract.settings import REDACTED_KINDS, RedactSettings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def own_kinds(settings: RedactSettings) -> Iterator[tuple[str, Pattern]]:
    """Yield the own kinds, compiled. Raises ConfigError."""
    for name, text in settings.patterns.items():
        yield name, compiled(name, text)
    for name, words in settings.words.items():
        yield name, any_word(name, words)


def check_redaction(settings: RedactSettings) -> None:
    """Raise ConfigError where a name, a country, a pattern or a list of words cannot be used."""
    for name in (*settings.patterns, *settings.words):
        if not _NAME.fullmatch(name) or name in REDACTED_KINDS:
            raise ConfigError(
                f"patterns, words: {name!r} cannot name a kind: small letters, digits and _, "
                f"and none of {', '.join(REDACTED_KINDS)}"
            )
    if twice := settings.patterns.keys() & settings.words.keys():
        raise ConfigError(f"words: {min(twice)} is a name of patterns already; give it another")
    for region in settings.regions:
        if region not in SUPPORTED_REGIONS:
            raise ConfigError(f'regions: {region!r} is no country with telephone numbers; write "US", "ES" or the like')
    if "phone" in settings.kinds and not settings.regions:
        raise ConfigError('regions: telephone numbers need a country, such as "US"')
    if not (settings.kinds or settings.patterns or settings.words):
        raise ConfigError("kinds: nothing is to be masked; name some, or leave the table out")
    list(own_kinds(settings))
    for name, text in settings.patterns.items():
        probe(name, text)
