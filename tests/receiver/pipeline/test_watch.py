"""What goes wrong slowly is told once, whatever is restarted, and again only after it was over."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from pipeline_fakes import Acme, World, world

from receiver.contract.errors import StoreUnavailable
from receiver.contract.settings import SourceSettings
from receiver.pipeline import watch as watch_module
from receiver.pipeline.watch import Watch
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import RefusalCount

HOUR = 3_600_000
NIGHT = 8 * 3600.0


@pytest.fixture
async def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["Site"]:
    """Give a store with its quarantine, at the start of an hour."""
    monkeypatch.setattr(watch_module, "SETTLES", 0.0)
    async with world(tmp_path) as made:
        made.clock.ms -= made.clock.ms % HOUR
        quarantine = Quarantine(tmp_path / "quarantine", made.clock)
        yield Site(made, quarantine)
        await quarantine.close()


class Site:
    """A store, its quarantine, and the watch over both."""

    def __init__(self, one: World, quarantine: Quarantine) -> None:
        self.world = one
        self.quarantine = quarantine
        self.restart()

    def restart(self, *, silent_after: float | None = NIGHT, counts: bool = True) -> None:
        """Begin anew, as another process would."""
        acme = Acme("acme", SourceSettings(provider="acme", silent_after=silent_after))
        self.watch = Watch(self.world.store, self.quarantine, {"acme": acme}, self.world.outbox, counts=counts)

    def later(self, hours: float) -> None:
        """Let time pass."""
        self.world.clock.ms += int(hours * HOUR)

    async def refused(self, count: int, source: str = "acme") -> None:
        """Count refusals in this hour."""
        await self.quarantine.count([RefusalCount(self.quarantine.hour(), source, "signature_mismatch", count)])

    async def accepted(self, count: int) -> None:
        """Keep receipts now."""
        for _ in range(count):
            await self.world.keep()

    def told(self) -> list[str]:
        """Return what people were told so far."""
        return [kind for kind in self.world.types() if kind.startswith("ops.")]


async def test_a_source_that_falls_silent_is_told_once(one: Site) -> None:
    """Not before its time, not twice, not again after a restart; again after it was heard."""
    await one.accepted(1)
    one.later(7.9)
    assert await one.watch.step() == 0
    one.later(0.2)
    assert await one.watch.step() == 1
    assert await one.watch.step() == 0
    one.restart()
    one.later(100)
    assert await one.watch.step() == 0
    await one.accepted(1)
    assert await one.watch.step() == 0
    one.later(9)
    assert await one.watch.step() == 1
    assert one.told() == ["ops.source_silent"] * 2


async def test_the_silence_is_described(one: Site) -> None:
    """Which source, since when, and after how long it counts."""
    await one.accepted(1)
    one.later(9)
    await one.watch.step()
    source, subject, data = one.world.sql("SELECT source, subject, data FROM events")[0]
    said = msgspec.json.decode(data)
    assert (source, subject, said["provider"], said["silent_after"]) == ("acme", "acme", "acme", NIGHT)
    assert said["last_receipt"].endswith(":00:00.000Z")
    assert one.world.sql("SELECT sink FROM deliveries") == [("archive",)]


async def test_who_was_never_heard_is_not_silent(one: Site) -> None:
    """A new source may be connected next week."""
    one.later(1000)
    assert await one.watch.step() == 0


async def test_silence_is_told_only_where_it_is_asked_for(one: Site) -> None:
    """Without `silent_after` a source may be as quiet as it likes."""
    one.restart(silent_after=None)
    await one.accepted(1)
    one.later(10_000)
    assert await one.watch.step() == 0


async def test_a_start_lets_sources_come_first(one: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a night in which nothing ran here, nobody is called silent at once."""
    monkeypatch.setattr(watch_module, "SETTLES", 300.0)
    await one.accepted(1)
    one.later(10)
    one.restart()
    assert await one.watch.step() == 0
    one.later(0.1)
    assert await one.watch.step() == 1


async def test_rising_refusals_are_told_once(one: Site) -> None:
    """From the threshold on, once, also over hours of it and a restart; again after a quiet hour."""
    await one.refused(19)
    assert await one.watch.step() == 0
    await one.refused(1)
    assert await one.watch.step() == 1
    for _ in range(60):
        one.later(1)
        await one.refused(15)
        one.restart()
        assert await one.watch.step() == 0
    one.later(2)
    assert await one.watch.step() == 0
    await one.refused(30)
    assert await one.watch.step() == 1
    assert one.told() == ["ops.refusals_rising"] * 2


async def test_the_refusals_are_described(one: Site) -> None:
    """How many, beside how many were accepted, and why; nothing of what was sent."""
    await one.accepted(3)
    one.later(1)
    await one.refused(25)
    await one.watch.step()
    said = msgspec.json.decode(one.world.sql("SELECT data FROM events")[0][0])
    assert (said["refused"], said["accepted"], said["reasons"]) == (25, 3, {"signature_mismatch": 25})
    assert set(said) == {"source", "provider", "since", "refused", "accepted", "reasons"}


async def test_few_refusals_of_many_callbacks_are_nothing(one: Site) -> None:
    """A busy source has its noise; a quiet hour is measured by what it accepts too."""
    await one.accepted(250)
    await one.refused(24)
    assert await one.watch.step() == 0
    await one.refused(10)
    assert await one.watch.step() == 1
    one.later(1)
    await one.accepted(250)
    await one.refused(12)
    one.later(1)
    await one.refused(40)
    assert await one.watch.step() == 1


async def test_refusals_of_others_are_not_told(one: Site) -> None:
    """Unknown sources are the internet's noise, and a removed source is nobody's."""
    await one.refused(1000, "")
    await one.refused(1000, "gone")
    assert await one.watch.step() == 0


async def test_without_counts_nothing_is_watched(one: Site) -> None:
    """Where the quarantine is off, its file is left alone; where there is none, none is made."""
    assert not one.quarantine.path.exists()
    await one.watch.step()
    assert not one.quarantine.path.exists()
    await one.refused(50)
    one.restart(counts=False)
    assert await one.watch.step() == 0


async def test_a_broken_quarantine_does_not_hide_silence(one: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sign is looked at by itself."""
    await one.accepted(1)
    await one.refused(50)
    one.later(9)

    async def fails(_: int) -> None:
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(one.quarantine, "refusals", fails)
    assert await one.watch.step() == 1
    assert one.told() == ["ops.source_silent"]
