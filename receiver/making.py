"""Makes sources, sinks and what they need, as the settings say: clock, chance and keys come in here."""

import functools
import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from receiver.config import Config
from receiver.contract.errors import ConfigError
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret
from receiver.contract.sink import Sink, SinkPorts
from receiver.links import Links, key_file
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.condition import Condition
from receiver.pipeline.deliver import Runner
from receiver.pipeline.jobs.submit import Places
from receiver.pipeline.jobs.subscriptions import Subscriptions
from receiver.pipeline.outbox import Outbox, Route
from receiver.pipeline.shape import Addresses, Shaped
from receiver.pipeline.wanted import Wanted
from receiver.registry import Registry
from receiver.store.ids import JOB, encode
from receiver.store.memory import StoredMemory
from receiver.store.opening import is_shared, sqlite_path
from receiver.store.sealed import key_beside
from receiver.store.secrets_beside import kept_secret
from receiver.store.store import Store


def sources(config: Config, registry: Registry) -> dict[str, Provider[Any]]:
    """Make the provider of every source."""
    return {name: registry.provider(settings.provider)(name, settings) for name, settings in config.sources.items()}


def sinks(config: Config, registry: Registry, ports: SinkPorts, names: Iterable[str]) -> list[Sink[Any]]:
    """Make the sinks of these names; none is opened yet."""
    chosen = [(name, config.sinks[name]) for name in names]
    return [registry.sink(settings.kind)(name, settings, ports) for name, settings in chosen]


def redacting(sink: Sink[Any]) -> Sink[Any]:
    """Return a sink behind its redaction, or as it is where its settings mask nothing."""
    if sink.settings.redact is None:
        return sink
    from receiver.pipeline.redacted import Redacted  # noqa: PLC0415 -- only who redacts pays its import

    return Redacted(sink, sink.settings.redact)


def routes(config: Config) -> list[Route]:
    """Return which events go to which sink. Raises ConfigError."""
    render = renderer(config)
    return [
        Route(
            sink=name,
            events=settings.events,
            sources=settings.sources,
            first_wait=int(settings.retry[0] * 1000) if settings.retry else 0,
            where=Condition(settings.where, render) if settings.where is not None else None,
        )
        for name, settings in config.sinks.items()
    ]


def renderer(config: Config) -> Renderer:
    """Return what makes public events of rows, as the settings have them."""
    return Renderer(config.root.public_url, config.root.admin_url, config.root.event_prefix)


def links(config: Config) -> Links:
    """Return what signs links: with `seal_key`, else a key beside the store.

    Raises ConfigError where it can be neither read nor made.
    """
    if config.root.seal_key is not None or is_shared(config.root.store):
        return Links(seal_key(config), time.time)
    path = key_file(sqlite_path(config.root.store))
    return Links(kept_secret(path, "payload_links", "set payload_links = false instead"), time.time)


def wanted(config: Config) -> dict[str, Wanted]:
    """Return which events are made of each source's callbacks."""
    return {name: Wanted(include=settings.include, ignore=settings.ignore) for name, settings in config.sources.items()}


def places(config: Config) -> Places:
    """Return the addresses that providers are given; the key is made when it is first needed."""
    return Places(
        public_url=config.root.public_url,
        key=functools.cache(lambda: seal_key(config)),
        media=lambda job: links(config).sign("media", encode(JOB, job)),
    )


def recordings(config: Config) -> Path | None:
    """Return the folder for recordings that are uploaded to us, None where there is none."""
    if config.root.recordings is not None:
        return Path(config.root.recordings).absolute()
    url = config.root.store
    return None if is_shared(url) else Path(f"{sqlite_path(url).absolute()}-recordings")


def seal_key(config: Config) -> Secret:
    """Return the key that seals secrets and makes tokens. Raises ConfigError where it can be neither read nor made."""
    if config.root.seal_key is not None:
        return config.root.seal_key
    if is_shared(config.root.store):
        raise ConfigError(
            'seal_key: with PostgreSQL it has to be set, to the same for every process: seal_key = "${SEAL_KEY}"; '
            "`hookscribe keygen` makes one"
        )
    return key_beside(sqlite_path(config.root.store))


def check_seal_key(config: Config, made: Mapping[str, Provider[Any]]) -> None:
    """Raise ConfigError where processes on several hosts need the same key, and none is set."""
    if is_shared(config.root.store) and any(one.api() is not None or one.settings.seals() for one in made.values()):
        seal_key(config)


class Makes(msgspec.Struct, frozen=True, kw_only=True):
    """What runners are made with, at the start and at each reload; `outbox`, `render` and `addresses` they share."""

    registry: Registry
    store: Store
    ports: SinkPorts
    outbox: Outbox
    render: Renderer
    subscriptions: Subscriptions
    addresses: Addresses

    def runners(self, config: Config, names: Iterable[str]) -> list[Runner]:
        """Make the runners of some sinks; none is opened yet. Raises ConfigError."""
        made = [sink for name in names for sink in sinks(config, self.registry, self._ports_of(name), [name])]
        if any(sink.settings.payload_links for sink in made):
            self.addresses.links = links(config)
        return [
            Runner(
                redacting(Shaped(sink, self.addresses)),
                self.store,
                self.outbox,
                render=self.render,
                dice=random.random,
                now=time.time,
            )
            for sink in made
        ]

    def _ports_of(self, sink: str) -> SinkPorts:
        return msgspec.structs.replace(self.ports, memory=StoredMemory(self.store, sink))

    def change(self, config: Config) -> None:
        """Send events where the settings say from now on, and as they say."""
        self.outbox.change(routes(config), config.root.event_prefix, wanted(config))
        self.render.change(config.root.public_url, config.root.event_prefix)
        self.addresses.change(config.root.public_url)
