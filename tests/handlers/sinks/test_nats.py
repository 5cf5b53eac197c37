"""The sink nats against a private server: the contract of every sink, and JetStream's own ways to fail."""

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from nats_server import MISSING, STREAM, Jet, NatsPeer, binary, make, running, server, stored

from handlers.sinks.nats import Nats
from receiver.contract.model import Delivery
from receiver.contract.sink import Delivered, NotReady, Rejected, TryLater
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.shape import Addresses, Shaped
from receiver.store.records import DueDelivery
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.sink import PATIENCE, SinkContract, eventually_delivered, guarded, send

SHARED = "nats://127.0.0.1:4222"

pytestmark = pytest.mark.skipif(binary() is None and "CI" not in os.environ, reason=MISSING)


class TestNats(SinkContract):
    """Nats holds what every sink holds."""

    sink = Nats
    largest = 1_000_000

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[NatsPeer]:
        """Give a private server with the sink's stream."""
        async with server() as started:
            await make(started.url, STREAM, "test.>")
            yield NatsPeer(started)


# What is stored


async def test_a_message_is_a_structured_cloudevent_under_its_id() -> None:
    """Subject, headers and body; the outcome names stream and sequence."""
    async with server() as nats, running(servers=(nats.url,)) as sink:
        delivery = sample_delivery()
        assert await sink.send([delivery]) == [Delivered(detail="stream TEST seq 1")]
        ((subject, data, headers),) = await stored(nats.url, STREAM)
        assert subject == "test.transcript.completed"
        assert data == delivery.event.cloudevent()
        assert headers["Nats-Msg-Id"] == delivery.event.id
        assert headers["content-type"] == "application/cloudevents+json"


async def test_a_repeated_id_is_stored_once_and_delivered() -> None:
    """The stream's acknowledgement of a duplicate counts."""
    async with server() as nats, running(servers=(nats.url,)) as sink:
        first, again = await send(sink, [sample_delivery()]), await send(sink, [sample_delivery(attempt=2)])
        assert first == [Delivered(detail="stream TEST seq 1")]
        assert again == [Delivered(detail="stream TEST seq 1, a duplicate")]
        assert len(await stored(nats.url, STREAM)) == 1


async def test_the_stream_is_created_on_files_with_a_window_for_retries() -> None:
    """It covers what the subject can give; a second start leaves it alone."""
    async with server() as nats:
        for _ in range(2):
            async with running(servers=(nats.url,), subject="a.{source}.{type}.x") as sink:
                await sink.open()
        async with Jet(nats.url) as jet:
            config = (await jet.stream_info(STREAM)).config
        assert config.subjects == ["a.*.>"]
        assert config.storage == "file"
        assert config.duplicate_window == 600


async def test_a_stream_that_is_gone_is_created_again() -> None:
    """Somebody deleted it under the running sink."""
    async with server() as nats, running(servers=(nats.url,)) as sink:
        assert isinstance((await send(sink, [sample_delivery()]))[0], Delivered)
        async with Jet(nats.url) as jet:
            await jet.delete_stream(STREAM)
        (lost,) = await send(sink, [sample_delivery(serial=2)])
        assert lost == TryLater(reason="no stream takes this subject")
        assert isinstance((await send(sink, [sample_delivery(serial=2)]))[0], Delivered)


async def test_a_missing_stream_is_tried_later() -> None:
    """Without create_stream; as is a subject that another stream takes."""
    async with server() as nats, running(servers=(nats.url,), create_stream=False) as sink:
        assert await send(sink, [sample_delivery()]) == [TryLater(reason="no stream takes this subject")]
        await make(nats.url, "OTHER", "test.>")
        assert await send(sink, [sample_delivery()]) == [
            TryLater(reason="the stream refused: expected stream does not match")
        ]
        assert await stored(nats.url, "OTHER") == []


async def test_subjects_of_another_stream_cannot_be_taken_over() -> None:
    """Creating a stream that overlaps fails with the server's words, and is tried again."""
    async with server() as nats, running(servers=(nats.url,)) as sink:
        await make(nats.url, "OTHER", "test.>")
        (outcome,) = await send(sink, [sample_delivery()])
        assert outcome == TryLater(reason="cannot see to stream TEST: subjects overlap with an existing stream")


async def test_one_too_large_spoils_no_batch() -> None:
    """It is Rejected with size and limit; headers count; its neighbours arrive."""
    async with server("max_payload: 20000") as nats, running(servers=(nats.url,)) as sink:
        large = sample_delivery(sample_event(2, grow_to=20_000))
        outcomes = await send(sink, [sample_delivery(), large, sample_delivery(serial=3)])
        assert [isinstance(outcome, Delivered) for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1], Rejected)
        assert outcomes[1].reason.endswith("bytes are more than the server's max_payload, 20000")
        for size in range(19_400, 20_100, 50):
            data = b'"' + b"x" * (size - len(sample_event(data=b'""').cloudevent())) + b'"'
            (outcome,) = await send(sink, [sample_delivery(sample_event(size, data=data))])
            assert isinstance(outcome, Delivered | Rejected)


async def test_what_is_too_large_goes_out_thin() -> None:
    """By the server's own bound, headers and all; after a restart with a smaller one too, once it has been tried."""
    async with server("max_payload: 60000") as nats, running(servers=(nats.url,)) as sink:
        assert sink.largest() is None
        await sink.open()
        assert sink.largest() == 60_000 - 4096
        shaped, render = Shaped(sink, Addresses(None, "https://hooks.internal")), Renderer(None, None, "")

        def made(size: int) -> Delivery:
            row = DueDelivery(1, 0, size, "acme", "transcript.completed", "t", "trn_1", None, sample_data(size))
            return Delivery(id="dlv_1", sink="queue", attempt=1, event=shaped.event(render(row)))

        outcomes = await send(sink, [made(size) for size in range(30_000, 90_000, 2000)])
        assert {type(outcome) for outcome in outcomes} == {Delivered}
        smaller = made(40_000)
        nats.config.write_text(nats.config.read_text().replace("60000", "20000"))
        await nats.stop()
        await nats.start()
        await eventually(sink, smaller, TryLater(reason="the server now takes 20000 bytes"))
        (outcome,) = await send(sink, [made(40_001)])
        assert outcome == Delivered(detail=f"stream {STREAM} seq 31")


def sample_data(size: int) -> bytes:
    """Return a transcript of at least so many bytes."""
    return sample_event(grow_to=size).data


async def eventually(sink: Nats, delivery: Delivery, wanted: TryLater) -> None:
    """Send again until this is the outcome."""
    async with asyncio.timeout(PATIENCE):
        while (await send(sink, [delivery]))[0] != wanted:
            await asyncio.sleep(0.05)


# Trouble


async def test_a_restart_in_the_middle_of_a_batch_loses_and_doubles_nothing() -> None:
    """Every event is stored once, whatever the server had done with the batch when it was killed."""
    deliveries = sample_deliveries(512)
    async with server() as nats, running(servers=(nats.url,)) as sink:
        await send(sink, deliveries[:256])
        for pause in (0.0, 0.002, 0.004, 0.008):
            nats.freeze()
            sending = asyncio.create_task(send(sink, deliveries[256:]))
            await asyncio.sleep(0.1)
            nats.thaw()
            await asyncio.sleep(pause)
            await nats.stop()
            assert all(isinstance(outcome, Delivered | TryLater) for outcome in await sending)
            await nats.start()
        assert all(isinstance(outcome, Delivered) for outcome in await send(sink, deliveries[256:]))
        ids = [json.loads(data)["id"] for _, data, _ in await stored(nats.url, STREAM)]
        assert sorted(ids) == [delivery.event.id for delivery in deliveries]


async def test_a_server_that_is_killed_fails_what_waits_at_once() -> None:
    """The batch does not sit out its timeout."""
    async with server() as nats, running(servers=(nats.url,), timeout=30.0) as sink:
        await sink.open()
        nats.freeze()
        sending = asyncio.create_task(send(sink, sample_deliveries(3)))
        await asyncio.sleep(0.2)
        await nats.stop()
        async with asyncio.timeout(3):
            outcomes = await sending
        assert [type(outcome) for outcome in outcomes] == [TryLater] * 3
        assert "lost" in str(outcomes[0])


async def test_a_server_that_vanishes_holds_nothing_up() -> None:
    """Megabytes to a frozen server end in time as TryLater; a cancelled send ends promptly; so does closing."""
    large = [sample_delivery(sample_event(serial, grow_to=500_000)) for serial in range(1, 25)]
    async with server() as nats, running(servers=(nats.url,), timeout=2.0) as sink:
        await sink.open()
        nats.freeze()
        began = time.monotonic()
        outcomes = await sink.send(large)
        assert [type(outcome) for outcome in outcomes] == [TryLater] * len(large)
        assert time.monotonic() - began < 4
        assert [type(item) for item in await sink.send(large[:2])] == [TryLater] * 2
        nats.thaw()
        await eventually_delivered(sink, large[0])
        nats.freeze()
        task = asyncio.ensure_future(sink.send(large))
        await asyncio.sleep(0.3)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2.5)
        assert done
        assert task.cancelled()


async def test_a_refused_connection_says_where() -> None:
    """The reason names the address and comes quickly; opening fails the same way."""
    async with running(servers=("nats://127.0.0.1:1",)) as sink:
        async with asyncio.timeout(2):
            (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "127.0.0.1" in outcome.reason
        with pytest.raises(NotReady, match="cannot connect to NATS"):
            await sink.open()


async def test_another_server_of_the_cluster_is_tried() -> None:
    """One address that refuses does not matter."""
    async with server() as nats, running(servers=("nats://127.0.0.1:1", nats.url)) as sink:
        assert isinstance((await send(sink, [sample_delivery()]))[0], Delivered)


async def test_a_server_without_jetstream_is_tried_later() -> None:
    """It has nobody who would acknowledge."""
    async with server() as nats:
        nats.config.write_text("")
        await nats.stop()
        await nats.start()
        async with running(servers=(nats.url,)) as sink:
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert "cannot see to stream TEST" in outcome.reason


# The server that everybody shares


@pytest.fixture
async def shared() -> AsyncIterator[str]:
    """Give a name for a stream on the shared server, and delete it."""
    name = f"hookscribe-{uuid.uuid4().hex}"
    try:
        async with Jet(SHARED):
            pass
    except Exception as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no NATS at {SHARED}: {error}")
    yield name
    async with Jet(SHARED) as jet:
        with contextlib.suppress(Exception):
            await jet.delete_stream(name)


async def test_delivers_full_batches_to_the_shared_server(shared: str) -> None:
    """A thousand events, each in its place."""
    async with guarded() as http, running(http, servers=(SHARED,), stream=shared, subject=f"{shared}.{{type}}") as sink:
        outcomes = await send(sink, sample_deliveries(1_000))
        assert outcomes == [Delivered(detail=f"stream {shared} seq {number}") for number in range(1, 1_001)]
