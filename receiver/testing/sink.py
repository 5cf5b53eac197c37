"""SinkContract: what every sink must hold. Subclass it, name the sink and give it its other side.

class TestAcme(SinkContract):
    sink = Acme

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[AcmePeer]:
        async with acme_server() as server:
            yield AcmePeer(server)
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from receiver.contract.model import Delivery
from receiver.contract.sink import Delivered, HttpClient, Rejected, SendOutcome, Sink, SinkPorts, TryLater
from receiver.pipeline.shape import thin
from receiver.testing.events import hostile_events, sample_deliveries, sample_delivery, sample_event
from receiver.testing.peer import PATIENCE, Arrived, Behaviour, Peer, guarded
from receiver.testing.tables import secrets_in, settings_of

__all__ = ["PATIENCE", "Arrived", "Behaviour", "Peer", "SinkContract", "eventually_delivered", "guarded", "send"]

CaseT = TypeVar("CaseT", bound=Callable[..., Any])

_NEEDED: dict[str, Behaviour] = {}


def _needs(behaviour: Behaviour) -> Callable[[CaseT], CaseT]:
    """Mark a case that asks of the other side what some never do."""

    def mark(case: CaseT) -> CaseT:
        _NEEDED[case.__name__] = behaviour
        return case

    return mark


class SinkContract:
    """Events arrive whole and in order, or the outcome says what to do; nothing hangs, nothing leaks."""

    sink: ClassVar[type[Sink[Any]]]
    cannot: ClassVar[Mapping[Behaviour, str]] = {}
    """What the other side of this kind never does, with the reason; the cases that need it are not among the tests."""
    whole: ClassVar[bool] = True
    """Whether the whole event arrives; False for chat and console, which render it."""
    largest: ClassVar[int] = 5_000_000
    """Bytes of event data that this kind takes, or renders; beyond it must be Rejected."""
    dangerous: ClassVar[tuple[bytes, ...]] = ()
    """Byte strings that no hostile event may bring to the other side."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the cases out that a kind cannot have, so that pytest has none to skip."""
        super().__init_subclass__(**kwargs)
        for name, needed in _NEEDED.items():
            if needed in cls.cannot:
                setattr(cls, name, None)

    def peer(self) -> contextlib.AbstractAsyncContextManager[Peer]:
        """Return the other side, fresh for each test."""
        raise NotImplementedError

    def ports(self, http: HttpClient) -> SinkPorts:
        """Return what the engine would lend; override to change links or clock."""
        return SinkPorts(http=http, links="https://hookscribe.internal", now=time.time)

    def build(self, settings: Mapping[str, Any], http: HttpClient) -> Sink[Any]:
        """Make the sink with a peer's settings, checked."""
        table = {"kind": self.sink.__name__.lower(), **settings}
        return self.sink("sink", settings_of(self.sink.Settings, table), self.ports(http))

    @contextlib.asynccontextmanager
    async def running(self, peer: Peer) -> AsyncIterator[Sink[Any]]:
        """Give an open sink, and close it."""
        async with guarded() as http:
            sink = self.build(peer.settings(), http)
            try:
                await sink.open()
                yield sink
            finally:
                await sink.close()

    def same(self, delivery: Delivery, arrived: Arrived) -> bool:
        """Say whether what arrived is this delivery's event: equal as JSON, or for a rendering, not empty."""
        if not self.whole:
            return bool(arrived.raw)
        return bool(json.loads(arrived.event or b"null") == json.loads(delivery.event.cloudevent()))

    async def test_an_event_arrives_whole(self) -> None:
        """One delivery is Delivered, and the other side has the same event under the same id."""
        async with self.peer() as peer, self.running(peer) as sink:
            delivery = sample_delivery()
            outcomes = await send(sink, [delivery])
            assert [type(outcome) for outcome in outcomes] == [Delivered]
            arrived = await peer.arrived()
            assert len(arrived) == 1
            assert self.same(delivery, arrived[0])

    async def test_a_batch_keeps_its_order(self) -> None:
        """Full batches give one outcome for each delivery, and arrive in their order, once each."""
        async with self.peer() as peer, self.running(peer) as sink:
            deliveries = sample_deliveries(max(3, min(40, sink.batch * 2)))
            outcomes = await send(sink, deliveries)
            assert [type(outcome) for outcome in outcomes] == [Delivered] * len(deliveries)
            arrived = await peer.arrived()
            assert len(arrived) == len(deliveries)
            assert all(self.same(one, other) for one, other in zip(deliveries, arrived, strict=True))

    async def test_sends_at_once(self) -> None:
        """As many sends as the kind's concurrency says run at once, and every event arrives once."""
        async with self.peer() as peer, self.running(peer) as sink:
            deliveries = sample_deliveries(min(sink.concurrency, 16))
            outcomes = await asyncio.gather(*(send(sink, [delivery]) for delivery in deliveries))
            assert all(isinstance(outcome, Delivered) for (outcome,) in outcomes)
            arrived = await peer.arrived()
            assert len(arrived) == len(deliveries)
            if self.whole:
                ids = {json.loads(item.event or b"null")["id"] for item in arrived}
                assert ids == {delivery.event.id for delivery in deliveries}

    @_needs(Behaviour.REFUSES)
    async def test_a_refusal_for_good_is_rejected(self) -> None:
        """What the other side will never take is Rejected, with a reason, and hurts nothing that follows."""
        async with self.peer() as peer, self.running(peer) as sink:
            await peer.behave(Behaviour.REFUSES)
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, Rejected)
            assert outcome.reason
            self.keeps_secrets(sink, outcome)
            await peer.behave(Behaviour.TAKES)
            (outcome,) = await send(sink, [sample_delivery(serial=2)])
            assert isinstance(outcome, Delivered)

    @_needs(Behaviour.LATER)
    async def test_not_now_is_tried_later(self) -> None:
        """While the other side takes nothing, sends are tried later; the same delivery arrives afterwards."""
        async with self.peer() as peer, self.running(peer) as sink:
            await peer.behave(Behaviour.LATER)
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert outcome.reason
            self.keeps_secrets(sink, outcome)
            await peer.behave(Behaviour.TAKES)
            (outcome,) = await send(sink, [sample_delivery(attempt=2)])
            assert isinstance(outcome, Delivered)

    @_needs(Behaviour.GONE)
    async def test_a_lost_peer_is_tried_later(self) -> None:
        """A peer that cannot be reached is TryLater; once it is back, the same sink object delivers."""
        async with self.peer() as peer, self.running(peer) as sink:
            await peer.behave(Behaviour.GONE)
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            self.keeps_secrets(sink, outcome)
            await peer.behave(Behaviour.TAKES)
            await eventually_delivered(sink, sample_delivery(attempt=2))

    @_needs(Behaviour.HANGS)
    async def test_a_send_without_answer_can_be_cancelled(self) -> None:
        """A send that hangs ends promptly when it is cancelled; the same sink object delivers afterwards."""
        async with self.peer() as peer, self.running(peer) as sink:
            await peer.behave(Behaviour.HANGS)
            task = asyncio.ensure_future(sink.send([sample_delivery()]))
            await asyncio.sleep(0.2)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE)
            assert done, "the send did not end when it was cancelled"
            if not task.cancelled() and task.exception() is None:
                assert not any(isinstance(outcome, Delivered) for outcome in task.result())
            await peer.behave(Behaviour.TAKES)
            await eventually_delivered(sink, sample_delivery(attempt=2))

    @_needs(Behaviour.HANGS)
    async def test_a_send_without_answer_times_out(self) -> None:
        """With a short `timeout` setting a send without answer is TryLater, or still waits for the engine to cancel."""
        async with self.peer() as peer, guarded() as http:
            sink = self.build({**peer.settings(), "timeout": 0.3}, http)
            await sink.open()
            await peer.behave(Behaviour.HANGS)
            try:
                async with asyncio.timeout(2):
                    (outcome,) = await send(sink, [sample_delivery()])
                assert isinstance(outcome, TryLater)
                self.keeps_secrets(sink, outcome)
            except TimeoutError:
                pass
            finally:
                await peer.behave(Behaviour.TAKES)
                await sink.close()

    async def test_closing_is_safe(self) -> None:
        """Closing works without `open`, after a failed `open`, and twice."""
        async with self.peer() as peer, guarded() as http:
            await self.build(peer.settings(), http).close()
            if Behaviour.GONE not in self.cannot:
                await peer.behave(Behaviour.GONE)
            sink = self.build(peer.settings(), http)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await sink.open()
            async with asyncio.timeout(PATIENCE):
                await sink.close()
                await sink.close()

    async def test_it_opens_again(self) -> None:
        """Closed and opened again, as where another process had it meanwhile, it delivers."""
        async with self.peer() as peer, self.running(peer) as sink:
            for delivery in sample_deliveries(2):
                assert [type(outcome) for outcome in await send(sink, [delivery])] == [Delivered]
                await sink.close()
                await sink.open()
            assert len(await peer.arrived()) == 2

    async def test_a_large_event(self) -> None:
        """Five megabytes arrive whole, or are Rejected with a reason by a kind that has a limit."""
        async with self.peer() as peer, self.running(peer) as sink:
            delivery = sample_delivery(sample_event(grow_to=5_000_000))
            (outcome,) = await send(sink, [delivery])
            if self.largest < 5_000_000:
                assert isinstance(outcome, Rejected)
                assert outcome.reason
                (outcome,) = await send(sink, [sample_delivery(serial=2)])
                assert isinstance(outcome, Delivered)
                return
            assert isinstance(outcome, Delivered)
            arrived = await peer.arrived()
            assert len(arrived) == 1
            assert self.same(delivery, arrived[0])

    async def test_what_it_says_it_takes_arrives(self) -> None:
        """An event of exactly as many bytes as `largest` says is Delivered: the engine sends it whole."""
        async with self.peer() as peer, self.running(peer) as sink:
            most = sink.largest()
            if most is None:
                return
            spare = most - len(sample_event(data=b'""').cloudevent())
            delivery = sample_delivery(sample_event(data=b'"' + b"x" * spare + b'"'))
            assert len(delivery.event.cloudevent()) == most
            assert [type(outcome) for outcome in await send(sink, [delivery])] == [Delivered]
            arrived = await peer.arrived()
            assert self.same(delivery, arrived[0])

    async def test_a_thin_event_arrives(self) -> None:
        """What the engine makes of an event that is too large, or of any where the settings say so, is Delivered."""
        async with self.peer() as peer, self.running(peer) as sink:
            deliveries = [
                sample_delivery(thin(sample_event(serial, grow_to=5_000_000), link, sink.largest()))
                for serial, link in enumerate((None, "https://hookscribe.internal/api/v1/events/evt_1/payload"), 1)
            ]
            assert [type(outcome) for outcome in await send(sink, deliveries)] == [Delivered] * 2
            arrived = await peer.arrived()
            assert len(arrived) == 2
            assert all(self.same(one, other) for one, other in zip(deliveries, arrived, strict=True))

    @_needs(Behaviour.HANGS)
    async def test_closing_does_not_wait_for_a_silent_peer(self) -> None:
        """After a send without answer was cancelled, as at a stop, the sink closes within its time, and twice."""
        async with self.peer() as peer, guarded() as http:
            sink = self.build(peer.settings(), http)
            await sink.open()
            await peer.behave(Behaviour.HANGS)
            task = asyncio.ensure_future(sink.send([sample_delivery()]))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            try:
                async with asyncio.timeout(PATIENCE):
                    await sink.close()
                    await sink.close()
            finally:
                await peer.behave(Behaviour.TAKES)

    async def test_nothing_shows_a_secret(self) -> None:
        """Neither the settings nor the sink itself, however they are printed."""
        async with self.peer() as peer, self.running(peer) as sink:
            for secret in secrets_in(sink.settings):
                assert secret not in f"{sink.settings!r} {sink!r} {sink}"

    async def test_hostile_text_arrives_inert(self) -> None:
        """Mark-up, bidi marks, control characters and lone surrogates arrive as they are, or made harmless."""
        async with self.peer() as peer, self.running(peer) as sink:
            deliveries = [sample_delivery(event) for event in hostile_events()]
            outcomes = await send(sink, deliveries)
            assert [type(outcome) for outcome in outcomes] == [Delivered] * len(deliveries)
            arrived = await peer.arrived()
            assert len(arrived) == len(deliveries)
            for delivery, item in zip(deliveries, arrived, strict=True):
                assert self.same(delivery, item), delivery.event.id
                assert not [bad for bad in self.dangerous if bad in item.raw], delivery.event.id

    async def test_unreadable_data_hurts_nothing(self) -> None:
        """Data of a shape that this release does not know is passed on or rendered without it, never an exception."""
        async with self.peer() as peer, self.running(peer) as sink:
            shapes = (b"null", b"[]", b'"text"', b"{}", b'{"call":[],"analysis":7,"speakers":{},"duration":"x"}')
            events = [
                sample_event(serial, type=kind, data=data, call_id=None)
                for serial, (kind, data) in enumerate(
                    ((kind, data) for kind in ("transcript.completed", "acme.unheard_of") for data in shapes), 1
                )
            ]
            outcomes = await send(sink, [sample_delivery(event) for event in events])
            assert [type(outcome) for outcome in outcomes] == [Delivered] * len(events)
            assert len(await peer.arrived()) == len(events)

    def keeps_secrets(self, sink: Sink[Any], outcome: SendOutcome) -> None:
        """Fail where an outcome shows a secret of the settings."""
        text = repr(outcome)
        for secret in secrets_in(sink.settings):
            assert secret not in text


async def send(sink: Sink[Any], deliveries: Sequence[Delivery]) -> list[SendOutcome]:
    """Send in batches as the engine does: bounded in time, an exception counts as TryLater for its batch."""
    outcomes: list[SendOutcome] = []
    for start in range(0, len(deliveries), sink.batch):
        batch = deliveries[start : start + sink.batch]
        try:
            async with asyncio.timeout(PATIENCE):
                answers = await sink.send(batch)
        except Exception as error:  # noqa: BLE001 -- as the engine does
            answers = [TryLater(reason=f"{type(error).__name__}: {error}")] * len(batch)
        assert len(answers) == len(batch), "one outcome for each delivery"
        outcomes += answers
    return outcomes


async def eventually_delivered(sink: Sink[Any], delivery: Delivery) -> None:
    """Send again until it is Delivered, as the engine's retries would; fails after PATIENCE."""
    async with asyncio.timeout(PATIENCE):
        while not isinstance((await send(sink, [delivery]))[0], Delivered):  # noqa: ASYNC110 -- polls as the engine does
            await asyncio.sleep(0.1)
