"""The settings of a command: read, checked, their warnings shown."""

import os
from pathlib import Path

from receiver.cli.output import warn
from receiver.config import Config, load
from receiver.registry import Registry, discover


def loaded(path: Path | None) -> tuple[Config, Registry]:
    """Return the configuration and what is installed; `path` is the command's `--config`. Raises ConfigError."""
    registry = discover()
    config = load(path, os.environ, registry)
    for warning in config.warnings:
        warn(warning)
    return config, registry
