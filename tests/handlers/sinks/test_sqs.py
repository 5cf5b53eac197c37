"""The sink sqs against moto's server: the contract of every sink, and SQS's own ways to fail."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from moto_server import SECRET, MotoServer, Queue, moto, queue, sending

from handlers.sinks.sqs import Sqs
from receiver.contract.sink import Delivered, TryLater
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.peer import Behaviour
from receiver.testing.sink import SinkContract, send

SERVERS: list[MotoServer] = []


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[MotoServer]:
    """Give one server for all tests here; each has a queue of its own."""
    with moto() as started:
        SERVERS.append(started)
        yield started
        SERVERS.clear()


class TestSqsFifo(SinkContract):
    """A FIFO queue holds what every sink holds."""

    sink = Sqs
    largest = 1_000_000

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Queue]:
        """Give a new FIFO queue."""
        async with queue(SERVERS[0]) as made:
            yield made


class TestSqsStandard(SinkContract):
    """A standard queue too, but for the order, which it does not promise."""

    sink = Sqs
    largest = 1_000_000

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Queue]:
        """Give a new standard queue."""
        async with queue(SERVERS[0], fifo=False) as made:
            yield made


# What is kept


async def test_a_message_is_a_structured_cloudevent_of_its_call(server: MotoServer) -> None:
    """Body, attributes, group and de-duplication id; the outcome names the message."""
    async with queue(server) as peer, sending(peer) as sink:
        delivery = sample_delivery()
        (outcome,) = await sink.send([delivery])
        assert isinstance(outcome, Delivered)
        assert str(outcome.detail).startswith("message ")
        (kept,) = await peer.waiting()
        assert kept["body"].encode() == delivery.event.cloudevent()
        assert kept["group"] == delivery.event.call_id
        assert kept["deduplication"] == delivery.event.id
        assert kept["attributes"]["ce-type"] == "transcript.completed"
        assert kept["attributes"]["content-type"] == "application/cloudevents+json"
        assert kept["attributes"]["call"] == delivery.event.call_id


async def test_a_repeated_id_is_kept_once_in_a_fifo_queue(server: MotoServer) -> None:
    """Both are delivered; a standard queue keeps both."""
    for fifo, kept in ((True, 1), (False, 2)):
        async with queue(server, fifo=fifo) as peer, sending(peer) as sink:
            for attempt in (1, 2):
                assert isinstance((await send(sink, [sample_delivery(attempt=attempt)]))[0], Delivered)
            assert len(await peer.waiting()) == kept


async def test_characters_that_sqs_refuses_are_escaped(server: MotoServer) -> None:
    """The event is the same JSON."""
    async with queue(server) as peer, sending(peer) as sink:
        event = sample_event(data='"\ufffe \uffff \x7f"'.encode(), subject="\x00\ufffe", type="x" * 5_000)
        (outcome,) = await send(sink, [sample_delivery(event)])
        assert isinstance(outcome, Delivered)
        (kept,) = await peer.waiting()
        assert "\ufffe" not in kept["body"]
        assert json.loads(kept["body"]) == json.loads(event.cloudevent())


# Size


async def test_requests_stay_within_ten_messages_and_the_limit_together(server: MotoServer) -> None:
    """Events that fit one by one go out in as many requests as they need."""
    events = [sample_event(serial, grow_to=400_000) for serial in range(1, 6)]
    async with queue(server) as peer, sending(peer) as sink:
        outcomes = await send(sink, [sample_delivery(event) for event in events])
        assert [type(outcome) for outcome in outcomes] == [Delivered] * 5
        assert len(await peer.waiting()) == 5


async def test_what_largest_says_is_taken_and_more_spoils_no_batch(server: MotoServer) -> None:
    """An event of just that size is Delivered; a larger one is Rejected, its neighbours arrive."""
    async with queue(server) as peer, sending(peer) as sink:
        most = sink.largest()
        assert most is not None
        empty = len(sample_event(2, data=b'""').cloudevent())
        fits = sample_delivery(sample_event(2, data=b'"' + b"x" * (most - empty) + b'"'))
        assert len(fits.event.cloudevent()) == most
        large = sample_delivery(sample_event(3, data=b'"' + b"x" * (most + 2_000) + b'"'))
        outcomes = await send(sink, [sample_delivery(), fits, large, sample_delivery(serial=4)])
        assert [type(outcome).__name__ for outcome in outcomes] == ["Delivered", "Delivered", "Rejected", "Delivered"]


async def test_a_queue_with_a_smaller_limit_rejects_only_what_is_too_long(server: MotoServer) -> None:
    """SQS refuses the whole request for it; the others are sent again one by one."""
    async with queue(server) as peer, sending(peer) as sink:
        await peer.limit(10_000)
        large = sample_delivery(sample_event(2, grow_to=20_000))
        outcomes = await send(sink, [sample_delivery(), large, sample_delivery(serial=3)])
        assert [type(outcome).__name__ for outcome in outcomes] == ["Delivered", "Rejected", "Delivered"]
        assert len(await peer.waiting()) == 2


# Trouble


async def test_a_server_that_is_frozen_is_tried_later_in_time(server: MotoServer) -> None:
    """The send ends within its timeout; closing does not hang."""
    async with queue(server) as peer, sending(peer, timeout=1.0) as sink:
        await sink.open()
        server.freeze()
        try:
            async with asyncio.timeout(2):
                outcomes = await sink.send(sample_deliveries(30))
        finally:
            server.thaw()
        assert [type(outcome) for outcome in outcomes] == [TryLater] * 30


async def test_an_answer_that_gets_lost_doubles_nothing(server: MotoServer) -> None:
    """The connection is cut while requests are under way; the retry leaves each event once."""
    deliveries = sample_deliveries(100)
    async with queue(server) as peer, sending(peer) as sink:
        sent = asyncio.create_task(send(sink, deliveries))
        await asyncio.sleep(0.02)
        await peer.behave(Behaviour.GONE)
        assert all(isinstance(outcome, Delivered | TryLater) for outcome in await sent)
        await peer.behave(Behaviour.TAKES)
        assert [type(outcome) for outcome in await send(sink, deliveries)] == [Delivered] * 100
        ids = [json.loads(one["body"])["id"] for one in await peer.waiting()]
        assert sorted(ids) == [delivery.event.id for delivery in deliveries]


async def test_credentials_come_from_botos_chain(server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any, the outcome says so; the environment's are taken."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    async with queue(server) as peer:
        async with sending(peer, access_key_id=None, secret_access_key=None) as sink:
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert "credentials" in outcome.reason
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        async with sending(peer, access_key_id=None, secret_access_key=None) as sink:
            assert isinstance((await send(sink, [sample_delivery()]))[0], Delivered)


async def test_a_region_that_nobody_names_is_tried_later(server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what is missing."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    async with queue(server) as peer, sending(peer, region=None, endpoint_url=None) as sink:
        (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "region" in outcome.reason
