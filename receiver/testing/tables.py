"""Tables of settings for tests: read as the engine reads its file; and the secrets in them."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from receiver.config.convert import read_table
from receiver.config.words import Problems
from receiver.contract.settings import Secret, Settings

SettingsT = TypeVar("SettingsT", bound=Settings)


def settings_of(cls: type[SettingsT], table: Mapping[str, Any]) -> SettingsT:
    """Return the settings that a table of hookscribe.toml holds, checked. Raises ConfigError with every error."""
    problems = Problems()
    settings = read_table(cls, table, ("tests", "table"), problems)
    problems.raise_any("hookscribe.toml")
    assert settings is not None
    return settings


def secrets_in(value: Any) -> list[str]:
    """Return the text of every secret in some settings."""
    if isinstance(value, Secret):
        return [value.value] if value.value else []
    if isinstance(value, msgspec.Struct):
        return [found for field in msgspec.structs.fields(value) for found in secrets_in(getattr(value, field.name))]
    if isinstance(value, dict):
        return [found for item in value.values() for found in secrets_in(item)]
    if isinstance(value, tuple | list):
        return [found for item in value for found in secrets_in(item)]
    return []
