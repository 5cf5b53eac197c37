"""The settings of `hookscribe dev` where there is no hookscribe.toml: made once, kept, readable by nobody else."""

import os
import secrets
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from receiver.contract.errors import ConfigError, HookscribeError
from receiver.contract.settings import Secret
from receiver.registry import Registry

FOLDER = Path(".hookscribe")
FILE = FOLDER / "dev.toml"

_HEAD = """\
# Made by `hookscribe dev`, with throw-away tokens; kept, so that the addresses stay the same.
# Delete the file for new ones. For more than trying things out, write a hookscribe.toml.
store = "sqlite:{folder}/dev.db"
admin_token = "{token}"

[listen]
public = "127.0.0.1:8080"
admin = "127.0.0.1:8081"

[sinks.file]
kind = "jsonl"
path = "{folder}/events.jsonl"
"""
_SOURCE = """
[sources.{name}]
provider = "{name}"
token = "{token}"
"""


def made(registry: Registry) -> Path:
    """Return the file, made where it is missing, with a source for every provider that a token can prove."""
    try:
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        _write(FOLDER / ".gitignore", "*\n", os.O_TRUNC)
        known = _known_providers()
        _write(FILE, "".join(_parts(registry, known)), os.O_APPEND)
        FILE.chmod(0o600)
    except OSError as error:
        raise ConfigError(f"{FILE}: cannot be made: {error.strerror}; write a hookscribe.toml instead") from error
    return FILE


def _known_providers() -> set[str] | None:
    """Return the providers that have a source in the file; None where there is no file."""
    try:
        sources = tomllib.loads(FILE.read_text("utf-8")).get("sources", {})
        return {source["provider"] for source in sources.values()}
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError, LookupError, TypeError):
        raise ConfigError(f"{FILE}: cannot be read; delete it, and new tokens are made") from None


def _parts(registry: Registry, known: set[str] | None) -> Iterator[str]:
    if known is None:
        yield _HEAD.format(folder=FOLDER, token=secrets.token_urlsafe(32))
    for name in registry.providers:
        if name not in (known or ()) and _proven_by_token(registry, name):
            yield _SOURCE.format(name=name, token=secrets.token_urlsafe(32))


def _proven_by_token(registry: Registry, name: str) -> bool:
    """Say whether a token alone proves this provider's callbacks; others need settings that nobody can make up."""
    try:
        provider = registry.provider(name)
        table = {"provider": name, "token": [secrets.token_urlsafe(32)]}
        settings = msgspec.convert(table, provider.Settings, dec_hook=lambda _, value: Secret(value))
        settings.check()
        return bool(provider(name, settings).proofs())
    except (HookscribeError, ValueError, TypeError, LookupError):
        return False


def _write(file: Path, text: str, flag: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
