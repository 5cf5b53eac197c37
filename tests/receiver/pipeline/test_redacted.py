"""A sink behind its redaction: what it sees is masked, and what cannot be masked it never sees."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from pipeline_fakes import Fake

from receiver.contract.errors import Unreadable
from receiver.contract.model import Delivery
from receiver.contract.settings import RedactSettings
from receiver.contract.sink import Delivered, Rejected, TryLater
from receiver.making import redacting
from receiver.pipeline import redacted as redacted_module
from receiver.pipeline.attempt import send
from receiver.pipeline.offload import ChildDied
from receiver.pipeline.redacted import INLINE, Redacted, redact_alone
from receiver.store.records import DueDelivery
from receiver.testing.events import sample_delivery, sample_event, sample_transcript

SLOW = "(a|aa)+$"
"""Takes a time that doubles with every letter; a start would refuse it."""


@pytest.fixture
async def behind() -> Any:
    """Make a sink behind its redaction; all are closed in the end."""
    made: list[Redacted] = []

    def make(fake: Fake, **settings: Any) -> Redacted:
        made.append(Redacted(fake, RedactSettings(**settings)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


Make = Callable[..., Redacted]


def delivery(serial: int, data: bytes | None = None, **changes: Any) -> Delivery:
    """Return the delivery of an event with these data, or of a transcript that says a card's number."""
    said = data or msgspec.json.encode(sample_transcript(serial, metadata={"card": "4111111111111111"}, **changes))
    return sample_delivery(sample_event(serial, data=said))


def large(serial: int) -> Delivery:
    """Return the delivery of a transcript that is masked in another process."""
    return delivery(serial, text="My card is 4111111111111111. " + "So it is. " * INLINE)


def bodies(fake: Fake) -> list[dict[str, Any]]:
    """Return the data of what a sink was sent."""
    return [json.loads(one.event.data) for batch in fake.sent for one in batch]


def test_a_sink_without_redaction_is_as_it_is() -> None:
    """Nothing stands before it: bytes are spliced, not parsed."""
    fake = Fake()
    assert redacting(fake) is fake
    assert isinstance(redacting(Fake(redact=RedactSettings())), Redacted)


async def test_the_sink_sees_masks_only(behind: Make) -> None:
    """Small events at once and large ones in another process; the event says what was masked, ids stay."""
    fake = Fake(batch=2)
    given = [delivery(1), large(2)]
    assert await behind(fake).send(given) == [Delivered(), Delivered()]
    assert [one.id for one in fake.sent[0]] == [one.id for one in given]
    assert [one["metadata"] for one in bodies(fake)] == [{"card": "[card]"}] * 2
    assert [one["redacted"]["card"] for one in bodies(fake)] == [1, 1]
    assert b"4111111111111111" not in b"".join(one.event.data for one in fake.sent[0])
    assert msgspec.structs.replace(fake.sent[0][0].event, data=given[0].event.data) == given[0].event


async def test_it_is_a_sink_like_the_one_behind(behind: Make) -> None:
    """Name, settings, order, batch and the rest are its own; it is opened and closed with it."""
    fake = Fake("crm", batch=7, order="call")
    one = behind(fake)
    await one.open()
    await one.close()
    assert (one.name, one.settings, one.batch, one.order) == ("crm", fake.settings, 7, fake.order)
    assert (one.concurrency, one.rate, fake.opened, fake.closed) == (fake.concurrency, fake.rate, 1, 1)


async def test_what_cannot_be_masked_is_refused_alone(behind: Make) -> None:
    """The others of the batch go out, each outcome in its place; where none can, the sink is not asked."""
    fake = Fake(batch=3)
    fake.answer = lambda some: [TryLater(reason="full")] * len(some)
    outcomes = await behind(fake).send([delivery(1), delivery(2, b"{"), delivery(3)])
    reason = "not sent, because it could not be redacted: the event is no JSON that can be redacted"
    assert outcomes == [TryLater(reason="full"), Rejected(reason=reason), TryLater(reason="full")]
    assert await behind(fake).send([delivery(4, b"{")]) == [Rejected(reason=reason)]
    assert len(fake.sent) == 1


async def test_a_sink_that_forgets_one_is_told_on(behind: Make) -> None:
    """As many outcomes as deliveries, or none counts."""
    fake = Fake(batch=2)
    fake.answer = lambda _: [Delivered()]
    row = DueDelivery(1, 0, 2, "acme", "analysis.completed", "t", "trn_x", None, b"{}")
    outcomes = await send(behind(fake), [row, row], lambda _: sample_event())
    assert outcomes == [TryLater(reason="the sink did not answer 2 deliveries with as many outcomes")] * 2


async def test_what_takes_too_long_is_refused(behind: Make) -> None:
    """Not unmasked, and not for ever; the loop is free meanwhile, and the next event goes out."""
    fake = Fake(timeout=2)
    one = behind(fake, patterns={"bad": SLOW})
    sending = asyncio.create_task(one.send([delivery(1, text="a" * 50 + "b")]))
    longest, last = 0.0, time.monotonic()
    while not sending.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert sending.result() == [
        Rejected(reason="not sent, because it could not be redacted: redacting took longer than 1 s")
    ]
    assert longest < 0.5
    assert await one.send([delivery(2)]) == [Delivered()]


def test_the_other_process_masks_alike() -> None:
    """What runs there: the same masks by rules of its own, and the same end where it takes too long."""
    assert redact_alone(b'{"a":"ann@example.com"}', RedactSettings(), 10) == b'{"a":"[email]","redacted":{"email":1}}'
    with pytest.raises(Unreadable, match=r"redacting took longer than 0\.05 s"):
        redact_alone(b'{"a":"%sb"}' % (b"a" * 50), RedactSettings(patterns={"bad": SLOW}), 0.05)


async def test_a_batch_goes_in_parts_where_masking_it_takes_long(behind: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is masked by half of the sink's time is sent; the rest comes again."""
    clock: Iterator[float] = iter([0.0, 100.0])
    fake = Fake(batch=2)
    one = behind(fake)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock, 100.0))
    monkeypatch.setattr(redacted_module, "Deadline", lambda _: Endless())
    outcomes = await one.send([delivery(1), delivery(2)])
    later = TryLater(reason="redacting what came before it took all the time there was")
    assert (outcomes, len(bodies(fake))) == ([Delivered(), later], 1)


class Endless:
    """A time that never ends."""

    def left(self) -> float:
        """Return that there is time."""
        return 1.0


async def test_a_process_that_dies_is_started_again(behind: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once is chance; an event that kills it twice is refused."""
    fake = Fake()
    one = behind(fake)
    run, deaths = one._offload.run, [ChildDied(), ChildDied(), ChildDied()]

    async def dies(*arguments: Any) -> Any:
        if deaths:
            raise deaths.pop()
        return await run(*arguments)

    monkeypatch.setattr(one._offload, "run", dies)
    died = "not sent, because it could not be redacted: the process that does it died twice"
    assert await one.send([large(1)]) == [Rejected(reason=died)]
    assert await one.send([large(1)]) == [Delivered()]
