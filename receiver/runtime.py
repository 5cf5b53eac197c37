"""The composition root: clock, environment, store, sources and sinks are made here and passed in."""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from receiver.config import Config
from receiver.contract.errors import SchemaError
from receiver.contract.provider import Provider
from receiver.registry import Registry
from receiver.store.opening import open_store
from receiver.store.store import Store


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What commands and listeners work with."""

    config: Config
    registry: Registry
    store: Store
    sources: dict[str, Provider[Any]]


def sources(config: Config, registry: Registry) -> dict[str, Provider[Any]]:
    """Make the provider of every source."""
    return {name: registry.provider(settings.provider)(name, settings) for name, settings in config.sources.items()}


@contextlib.asynccontextmanager
async def opened(config: Config, registry: Registry) -> AsyncIterator[Runtime]:
    """Open the store beside a running `serve`, for a command. Raises SchemaError where it has another schema."""
    store = await open_store(config.root.store, time.time)
    try:
        if not await store.engine.current():
            raise SchemaError(f"{config.root.store} does not have this release's schema: run `hookscribe migrate`")
        await store.register("command")
        yield Runtime(config=config, registry=registry, store=store, sources=sources(config, registry))
    finally:
        await store.engine.close()
