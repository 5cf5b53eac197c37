"""Tables of settings for tests: read as the engine reads its file."""

from collections.abc import Mapping
from typing import Any, TypeVar

from receiver.config.convert import read_table
from receiver.config.words import Problems
from receiver.contract.settings import Settings

SettingsT = TypeVar("SettingsT", bound=Settings)


def settings_of(cls: type[SettingsT], table: Mapping[str, Any]) -> SettingsT:
    """Return the settings that a table of hookscribe.toml holds, checked. Raises ConfigError with every error."""
    problems = Problems()
    settings = read_table(cls, table, ("tests", "table"), problems)
    problems.raise_any("hookscribe.toml")
    assert settings is not None
    return settings
