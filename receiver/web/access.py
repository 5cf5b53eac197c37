"""The admin token: set, or made at the first start and kept beside the store, readable by its owner only."""

from pathlib import Path

from receiver.config import Config
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.store.opening import is_shared, sqlite_path
from receiver.store.secrets_beside import kept_secret


def token_file(config: Config) -> Path:
    """Return where a made token is kept."""
    path = sqlite_path(config.root.store)
    return path.with_name(path.name + "-admin-token")


def admin_token(config: Config) -> Secret:
    """Return the token that opens page and API. Raises ConfigError where it can be neither read nor made."""
    if config.root.admin_token is not None:
        return config.root.admin_token
    if is_shared(config.root.store):
        raise ConfigError(
            'admin_token: with PostgreSQL it has to be set, to the same for every process: admin_token = "${ADMIN_TOKEN}"; '
            "`openssl rand -base64 32` makes one"
        )
    return kept_secret(token_file(config), "admin_token", "set admin_token instead")
