"""Loading a configuration: file, variables, tables, and what only all tables together show."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from receiver.config.checks import check_conditions, check_sources, check_together, warnings_of
from receiver.config.convert import BAD, read_table
from receiver.config.declared import fields_of
from receiver.config.interpolate import FromEnvironment, Place, interpolate
from receiver.config.root import Config, RootSettings, normal_store
from receiver.config.words import Problems, shown, unknown
from receiver.contract.errors import ConfigError
from receiver.contract.settings import SinkSettings, SourceSettings
from receiver.registry import Registry

DEFAULT_FILE = Path("hookscribe.toml")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path | None, environ: Mapping[str, str], registry: Registry) -> Config:
    """Read a file, by default `hookscribe.toml` here. Raises ConfigError with every error, one a line."""
    file = path or DEFAULT_FILE
    return build(_parsed(file), environ, registry, file)


def build(
    document: Mapping[str, Any], environ: Mapping[str, str], registry: Registry, path: Path | None = None
) -> Config:
    """Make a Config of tables as a file would hold them. Raises ConfigError with every error, one a line."""
    problems = Problems()
    tables = interpolate(document, environ, problems.report)
    root = _root(tables, environ, problems)
    sources = _entries(tables, "sources", registry, problems)
    sinks = _entries(tables, "sinks", registry, problems)
    check_sources(sources, registry, problems)
    if root is not None:
        check_together(root, sources, environ, problems)
        check_conditions(root, sources, sinks, problems)
    problems.raise_any(str(path) if path else "configuration")
    assert root is not None
    settings = Config(path=path, root=root, sources=sources, sinks=sinks)
    return msgspec.structs.replace(settings, warnings=warnings_of(root, sources, sinks))


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file; write one, name one with --config FILE, "
            "or try `hookscribe dev`, which needs none"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(file, str(error))) from None


def _syntax(file: Path, message: str) -> str:
    match = _POSITION.search(message)
    if match is None:
        return f"{file}: {message}"
    position = f"line {match[1]}, column {match[2]}" if match[1] else "end of file"
    return f"{file}: {position}: {message[: match.start()]}"


def _root(tables: Mapping[str, Any], environ: Mapping[str, str], problems: Problems) -> RootSettings | None:
    own = {key: value for key, value in tables.items() if key not in ("sources", "sinks")}
    for key in [key for key in own if key not in fields_of(RootSettings)]:
        problems.report((key,), unknown(key, [*fields_of(RootSettings), "sources", "sinks"]))
        del own[key]
    if "store" not in own and environ.get("DATABASE_URL"):
        own["store"] = FromEnvironment(environ["DATABASE_URL"], ("DATABASE_URL",))
    listen = own.get("listen", {})
    if environ.get("PORT") and isinstance(listen, Mapping) and "public" not in listen:
        own["listen"] = {**listen, "public": FromEnvironment(f"0.0.0.0:{environ['PORT']}", ("PORT",))}
    root = read_table(RootSettings, own, (), problems)
    if root is None:
        return None
    urls = {key: url.rstrip("/") for key in ("public_url", "admin_url") if (url := getattr(root, key))}
    return msgspec.structs.replace(root, store=normal_store(root.store), **urls)


def _entries(tables: Mapping[str, Any], group: str, registry: Registry, problems: Problems) -> dict[str, Any]:
    entries = tables.get(group, {})
    if not isinstance(entries, Mapping):
        problems.report((group,), f"expected tables [{group}.NAME], found {shown(entries)}")
        return {}
    read = {}
    for name, table in entries.items():
        place = (group, name)
        if not _NAME.fullmatch(name):
            problems.report(place, "a name has 1 to 63 lower-case letters, digits, _ and -, and begins with no sign")
        elif (settings := _entry(table, place, registry, problems)) is not None:
            read[name] = settings
    return read


def _entry(table: Any, place: Place, registry: Registry, problems: Problems) -> SourceSettings | SinkSettings | None:
    key = "provider" if place[0] == "sources" else "kind"
    known = registry.providers if key == "provider" else registry.sinks
    if not isinstance(table, Mapping):
        problems.report(place, f"expected a table, found {shown(table)}")
        return None
    if key not in table:
        problems.report((*place, key), f"is missing; known are {', '.join(known)}")
        return None
    chosen = table[key]
    if chosen is BAD or not isinstance(chosen, str):
        if isinstance(chosen, str | int | float | Mapping | list):
            problems.report((*place, key), f"expected one of {', '.join(known)}, found {shown(chosen)}")
        return None
    try:
        settings = (registry.provider(chosen) if key == "provider" else registry.sink(chosen)).Settings
        fields_of(settings)
    except ConfigError as error:
        found = f"{shown(chosen)}: " if chosen not in known else ""
        problems.report((*place, key), f"{found}{error}")
        return None
    return read_table(settings, table, place, problems)
