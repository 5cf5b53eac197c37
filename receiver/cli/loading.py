"""The settings of a command: read, checked, their warnings shown."""

import asyncio
import os
from pathlib import Path

from receiver.cli.output import warn
from receiver.config import Config, load
from receiver.registry import Registry, discover
from receiver.runtime import opened


def loaded(path: Path | None) -> tuple[Config, Registry]:
    """Return the configuration and what is installed; `path` is the command's `--config`. Raises ConfigError."""
    registry = discover()
    config = load(path, os.environ, registry)
    for warning in config.warnings:
        warn(warning)
    return config, registry


def with_kept_secrets(config: Config, registry: Registry, source: str) -> Config:
    """Return the settings with the secrets of a source that the store keeps; others are not looked for.

    Raises ConfigError or StoreError.
    """
    if source not in config.sources or not config.sources[source].seals():
        return config

    async def read() -> Config:
        async with opened(config, registry) as runtime:
            return runtime.config

    return asyncio.run(read())
