"""Reload: a running receiver takes new settings over without losing what is in flight.

Everything that new settings need is made before anything is changed, so a wrong file changes nothing. What only a start
can change keeps its value, is told, and the rest is applied.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from receiver import logs
from receiver.config import Config
from receiver.contract.provider import Provider
from receiver.making import routes, sources, wanted
from receiver.runtime import Running, unsealed

log = structlog.get_logger()

RELOADABLE = frozenset({"public_url", "event_prefix", "quarantine", "log", "log_level"})
"""Settings of the top of the file that a running receiver takes over; the others need a restart."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What is different between two groups of tables, by name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @classmethod
    def between(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> "Names":
        """Compare two groups of tables."""
        return cls(
            added=tuple(name for name in new if name not in old),
            removed=tuple(name for name in old if name not in new),
            changed=tuple(name for name in new if name in old and not _same(old[name], new[name])),
        )

    def told(self, what: str) -> dict[str, list[str]]:
        """Return the same for a log line, without what is empty."""
        return {f"{what}_{how}": list(names) for how, names in msgspec.structs.asdict(self).items() if names}


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload changes; `config` is what is in force afterwards, `restart` the keys that only a start changes."""

    config: Config
    sources: Names
    sinks: Names
    root: tuple[str, ...]
    restart: tuple[str, ...]


def changes(old: Config, new: Config) -> Changes:
    """Compare the settings in force with new ones."""
    keys = [key for key in old.root.__struct_fields__ if getattr(old.root, key) != getattr(new.root, key)]
    kept = {key: getattr(old.root, key) for key in keys if key not in RELOADABLE}
    return Changes(
        config=msgspec.structs.replace(new, root=msgspec.structs.replace(new.root, **kept)),
        sources=Names.between(old.sources, new.sources),
        sinks=Names.between(old.sinks, new.sinks),
        root=tuple(key for key in keys if key in RELOADABLE),
        restart=tuple(kept),
    )


async def reload(run: Running, new: Config) -> Changes:
    """Take new settings over: sources at once, sinks once the old ones ended.

    Raises ConfigError or StoreError with nothing changed.

    One that is left out of the new settings is answered 404 from now on, a sink gets nothing more; what it leaves in
    the store stays there. Sinks and sources that are the same are not touched.
    """
    runtime = run.runtime
    found = changes(runtime.config, await unsealed(new, runtime.store))
    made = _providers(run, found)
    fresh = (*found.sinks.added, *found.sinks.changed)
    runners = run.makes.runners(found.config, fresh) if run.makes else []
    root = found.config.root
    if {"log", "log_level"} & set(found.root):
        logs.configure(root.log, root.log_level)
    run.runtime = msgspec.structs.replace(runtime, config=found.config, sources=made)
    run.refusals.change(made, root.quarantine)
    run.reprocess.change(made, routes(found.config), root.event_prefix, wanted(found.config))
    run.asks.change(found.config, made)
    if run.ingest:
        run.ingest.change(made)
    if run.worker and run.makes:
        run.makes.change(found.config)
        run.makes.subscriptions.change(made, root.public_url)
        await run.worker.change(made, {*found.sinks.removed, *found.sinks.changed}, runners, root.grace)
    return found


def _providers(run: Running, found: Changes) -> dict[str, Provider[Any]]:
    """Return the sources: those that stay as they are, new ones where anything about them is new."""
    made = sources(found.config, run.runtime.registry)
    stay = made.keys() - {*found.sources.added, *found.sources.changed}
    return {name: run.runtime.sources[name] if name in stay else one for name, one in made.items()}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
