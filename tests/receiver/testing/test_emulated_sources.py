"""Emulators by name: each can be made without an account, and gives the settings of a source that can ask it."""

import tomllib

import pytest

from receiver.config.load import build
from receiver.contract.errors import UsageError
from receiver.registry import discover
from receiver.testing.emulators import EMULATORS, emulator

BASE = "http://127.0.0.1:9999"


@pytest.mark.parametrize("name", EMULATORS)
def test_an_emulator_gives_settings_that_load(name: str) -> None:
    """The source that they make has an API."""
    made = emulator(name)
    registry = discover()
    config = build(tomllib.loads(made.configuration(BASE)), {}, registry)
    (settings,) = config.sources.values()
    assert (settings.provider, settings.api_private) == (name, True)
    assert registry.provider(name)(name, settings).api() is not None


def test_a_provider_without_one_is_named() -> None:
    """The error lists those that there are."""
    with pytest.raises(UsageError, match="there is no emulator of 'acme'; there are"):
        emulator("acme")
