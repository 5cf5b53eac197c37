"""Follow: what a callback announces is fetched and becomes a transcript, also after faults, and once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kept import kept_in

from handlers.providers.callmissed import CallMissed, CallMissedSettings
from receiver.asking.callers import Callers
from receiver.config import load
from receiver.contract.asking import Fetched
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Proven
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret
from receiver.pipeline.jobs.follow import Follow
from receiver.pipeline.keeping import receipt_for
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.offload import Offload
from receiver.pipeline.outbox import Outbox, Route
from receiver.registry import discover
from receiver.store.lists import Lists
from receiver.store.store import Store
from receiver.testing.emulators.callmissed import ANALYSED, CallMissedEmulator, Switches
from receiver.testing.emulators.serving import serving as emulating
from receiver.testing.store import Clock
from receiver.web.serve import serving

SECRET = "a-secret-of-callmissed"


def subscribe(emulator: CallMissedEmulator, address: str) -> None:
    """Subscribe an address, with a secret that is known."""
    emulator.webhooks.records["w1"] = {"url": address, "secret": SECRET, "events": [ANALYSED], "is_active": True}


async def test_a_running_receiver_fetches_the_words(tmp_path: Path) -> None:
    """From the signed callback to the session's transcript, with nobody asking for it."""
    emulator = CallMissedEmulator(Switches(late=0))
    async with emulating(emulator.app) as api:
        path = tmp_path / "hookscribe.toml"
        listen = '[listen]\npublic = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
        source = emulator.configuration(api) + f'secrets = ["{SECRET}"]\n'
        path.write_text(f'store = "sqlite:{tmp_path / "store.db"}"\n{listen}{source}')
        async with serving(load(path, {}, discover()), discover()) as (run, addresses):
            subscribe(emulator, f"{addresses.public}/hooks/callmissed")
            emulator.hold("s-1")
            await emulator.announce("s-1")
            found: list[Any] = []
            async with asyncio.timeout(30):
                while len(found) < 3:
                    found = list((await Lists(run.runtime.store.engine).transcripts({}, whole=False)).items)
                    await asyncio.sleep(0.1)
    made = {(one["operation"], one["job_id"]) for one in found}
    assert made == {("conversation", "an-s-1"), ("conversation-analysis", "s-1"), ("conversation", "s-1")}


class World:
    """A store with one announced analysis, and what follows it; time stands still."""

    def __init__(self, store: Store, clock: Clock, emulator: CallMissedEmulator, api: str) -> None:
        self.store, self.clock, self.emulator = store, clock, emulator
        settings = CallMissedSettings(
            provider="callmissed",
            api_url=api,
            api_key=Secret(emulator.key),
            api_private=True,
            verify="none",
        )
        self.provider = CallMissed("voice", settings)
        self.callers = Callers({"voice": self.provider}, store, now=clock, sleep=self.sleep)
        self.follow = Follow(store, self.callers, self.keep)
        self.kept: list[Fetched] = []

    async def sleep(self, seconds: float) -> None:
        """Wait at once."""
        self.clock.ms += int(seconds * 1000)

    async def keep(self, provider: Provider[Any], found: Fetched) -> None:
        """Note what would be kept."""
        assert provider is self.provider
        self.kept.append(found)

    async def announced(self, session: str) -> None:
        """Keep the callback about a session, normalized."""
        data = {"analysis_id": f"an-{session}", "session_id": session}
        body = msgspec.json.encode({"event": ANALYSED, "data": data})
        request = InboundRequest(source="voice", token=None, headers=(), body=body, received_at=self.store.now_ms())
        proven = self.provider.prove(request, self.clock())
        assert isinstance(proven, Proven)
        await self.store.keep([receipt_for(self.provider, proven, self.store.ids.next())])
        routes = [Route(sink="a", events=("*",), sources=("*",))]
        offload = Offload(30)
        normalize = Normalize(self.store, {"voice": self.provider}, Outbox(routes, self.store.ids), offload=offload)
        await normalize.step()
        await offload.close()

    async def noted(self) -> list[tuple[int, int | None, str | None]]:
        """Return tries, next time and reason of what was followed."""
        async with self.store.engine.transaction() as tx:
            rows = await tx._connection.execute_fetchall("SELECT tries, due_at, why FROM followed")  # type: ignore[attr-defined]
        return [tuple(row) for row in rows]


@contextlib.asynccontextmanager
async def world(folder: Path, switches: Switches | None = None) -> AsyncIterator[World]:
    """Give a store and an emulator."""
    clock = Clock()
    emulator = CallMissedEmulator(switches or Switches(), now=clock)
    async with emulating(emulator.app) as api, kept_in(folder / "store.db", clock) as store:
        made = World(store, clock, emulator, api)
        try:
            yield made
        finally:
            await made.callers.close()


async def test_an_analysis_that_is_late_is_waited_for(tmp_path: Path) -> None:
    """It is asked for again after half a minute, and not once more when it was there."""
    async with world(tmp_path, Switches(late=1)) as one:
        one.emulator.hold("s-1")
        await one.announced("s-1")
        assert await one.follow.once() == 0
        assert await one.follow.once() == 0
        assert [(tries, due is not None) for tries, due, _ in await one.noted()] == [(1, True)]
        one.clock.ms += 31_000
        assert await one.follow.once() == 2
        assert await one.noted() == [(2, None, None)]
        one.clock.ms += 86_000_000
        assert (await one.follow.once(), len(one.kept)) == (0, 2)


@pytest.mark.parametrize("fault", [403, 404])
async def test_a_refusal_ends_it(tmp_path: Path, fault: int) -> None:
    """What the provider will not give is noted with its reason, and asked for no more."""
    async with world(tmp_path) as one:
        await one.announced("s-1")
        one.emulator.app.faults.append(("sessions", fault))
        assert await one.follow.once() == 0
        ((tries, due, why),) = await one.noted()
        assert (tries, due) == (1, None)
        assert str(fault) in (why or "")
        one.clock.ms += 60_000
        assert await one.follow.once() == 0
        assert len(one.emulator.app.seen) == 1


async def test_a_crash_in_the_middle_is_tried_again(tmp_path: Path) -> None:
    """The try was counted before it began; after twelve it is given up."""
    async with world(tmp_path, Switches(late=100)) as one:
        one.emulator.hold("s-1")
        await one.announced("s-1")
        crash = asyncio.create_task(one.follow.once())
        while not one.emulator.app.seen:
            await asyncio.sleep(0)
        crash.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await crash
        for _ in range(20):
            one.clock.ms += 7_200_000
            await one.follow.once()
        ((tries, due, why),) = await one.noted()
        assert (tries, due) == (12, None)
        assert "does not have yet" in (why or "")
