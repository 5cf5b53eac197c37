"""The table `redact` of a sink: what it takes, and what is wrong with it said at the start."""

from typing import Any

import pytest

from receiver.config import build
from receiver.contract.errors import ConfigError
from receiver.contract.settings import RedactSettings
from receiver.registry import discover


def build_with(table: Any) -> RedactSettings | None:
    """Return the table as a file's sink would have it."""
    document = {"sinks": {"team": {"kind": "console", "redact": table}}}
    return build(document, {}, discover()).sinks["team"].redact


def test_the_table_is_read() -> None:
    """Everything has a default; without the table nothing is masked."""
    assert build_with({}) == RedactSettings()
    assert build({"sinks": {"team": {"kind": "console"}}}, {}, discover()).sinks["team"].redact is None
    table = {
        "kinds": "card",
        "regions": ["ES", "US"],
        "patterns": {"order": r"AB-\d{6}"},
        "words": {"product": "Atlas"},
    }
    expected = RedactSettings(
        kinds=("card",), regions=("ES", "US"), patterns={"order": r"AB-\d{6}"}, words={"product": ("Atlas",)}
    )
    assert build_with(table) == expected


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "card"}, "[sinks.team.redact] kind: is not known here; did you mean kinds?"),
        ({"kinds": ["cards"]}, '[sinks.team.redact] kinds: expected one of "card", "email", "phone"'),
        ({"kinds": []}, "[sinks.team.redact] kinds: nothing is to be masked; name some, or leave the table out"),
        ({"regions": ["UK"]}, "[sinks.team.redact] regions: 'UK' is no country with telephone numbers"),
        ({"regions": []}, "[sinks.team.redact] regions: telephone numbers need a country"),
        ({"patterns": {"a": "("}}, "[sinks.team.redact] patterns: a is no regular expression: missing )"),
        ({"patterns": {"a": "x*"}}, "[sinks.team.redact] patterns: a matches an empty text"),
        ({"patterns": {"a": "x" * 1001}}, "[sinks.team.redact] patterns: a is longer than 1000 characters"),
        ({"patterns": {"a": "(a+)+$"}}, "[sinks.team.redact] patterns: a takes longer than 0.25 s on 5000 characters"),
        ({"patterns": {"a": "(x|xx)+y$"}}, "[sinks.team.redact] patterns: a takes longer than 0.25 s"),
        ({"patterns": {"Card!": "x"}}, "[sinks.team.redact] patterns, words: 'Card!' cannot name a kind"),
        ({"words": {"card": "x"}}, "[sinks.team.redact] patterns, words: 'card' cannot name a kind"),
        ({"words": {"a": []}}, "[sinks.team.redact] words: a holds no word, or an empty one"),
        ({"words": {"a": [" "]}}, "[sinks.team.redact] words: a holds no word, or an empty one"),
        ({"words": {"a": "x"}, "patterns": {"a": "x"}}, "[sinks.team.redact] words: a is a name of patterns already"),
        (["card"], "[sinks.team] redact: expected a table"),
    ],
)
def test_what_is_wrong_is_said(table: Any, message: str) -> None:
    """Table and key, what is wrong, and the way out; nothing starts."""
    with pytest.raises(ConfigError) as caught:
        build_with(table)
    assert message in str(caught.value)
