"""Errors in a configuration: each names table and key, says what is allowed, and shows no secret."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from config_fakes import ENVIRON, VALID, error, errors, made, source

from receiver.contract.errors import ConfigError


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"stor": "x"}, "stor: is not known here; did you mean store? known are public_url, "),
        ({"source": {}}, "source: is not known here; did you mean sources? "),
        (source(tokn="x"), "[sources.one] tokn: is not known here; did you mean token? known are provider, token, "),
        (source(signature={"header": "x", "sign": "x"}), "[sources.one.signature] sign: is not known here; did you mean "),
        (source(signature={}), "[sources.one.signature] header: is missing: header that carries the signature"),
        (source(signature="x"), '[sources.one] signature: expected a table, found "x"'),
        (source(max_body="big"), '[sources.one] max_body: expected a whole number of at least 1024 and up to 268435456, found "big"'),
        (source(max_body=True), "[sources.one] max_body: expected a whole number of at least 1024 and up to 268435456, found true"),
        (source(max_body=1.5), "[sources.one] max_body: expected a whole number of at least 1024 and up to 268435456, found 1.5"),
        (source(max_body=5), "[sources.one] max_body: expected a whole number of at least 1024 and up to 268435456, found 5"),
        (source(tries=10), "[sources.one] tries: expected a whole number of at least 1 and up to 9, found 10"),
        (source(ratio=1), "[sources.one] ratio: expected a number above 0 and below 1, found 1"),
        (source(ratio=float("nan")), "[sources.one] ratio: expected a number above 0 and below 1, found nan"),
        (source(either=[]), "[sources.one] either: expected a whole number, or text, found a list"),
        (source(quarantine="yes"), '[sources.one] quarantine: expected true or false, found "yes"'),
        (source(verify="nobody"), '[sources.one] verify: expected one of "none", "provider", found "nobody"'),
        (source(roles={"A": "boss"}), '[sources.one.roles] A: expected one of "agent", "customer", found "boss"'),
        (source(roles="A"), '[sources.one] roles: expected a table, found "A"'),
        (source(timezone="Europe/Madrit"), "[sources.one] timezone: this is no zone of the IANA database; did you mean Europe/Madrid? "),
        (source(timezone="America"), "[sources.one] timezone: this is no zone of the IANA database; "),
        (source(timezone="../etc"), "[sources.one] timezone: this is no zone of the IANA database; "),
        (source(secrets=["same-secret", "same-secret"]), "[sources.one] secrets: the values 1 and 2 are the same; leave one out"),
        (source(secrets=""), "[sources.one] secrets: is empty: is the variable set?"),
        (source(secrets="${EMPTY}"), "[sources.one] secrets: is empty: is the variable EMPTY set?"),
        (source(secrets=5), "[sources.one] secrets: expected text, found something else"),
        (source(api_keys=12345678), "[sources.one] api_keys: expected a table, found something else"),
        (source(token="short"), "[sources.one] token: 5 characters can be guessed, 16 are the least; `hookscribe keygen`"),
        (source(token="0123456789abcdef/?"), "[sources.one] token: it stands in a URL and may hold "),
        (source(either="${NONE}"), "[sources.one] either: the variable NONE is not set; "),
        (source(either="${no"), '[sources.one] either: "${" must go on with a NAME and "}"; '),
        (source(signature={"header": "x", "signed": "{x}"}), "[sources.one.signature] signed: {x} is unknown; allowed are "),
        (source(either="boom"), "[sources.one] provider: acme fails with these settings: RuntimeError"),
        (source(secrets=[]), "[sources.one] token, secrets, api_keys: nothing proves who calls; set one of these, or verify"),
        (source(max_body=1 << 21) | {"limits": {"spool": 1 << 20}}, "[sources.one] max_body: a body of 2097152 bytes does not fit"),
        ({"sources": {"A": {}}}, "[sources] A: a name has 1 to 63 lower-case letters"),
        ({"sources": {"a": {}}}, "[sources.a] provider: is missing; known are acme"),
        ({"sources": {"a": {"provider": "acm"}}}, '[sources.a] provider: "acm": no provider has this name; did you mean acme? known'),
        ({"sources": {"a": {"provider": 3}}}, "[sources.a] provider: expected one of acme, found 3"),
        ({"sources": {"a": 3}}, "[sources] a: expected a table, found 3"),
        ({"sources": []}, "sources: expected tables [sources.NAME], found a list"),
        ({"sinks": {"a": {"kind": "x"}}}, '[sinks.a] kind: "x": no kind of sink has this name; known are hose'),
        ({"sinks": {"a": {"kind": "hose", "url": "x", "retry": [0, -5]}}}, "[sinks.a] retry: expected a number of at least 0 and up to 2592000, found -5"),
        ({"sinks": {"a": {"kind": "hose", "url": "x", "retry": [1e30]}}}, "[sinks.a] retry: expected a number of at least 0 and up to 2592000, found 1e+30"),
        ({"sinks": {"a": {"kind": "hose"}}}, "[sinks.a] url: is missing: where it goes"),
        ({"listen": 5}, "listen: expected a table, found 5"),
        ({"listen": {"admin": "127.0.0.1:8080"}}, "[listen] admin: it is the same address as public; each needs its own port, or "),
        ({"listen": {"admin": "0.0.0.0:8080"}}, "[listen] admin: it is the same address as public; "),
        ({"listen": {"metrics": "127.0.0.1:8081"}}, "[listen] metrics: it is the same address as admin; each needs its own port"),
        ({"listen": {"admin": "/admin/"}}, '[listen] admin: as a path it looks like "/admin"'),
        ({"listen": {"admin": "/hooks/x"}}, "[listen] admin: /hooks, /media, /payloads, /healthz are the public listener's own"),
        ({"store": "mysql://x"}, "store: expected sqlite:PATH (one colon, then the path) or postgresql://user@host/db"),
        ({"store": "sqlite:///x.db"}, "store: expected sqlite:PATH (one colon, then the path) or postgresql://"),
        ({"store": "sqlite::memory:"}, "store: expected sqlite:PATH (one colon, then the path) or postgresql://"),
        ({"public_url": "calls.example.com"}, 'public_url: expected "https://host", with a path at most'),
        ({"admin_url": "https://u:p@h"}, 'admin_url: expected "https://host", with a path at most'),
        ({"public_url": "https://h:x"}, 'public_url: expected "https://host", with a path at most'),
        ({"admin_token": "x"}, "admin_token: 1 characters can be guessed, 16 are the least"),
        ({"event_prefix": "com."}, "event_prefix: expected text that matches "),
        ({"limits": {"large_body": 1 << 30}}, "[limits] large_body: it must not be more than memory (67108864)"),
        ({"log": "jsn"}, 'log: expected one of "auto", "json", "text", found "jsn"'),
        ({"log_level": "${LEVEL}"}, "log_level: expected one of "),
    ],
)  # fmt: skip
def test_errors_name_table_and_key_and_what_is_allowed(document: dict[str, Any], message: str) -> None:
    """One thing that is wrong is one line, which begins with its table and key."""
    assert error(document, EMPTY="", LEVEL="loud").startswith(message)


def test_an_expression_comes_with_words() -> None:
    """Few read regular expressions, so the help of the setting says what is meant."""
    document = {"sources": {"a": {"provider": "acme", "secrets": ["x" * 20], "keep": "90"}}}
    assert error(document).endswith(
        'found "90": how long everything of this source is kept: hours, days or weeks ("12h", "90d", "8w"), or "forever"'
    )


def test_all_errors_come_together() -> None:
    """Several errors are one message, a line each, with the file's name."""
    document = {
        "log": "x",
        "sources": {"a": {"provider": "acme", "secrets": ["${NO}"], "max_body": 1}},
        "sinks": {"b": {}},
    }
    assert [line.partition(":")[0] for line in errors(document)] == [
        "[sources.a] secrets",
        "log",
        "[sources.a] max_body",
        "[sinks.b] kind",
    ]


def test_sqlite_on_a_dyno_is_refused() -> None:
    """The disk of a dyno is not kept, so nothing durable can be promised there."""
    assert error({}, DYNO="web.1").startswith("store: SQLite on a dyno loses everything at the next restart")
    assert errors({}, DYNO="web.1", DATABASE_URL="postgres://h/db") == []


def test_two_listeners_on_port_0_are_not_the_same() -> None:
    """Port 0 asks for any free port, a different one each."""
    assert errors({"listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"}}) == []


BREAKS: tuple[dict[str, Any], ...] = (
    {"sources": {"one": {"max_body": "big", "verify": 3, "timezone": "Nowhere/No"}}},
    {"sources": {"one": {"tries": 7}}},
    {"sources": {"one": {"either": "boom"}}},
    {"sources": {"one": {"unknown": 1, "signature": {"signed": "{x}"}}}},
    {"sources": {"one": {"provider": "other"}}},
    {"sinks": {"team": {"retry": "x", "kind": "hose", "order": "?"}}},
    {"log": "x", "public_url": "ftp://x", "listen": {"public": "nowhere"}},
    {"store": "mysql:x"},
)


def strings(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every text in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, str):
            yield (*path, key)
        else:
            yield from strings(item, (*path, key))


def merged(document: Any, other: dict[str, Any]) -> Any:
    """Return a document with another one laid over it."""
    result = copy.deepcopy(document)
    for key, value in other.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


def planted(path: tuple[str | int, ...], text: str) -> dict[str, Any]:
    """Return the valid document with `text` at one place."""
    document: Any = copy.deepcopy(VALID)
    target = document
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = text
    return document  # type: ignore[no-any-return]


PLACES = [path for path in strings(VALID) if path[-1] not in ("provider", "kind")]


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_no_error_shows_a_secret(broken: dict[str, Any]) -> None:
    """Whatever is broken, nothing that stands anywhere else, or comes from a variable, is in the message."""
    document = merged(VALID, broken)
    with pytest.raises(ConfigError) as caught:
        made(document)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_no_error_shows_a_canary_in_any_place(path: tuple[str | int, ...]) -> None:
    """A secret in any place, also one that is not for secrets, given by a variable, is in no message."""
    values = {
        "CANARY": "canary-0123456789-0123456789",
        "SHORT": "canary",
        "URL": "https://canary:canary@canary/?canary",
    }
    for name in values:
        document = planted(path, f"${{{name}}}")
        for broken in ({}, *BREAKS):
            try:
                config = made(merged(document, broken), **values)
            except ConfigError as caught:
                assert "canary" not in str(caught), path  # noqa: PT017
            else:
                assert broken == {}
                assert "canary" not in "\n".join(config.warnings) or path[-1] == "events"


def test_a_check_that_quotes_a_secret_is_masked() -> None:
    """A message of a plugin's own check loses the secrets that it quotes."""
    message = error(merged(VALID, {"sources": {"one": {"tries": 7}}}))
    assert message == "[sources.one] tries: 7 brings no luck with ['***', '***']"
    assert ENVIRON["SECRET"] not in message
