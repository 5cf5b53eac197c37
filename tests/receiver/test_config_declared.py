"""Declarations of settings: every type that a plugin may use, and what is said of one that is wrong."""

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any

import pytest
from config_fakes import Acme, Hose, error, source

from receiver.config import build, reference
from receiver.config.convert import read_table
from receiver.config.declared import described, fields_of
from receiver.config.words import Problems
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, Settings, SinkSettings, SourceSettings, about
from receiver.registry import Registry


class Speed(StrEnum):
    """How fast."""

    SLOW = "slow"
    FAST = "fast"


class Everything(Settings, frozen=True, kw_only=True):
    """One setting of every further type."""

    speed: Annotated[Speed, about("how fast")] = Speed.SLOW
    few: Annotated[tuple[int, ...] | None, about("one or two", min_length=1, max_length=2)] = None
    listed: Annotated[list[str], about("a list")] = []  # noqa: RUF012 -- msgspec copies it
    anything: Annotated[Any, about("anything")] = None
    pin: Annotated[str, about("a pin", min_length=4)] = "0000"
    half: Annotated[float, about("a half", ge=0.5)] = 0.5
    either: Annotated[Secret | tuple[Secret, ...] | bool, about("a mixture")] = False


def read(**table: Any) -> tuple[Everything | None, list[str]]:
    """Read a table of everything; return it and the errors."""
    problems = Problems()
    return read_table(Everything, table, ("t",), problems), problems.lines


def test_every_type_is_read() -> None:
    """Enumerations, bounded lists, lists, anything and mixtures arrive as declared."""
    settings, lines = read(speed="fast", few=1, listed="a", anything={"x": ["y", 1]}, pin="1234", half=1, either="s")
    assert lines == []
    assert settings == Everything(
        speed=Speed.FAST, few=(1,), listed=["a"], anything={"x": ["y", 1]}, pin="1234", half=1.0, either=Secret("s")
    )
    assert read(either=True)[0] == Everything(either=True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"speed": "none"}, '[t] speed: expected one of "slow", "fast", found "none"'),
        ({"few": []}, "[t] few: expected 1 to 2 values, found 0"),
        ({"few": [1, 2, 3]}, "[t] few: expected 1 to 2 values, found 3"),
        ({"listed": 5}, "[t] listed: expected text, found 5"),
        ({"pin": "1"}, '[t] pin: expected text of at least 4 characters, found "1"'),
        ({"half": 0.25}, "[t] half: expected a number of at least 0.5, found 0.25"),
        ({"half": "x" * 41}, "[t] half: expected a number of at least 0.5, found other text"),
        (
            {"either": 5},
            "[t] either: expected text, or text, or a list of such, or true or false, found something else",
        ),
    ],
)
def test_every_type_says_what_it_wants(table: dict[str, Any], message: str) -> None:
    """The message has the bounds in words and what was found."""
    assert read(**table) == (None, [message])


def test_types_in_words() -> None:
    """Every declared type can be described."""
    words = {key: described(field.kind) for key, field in fields_of(Everything).items()}
    assert words["few"] == "a whole number, or a list of such"
    assert words["anything"] == "a value"


class Wrong(SinkSettings, frozen=True, kw_only=True):
    """Settings with a bound that makes no sense."""

    name: Annotated[str, about("a name", ge=1)] = ""


class WrongSink(Hose):
    """A sink that cannot be configured."""

    Settings = Wrong  # type: ignore[assignment]


def test_a_wrong_declaration_is_an_error_of_its_plugin() -> None:
    """It names class and key, and the reference goes on without it."""
    registry = Registry({}, {"wrong": WrongSink, "hose": Hose})
    with pytest.raises(ConfigError, match=r"\[sinks.a\] kind: .*test_config_declared.Wrong declares name wrongly: "):
        build({"sinks": {"a": {"kind": "wrong"}}}, {}, registry)
    tables = {row.table for row in reference(registry)}
    assert 'sinks.NAME, kind = "hose"' in tables
    assert 'sinks.NAME, kind = "wrong"' not in tables


class Picky(Acme):
    """A provider that says in its making what is wrong."""

    def __init__(self, source: str, settings: SourceSettings) -> None:
        raise ConfigError(f"secrets: no good for {source}")


def test_what_a_provider_says_in_its_making_is_reported() -> None:
    """An error of settings from `__init__` is one like any other."""
    with pytest.raises(ConfigError, match=r"^configuration: \[sources.one\] secrets: no good for one$"):
        build(source(), {}, Registry({"acme": Picky}, {}))


def test_a_date_is_no_text() -> None:
    """TOML's dates are named as such."""
    assert error(source(either=dt.date(2026, 1, 1))).endswith("expected a whole number, or text, found a date")
