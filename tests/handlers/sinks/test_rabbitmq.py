"""The sink rabbitmq against this machine's broker: the contract of every sink, and RabbitMQ's own ways to fail."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from rabbit_node import PORT, Queue, channel, needs_broker, queue, sending, taken

from handlers.sinks.rabbitmq import RabbitMQ
from handlers.sinks.rabbitmq.link import Link
from receiver.contract.sink import Delivered, Rejected, TryLater
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.peer import Behaviour
from receiver.testing.sink import SinkContract, send

pytestmark = needs_broker()


class TestRabbitMQ(SinkContract):
    """RabbitMQ holds what every sink holds."""

    sink = RabbitMQ
    cannot: ClassVar = {Behaviour.REFUSES: "it refuses a message for good only by its size"}

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Queue]:
        """Give a queue of this machine's broker; the sink creates it."""
        async with queue() as made:
            yield made


# What is queued


async def test_a_message_is_a_persistent_structured_cloudevent() -> None:
    """Body and properties; it is in the queue once it is delivered."""
    async with queue() as peer, sending(peer.settings()) as sink:
        delivery = sample_delivery()
        assert await sink.send([delivery]) == [Delivered(detail="confirmed")]
        (message,) = await taken(PORT, peer.name)
        said = message.header.properties
        assert message.body == delivery.event.cloudevent()
        assert said.delivery_mode == 2
        assert said.message_id == delivery.event.id
        assert said.message_type == "transcript.completed"
        assert said.content_type == "application/cloudevents+json"


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_the_queue_is_created_durable(kind: str) -> None:
    """Of the kind that the settings say; a second start leaves it alone, whatever its kind."""
    async with queue() as peer:
        for wanted in (kind, "quorum", "classic"):
            async with sending({**peer.settings(), "queue_type": wanted}) as sink:
                await sink.open()
        async with channel() as broker:
            await broker.queue_declare(peer.name, durable=True, arguments={"x-queue-type": kind})


async def test_an_exchange_is_published_to_by_routing_key() -> None:
    """The key holds type and source; what no queue takes is returned, and tried later."""
    name = f"hookscribe-{uuid.uuid4().hex}"
    async with queue() as peer, channel() as broker:
        settings = {**peer.settings(), "exchange": name, "routing_key": "calls.{source}.{type}"}
        async with sending(settings) as sink:
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert "NOT_FOUND" in outcome.reason
            await broker.exchange_declare(name, exchange_type="topic")
            (outcome,) = await send(sink, [sample_delivery()])
            assert outcome == TryLater(reason="no queue takes routing key calls.callcov.transcript.completed")
            await peer.make()
            await broker.queue_bind(peer.name, name, "calls.callcov.transcript.#")
            assert await send(sink, [sample_delivery()]) == [Delivered(detail="confirmed")]
        (message,) = await taken(PORT, peer.name)
        assert message.delivery.routing_key == "calls.callcov.transcript.completed"
        await broker.exchange_delete(name)


async def test_a_headers_exchange_can_go_by_what_the_event_is() -> None:
    """Through an exchange a message has the event's attributes as headers, and a binding can pick by them."""
    name = f"hookscribe-{uuid.uuid4().hex}"
    wanted: dict[str, Any] = {"x-match": "all", "cloudEvents_type": "analysis.completed"}
    delivery, other = sample_delivery(sample_event(2, type="analysis.completed")), sample_delivery()
    async with queue() as peer, channel() as broker:
        await peer.make()
        await broker.exchange_declare(name, exchange_type="headers")
        await broker.queue_bind(peer.name, name, arguments=wanted)
        async with sending({**peer.settings(), "exchange": name}) as sink:
            outcomes = await send(sink, [delivery, other])
            assert [type(outcome).__name__ for outcome in outcomes] == ["Delivered", "TryLater"]
        (message,) = await taken(PORT, peer.name)
        headers = message.header.properties.headers
        assert {name: value for name, value in headers.items() if not name.startswith("x-")} == {
            "cloudEvents_type": "analysis.completed",
            "cloudEvents_source": delivery.event.source,
            "cloudEvents_subject": delivery.event.subject,
            "cloudEvents_call": delivery.event.call_id,
        }
        await broker.exchange_delete(name)


async def test_one_that_is_returned_spoils_no_batch() -> None:
    """Its neighbours are queued; with the binding, it is as well."""
    name = f"hookscribe-{uuid.uuid4().hex}"
    async with queue() as peer, channel() as broker:
        await peer.make()
        await broker.exchange_declare(name, exchange_type="topic")
        await broker.queue_bind(peer.name, name, "transcript.#")
        other = sample_delivery(sample_event(2, type="analysis.completed"))
        async with sending({**peer.settings(), "exchange": name}) as sink:
            outcomes = await send(sink, [sample_delivery(), other, sample_delivery(serial=3)])
            assert [type(outcome).__name__ for outcome in outcomes] == ["Delivered", "TryLater", "Delivered"]
        await broker.exchange_delete(name)


async def test_a_queue_that_is_gone_is_created_again() -> None:
    """Somebody deleted it under the running sink."""
    async with queue() as peer, sending(peer.settings()) as sink:
        assert await send(sink, [sample_delivery()]) == [Delivered(detail="confirmed")]
        async with channel() as broker:
            await broker.queue_delete(peer.name)
        (lost,) = await send(sink, [sample_delivery(serial=2)])
        assert isinstance(lost, TryLater)
        assert await send(sink, [sample_delivery(serial=2)]) == [Delivered(detail="confirmed")]


async def test_a_missing_queue_is_tried_later() -> None:
    """Without create_queue."""
    async with queue() as peer, sending({**peer.settings(), "create_queue": False}) as sink:
        (outcome,) = await send(sink, [sample_delivery()])
        assert outcome == TryLater(reason=f"no queue takes routing key {peer.name}")


async def test_a_full_queue_takes_what_fits() -> None:
    """What it refuses is tried later, and arrives when there is room."""
    async with queue() as peer, sending(peer.settings()) as sink:
        await peer.make(**{"x-max-length": 5, "x-overflow": "reject-publish"})
        outcomes = await send(sink, sample_deliveries(50))
        late = [one for one, outcome in zip(sample_deliveries(50), outcomes, strict=True) if outcome != outcomes[0]]
        assert outcomes[0] == Delivered(detail="confirmed")
        assert late
        got = [json.loads(message.body)["id"] for message in await taken(PORT, peer.name)]
        assert isinstance(outcomes[-1], TryLater)
        assert "refused" in outcomes[-1].reason
        await peer.make()
        assert await send(sink, late) == [Delivered(detail="confirmed")] * len(late)
        assert not {one.event.id for one in late} & set(got)


async def test_one_too_large_spoils_no_batch() -> None:
    """It is Rejected with size and limit; its neighbours arrive."""
    async with queue() as peer, sending({**peer.settings(), "max_event": 20_000}) as sink:
        assert sink.largest() == 20_000
        large = sample_delivery(sample_event(2, grow_to=20_000))
        outcomes = await send(sink, [sample_delivery(), large, sample_delivery(serial=3)])
        assert [type(outcome).__name__ for outcome in outcomes] == ["Delivered", "Rejected", "Delivered"]
        assert isinstance(outcomes[1], Rejected)
        assert outcomes[1].reason.endswith("bytes are more than the broker takes, 20000")


# Trouble


async def test_a_connection_that_is_cut_in_the_middle_loses_nothing() -> None:
    """What was not confirmed fails at once, without sitting out its timeout, and arrives at the next try."""
    deliveries = sample_deliveries(256)
    async with queue() as peer, sending({**peer.settings(), "timeout": 30.0}) as sink:
        await sink.open()
        for pause in (0.0, 0.005, 0.02):
            sent = asyncio.create_task(send(sink, deliveries))
            await asyncio.sleep(pause)
            await peer.behave(Behaviour.GONE)
            async with asyncio.timeout(15):
                assert all(isinstance(outcome, Delivered | TryLater) for outcome in await sent)
            await peer.behave(Behaviour.TAKES)
        async with asyncio.timeout(60):  # a busy broker may take longer to be connected to than a try has
            while await send(sink, deliveries) != [Delivered(detail="confirmed")] * 256:
                pass
        got = {json.loads(message.body)["id"] for message in await taken(PORT, peer.name)}
        assert got == {delivery.event.id for delivery in deliveries}


async def test_what_the_library_forgets_ends_with_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves a message unanswered that was about to be published when the connection was lost."""
    begun = asyncio.Event()

    async def forgotten(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Link, "publish", forgotten)
    async with queue() as peer, sending({**peer.settings(), "timeout": 60.0}) as sink:
        sent = asyncio.create_task(send(sink, sample_deliveries(3)))
        await begun.wait()
        await peer.behave(Behaviour.GONE)
        async with asyncio.timeout(15):
            outcomes = await sent
        assert outcomes == [TryLater(reason="the connection was lost before the broker confirmed")] * 3


async def test_a_broker_that_vanishes_holds_nothing_up() -> None:
    """Megabytes to a frozen broker end in time as TryLater, and a new connection takes them afterwards."""
    large = [sample_delivery(sample_event(serial, grow_to=500_000)) for serial in range(1, 25)]
    async with queue() as peer, sending({**peer.settings(), "timeout": 2.0}) as sink:
        await sink.open()
        await peer.behave(Behaviour.HANGS)
        async with asyncio.timeout(2.5):
            outcomes = await sink.send(large)
        assert [type(outcome) for outcome in outcomes] == [TryLater] * len(large)
        async with asyncio.timeout(5):
            assert [type(outcome) for outcome in await sink.send(large[:2])] == [TryLater] * 2


async def test_another_node_of_the_cluster_is_tried() -> None:
    """One address that refuses does not matter; where all refuse, the reason says where, and no password."""
    async with queue() as peer:
        url = str(peer.settings()["url"])
        async with sending({**peer.settings(), "url": ["amqp://guest:canary@127.0.0.1:1/", url]}) as sink:
            assert await send(sink, [sample_delivery()]) == [Delivered(detail="confirmed")]
        async with sending({**peer.settings(), "url": "amqp://guest:canary@127.0.0.1:1/"}) as sink:
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert "127.0.0.1" in outcome.reason
            assert "canary" not in outcome.reason


async def test_wrong_credentials_are_tried_later_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """The reason holds the broker's word; neither it nor a log line holds the password."""
    async with queue() as peer, sending({"url": f"amqp://guest:canary@127.0.0.1:{peer.proxy.port}/"}) as sink:
        (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "ACCESS_REFUSED" in outcome.reason
        assert "canary" not in outcome.reason + caplog.text
