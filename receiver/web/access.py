"""The admin token: set, or made at the first start and kept beside the store, readable by its owner only."""

import os
import secrets
from pathlib import Path

from receiver.config import Config
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.store.opening import sqlite_path


def token_file(config: Config) -> Path:
    """Return where a made token is kept."""
    path = sqlite_path(config.root.store)
    return path.with_name(path.name + "-admin-token")


def admin_token(config: Config) -> Secret:
    """Return the token that opens page and API. Raises ConfigError where it can be neither read nor made."""
    if config.root.admin_token is not None:
        return config.root.admin_token
    path = token_file(config)
    try:
        _make(path)
        return Secret(path.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"admin_token: {path} cannot be read or made: {error}; set admin_token instead") from error


def _make(path: Path) -> None:
    """Write a new token, whole or not at all, unless there is one."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(32).encode())
        os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its token counts
    finally:
        os.close(descriptor)
        draft.unlink()
