"""Secrets that are made once and kept beside the store, readable by its owner only."""

import os
import secrets
from pathlib import Path

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret


def kept_secret(path: Path, key: str, way_out: str) -> Secret:
    """Return the secret in a file, made where there is none. Raises ConfigError, which names the key and a way out."""
    try:
        _make(path)
        return Secret(path.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path} cannot be read or made: {error}; {way_out}") from error


def _make(path: Path) -> None:
    """Write a new secret, whole or not at all, unless there is one."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(32).encode())
        os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its secret counts
    finally:
        os.close(descriptor)
        draft.unlink()
