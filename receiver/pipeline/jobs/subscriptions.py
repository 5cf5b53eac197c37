"""Subscriptions: the standing orders at providers to call us - made, listed, renewed before they end, moved, healed."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from receiver.asking.caller import Caller
from receiver.asking.callers import Callers
from receiver.contract.asking import Subscription
from receiver.contract.errors import ProviderError, UsageError
from receiver.contract.provider import Provider
from receiver.contract.times import from_ms
from receiver.pipeline.outbox import Outbox, Plan
from receiver.store.sealed import Sealed
from receiver.store.store import Store

log = structlog.get_logger()

DEAD = "ops.source_silent"
"""What is told of a subscription that died: nothing comes from its source any more."""
_SHARE = 3
"""A subscription is renewed when a third of its life is left, and at the latest an hour before its end."""
_HOUR = 3600.0


class Mine(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that sends to this source, at the present address or at a former one."""

    source: str
    at: Subscription
    here: bool
    """It sends to the address that is ours now."""


class Subscriptions:
    """What can be done with the subscriptions of each source."""

    def __init__(
        self,
        callers: Callers,
        store: Store,
        sealed: Sealed,
        sources: Mapping[str, Provider[Any]],
        public_url: str | None,
    ) -> None:
        self.callers = callers
        """Shared with whatever else asks."""
        self._store = store
        self._sealed = sealed
        self._sources = sources
        self._public_url = public_url

    def change(self, sources: Mapping[str, Provider[Any]], public_url: str | None) -> None:
        """Go by other settings."""
        self.callers.change(sources)
        self._sources = sources
        self._public_url = public_url

    def subscribing(self) -> list[str]:
        """Return the sources whose provider has subscriptions and can be asked."""
        return [
            name for name, provider in self._sources.items() if (api := provider.api()) is not None and api.subscribes
        ]

    def address(self, source: str) -> str:
        """Return where callbacks of a source are to be sent, its first token included. Raises UsageError."""
        if self._public_url is None:
            raise UsageError(
                "public_url is not set, so nobody knows where providers reach us; set it, or give --to URL"
            )
        tokens = self._sources[source].settings.token
        return "/".join([self._public_url.rstrip("/"), "hooks", source, *(token.value for token in tokens[:1])])

    async def listed(self, source: str) -> list[Mine]:
        """Return the subscriptions that send to a source of this name. Raises UsageError or ProviderError."""
        caller = self._caller(source)
        found = await caller.run(caller.api.subscriptions())
        here = self.address(source) if self._public_url else None
        return [
            Mine(source=source, at=one, here=one.address == here) for one in found if _sends_to(one.address, source)
        ]

    async def create(self, source: str, events: Sequence[str] = ()) -> Subscription:
        """Make a subscription to the present address. Raises UsageError where there is a live one already."""
        caller, address = self._caller(source), self.address(source)
        if any(one.here and one.at.alive for one in await self.listed(source)):
            raise UsageError(
                f"{source} has a live subscription to its address; `hookscribe subscriptions list {source}` shows it"
            )
        return await self._made(source, await caller.run(caller.api.subscribe(address, tuple(events))))

    async def renew(self, source: str) -> list[Subscription]:
        """Renew the live subscriptions to the present address."""
        mine = [one for one in await self.listed(source) if one.here and one.at.alive]
        return [await self._again(one) for one in mine]

    async def heal(self, source: str) -> list[Subscription]:
        """Bring the dead subscriptions to the present address to life; make one where there is none.

        Where callbacks are signed with a secret that was shown once and is not here, all of them are made anew.
        """
        mine = [one for one in await self.listed(source) if one.here]
        if not mine:
            return [await self.create(source)]
        lost = [one for one in mine if await self._lost(one)]
        anew = [await self._anew(one) for one in lost]
        return [*anew, *[await self._again(one) for one in mine if not one.at.alive and one not in lost]]

    async def move(self, source: str, *, former: str | None = None) -> list[Subscription]:
        """Let the subscriptions at other addresses send to the present one; `former` names the address's beginning.

        Raises UsageError where they are at several hosts and none is named: another receiver may be theirs.
        """
        away = [one for one in await self.listed(source) if not one.here]
        if former is not None:
            away = [one for one in away if one.at.address.startswith(former)]
        hosts = sorted({urlsplit(one.at.address).netloc for one in away})
        if former is None and len(hosts) > 1:
            raise UsageError(f"{source} has subscriptions at {', '.join(hosts)}: name the one to move with --from URL")
        return [await self._again(one) for one in away]

    async def _again(self, one: Mine) -> Subscription:
        caller = self._caller(one.source)
        made = await caller.run(caller.api.resubscribe(one.at, self.address(one.source)))
        if made.id != one.at.id:
            await self._store.engine.write("drop_subscription", {"source": one.source, "id": one.at.id})
        return await self._made(one.source, made)

    async def _anew(self, one: Mine) -> Subscription:
        """Make another, then end the one whose secret nobody has."""
        caller = self._caller(one.source)
        made = await self._made(one.source, await caller.run(caller.api.subscribe(one.at.address, one.at.events)))
        await caller.run(caller.api.unsubscribe(one.at))
        await self._store.engine.write("drop_subscription", {"source": one.source, "id": one.at.id})
        return made

    async def _made(self, source: str, made: Subscription) -> Subscription:
        """Keep the secret first: it is shown once."""
        if made.secret is not None:
            await self._sealed.put(source, made.id, made.secret)
        await self.seen(source, made)
        return made

    async def seen(self, source: str, one: Subscription) -> None:
        """Remember a live subscription of ours, so that its death is noticed."""
        lifetime = None if one.expires_in is None else int(one.expires_in * 1000)
        row = {
            "source": source,
            "id": one.id,
            "address": urlsplit(one.address).netloc,
            "lifetime": lifetime,
            "expires_at": None if lifetime is None else self._store.now_ms() + lifetime,
        }
        await self._store.engine.write("put_subscription", row)

    async def _lost(self, one: Mine) -> bool:
        """Say whether callbacks are signed with a secret that we have not got."""
        settings = self._sources[one.source].settings
        return settings.seals() and not settings.has_secret() and one.at.id not in await self._sealed.of(one.source)

    def _caller(self, source: str) -> Caller:
        caller = self.callers.of(source)
        if not caller.api.subscribes:
            raise UsageError(f"sources.{source}: {caller.api.name} has no subscriptions")
        return caller


class Upkeep:
    """Renews subscriptions before they end, and tells of those that died."""

    def __init__(self, subscriptions: Subscriptions, store: Store, outbox: Outbox) -> None:
        self.subscriptions = subscriptions
        self._store = store
        self._outbox = outbox

    async def step(self) -> int:
        """Look at every source once; return how many events that made. Raises StoreError."""
        plan = self._outbox.plan(self._store.now_ms())
        for source in self.subscriptions.subscribing():
            try:
                await self._look(source, plan)
            except (ProviderError, UsageError) as error:
                log.warning("subscriptions.not_seen", source=source, why=str(error))
        made = len(plan.writes.events)
        if made:
            await self._store.write(plan.writes)
        return made

    async def _look(self, source: str, plan: Plan) -> None:
        known = {row[0]: row for row in await self._store.engine.rows("known_subscriptions", {"source": source})}
        mine = {one.at.id: one.at for one in await self.subscriptions.listed(source) if one.here}
        for one in mine.values():
            if one.alive:
                await self.subscriptions.seen(source, one)
        if any(one.alive and _ends(one, known.get(one.id)) for one in mine.values()):
            for made in await self.subscriptions.renew(source):
                log.info("subscription.renewed", source=source, id=made.id)
        for name, row in known.items():
            if (name not in mine or not mine[name].alive) and not row[4]:
                reason = mine[name].reason if name in mine else "the provider does not list it any more"
                self._tell(plan, source, name, row[3], reason)
                await self._store.engine.write("told_subscription", {"source": source, "id": name})

    def _tell(self, plan: Plan, source: str, name: str, expires_at: int | None, reason: str | None) -> None:
        log.warning("subscription.dead", source=source, id=name, why=reason)
        data = {
            "source": source,
            "subscription": name,
            "expires_at": from_ms(expires_at) if expires_at is not None else None,
            "reason": reason,
            "way_out": f"hookscribe subscriptions heal {source}",
        }
        plan.event(DEAD, source, source, data=data)


def _ends(one: Subscription, known: Sequence[Any] | None) -> bool:
    """Say whether a subscription is to be renewed now."""
    if one.expires_in is None:
        return False
    lifetime = max((known[2] or 0) / 1000 if known else 0.0, one.expires_in)
    return one.expires_in < max(lifetime / _SHARE, min(_HOUR, lifetime / 2))


def _sends_to(address: str, source: str) -> bool:
    """Say whether an address is one of a source of this name, wherever it is."""
    _, hooks, rest = urlsplit(address).path.rpartition("/hooks/")
    return bool(hooks) and rest.split("/")[0] == source
