"""Every setting for people: what is in force, with secrets masked, and the table of all there are."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from receiver.config.declared import Declared, described, fields_of, is_secret, nested_of
from receiver.config.root import Config, RootSettings, without_userinfo
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, Settings, SinkSettings, SourceSettings
from receiver.registry import Registry

HIDDEN = "***"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as it is declared; `default` is None where it must be given."""

    table: str
    key: str
    type: str
    default: str | None
    help: str
    secret: bool
    inferred: bool


def masked(config: Config) -> dict[str, Any]:
    """Return everything in force as plain data, without secrets and without passwords in addresses."""
    data: dict[str, Any] = _plain(config.root)
    for group, entries in (("sources", config.sources), ("sinks", config.sinks)):
        data[group] = {name: _plain(settings) for name, settings in entries.items()}
    return data


def reference(registry: Registry) -> list[Row]:
    """Return every setting there is, from the declarations; plugins that cannot be loaded are left out."""
    rows = [*_rows("", RootSettings), *_rows("sources.NAME", SourceSettings)]
    for name in registry.providers:
        if (settings := _settings(registry, "provider", name)) is not None:
            rows += _rows(f'sources.NAME, provider = "{name}"', settings, SourceSettings)
    rows += _rows("sinks.NAME", SinkSettings)
    for kind in registry.sinks:
        if (settings := _settings(registry, "kind", kind)) is not None:
            rows += _rows(f'sinks.NAME, kind = "{kind}"', settings, SinkSettings)
    return rows


def reference_markdown(registry: Registry) -> str:
    """Return the reference as Markdown, a table of settings for each table of the file."""
    rows = reference(registry)
    parts = []
    for table in dict.fromkeys(row.table for row in rows):
        parts.append(
            f"### {f'`[{table}]`' if table else 'Top of the file'}\n\n| key | value | default | |\n|---|---|---|---|\n"
        )
        parts.append("".join(_line(row) for row in rows if row.table == table) + "\n")
    return "".join(parts).rstrip("\n") + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Settings):
        return {field.encode_name: _plain(getattr(value, field.name)) for field in msgspec.structs.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return without_userinfo(value) if isinstance(value, str) else value


def _settings(registry: Registry, key: str, name: str) -> type[Settings] | None:
    try:
        settings = registry.provider(name).Settings if key == "provider" else registry.sink(name).Settings
        fields_of(settings)
    except ConfigError:
        return None
    return settings


def _rows(table: str, cls: type[Settings], base: type[Settings] | None = None) -> Iterator[Row]:
    inherited = fields_of(base) if base else {}
    own = [field for key, field in fields_of(cls).items() if inherited.get(key) != field]
    yield from (_row(table, field) for field in own if nested_of(field.kind) is None)
    for field in own:
        if (inner := _inner(field.kind)) is not None:
            name, comma, rest = table.partition(",")
            yield from _rows(f"{name}.{field.key}{comma}{rest}" if name else field.key, inner)


def _inner(kind: inspect.Type) -> type[Settings] | None:
    """Return the class of a table in a table, or of each table in a list."""
    return nested_of(kind.item_type if isinstance(kind, inspect.VarTupleType) else kind)


def _row(table: str, field: Declared) -> Row:
    default = "" if field.default is None else msgspec.json.encode(field.default, enc_hook=str).decode()
    return Row(
        table=table,
        key=field.key,
        type=described(field.kind),
        default=None if field.required else default,
        help=field.help,
        secret=is_secret(field.kind),
        inferred=field.inferred,
    )


def _line(row: Row) -> str:
    default = "required" if row.default is None else f"`{row.default}`" if row.default else ""
    marks = [
        mark for mark, holds in (("secret", row.secret), ("inferred: the vendor does not say", row.inferred)) if holds
    ]
    text = f"{row.help} ({'; '.join(marks)})" if marks else row.help
    cells = (f"`{row.key}`", row.type, default, text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
