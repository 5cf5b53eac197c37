"""The callers of all sources, made when they are first needed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from receiver.asking.caller import Caller
from receiver.asking.client import ProviderClient
from receiver.contract.asking import Limit
from receiver.contract.errors import UsageError
from receiver.contract.provider import Provider
from receiver.store import buckets
from receiver.store.store import Store


class StoredBuckets(msgspec.Struct, frozen=True):
    """The limits of one source, counted in the store."""

    store: Store
    source: str

    async def take(self, bucket: str, limit: Limit) -> float:
        """Take the right to ask once, or return the seconds after which to come again."""
        return await buckets.take(self.store, self.source, bucket, limit)

    async def freeze(self, bucket: str, seconds: float) -> None:
        """Let nobody ask for some seconds."""
        await buckets.freeze(self.store, self.source, bucket, seconds)


class Callers:
    """Gives each source's caller; close it to close their connections."""

    def __init__(
        self,
        sources: Mapping[str, Provider[Any]],
        store: Store,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`now` is Unix time in seconds."""
        self.sources = sources
        """As the settings are now."""
        self._store = store
        self._now = now
        self._sleep = sleep
        self._made: dict[str, tuple[Provider[Any], Caller, ProviderClient]] = {}
        self._leaving: list[ProviderClient] = []

    def change(self, sources: Mapping[str, Provider[Any]]) -> None:
        """Go by other settings; what is under way ends with the old ones."""
        self.sources = sources

    def of(self, source: str) -> Caller:
        """Return the caller of a source. Raises UsageError where it cannot be asked, naming what is missing."""
        provider = self.sources.get(source)
        if provider is None:
            raise UsageError(f"there is no source {source}; the settings have {', '.join(self.sources) or 'none'}")
        made = self._made.get(source)
        if made is not None and made[0] is provider:
            return made[1]
        api = provider.api()
        if api is None:
            raise UsageError(_missing(source, provider))
        if made is not None:
            self._leaving.append(made[2])
        client = ProviderClient(private=provider.settings.api_private)
        caller = Caller(api, client, StoredBuckets(self._store, source), now=self._now, sleep=self._sleep)
        self._made[source] = (provider, caller, client)
        return caller

    def askable(self) -> list[str]:
        """Return the sources that can be asked."""
        return [name for name, provider in self.sources.items() if provider.api() is not None]

    async def close(self) -> None:
        """Close every connection."""
        for client in (*self._leaving, *(made[2] for made in self._made.values())):
            await client.close()
        self._made.clear()
        self._leaving.clear()


def _missing(source: str, provider: Provider[Any]) -> str:
    if not provider.api_settings:
        return f"sources.{source}: {provider.name} has no API that Hookscribe knows of"
    return f"sources.{source}: set {', '.join(provider.api_settings)} to let Hookscribe ask {provider.name}"
