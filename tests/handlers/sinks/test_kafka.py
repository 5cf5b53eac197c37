"""The sink kafka against librdkafka's mock cluster: the contract of every sink, and brokers' own ways to fail."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kafka_cluster import (
    BROKERS,
    FORBIDDEN,
    MISSING,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    PRODUCE,
    TIMED_OUT,
    TOO_LARGE,
    TOPIC,
    KafkaPeer,
    cluster,
    made,
    missing,
    running,
    stored,
)

from handlers.sinks import kafka as kafka_sink
from handlers.sinks.kafka import Kafka
from handlers.sinks.kafka.message import record
from handlers.sinks.kafka.producing import started
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.sink import Delivered, NotReady, Rejected, SinkPorts, TryLater
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.sink import SinkContract, eventually_delivered, send

needs_cluster = pytest.mark.skipif(missing() and "CI" not in os.environ, reason=MISSING)


@needs_cluster
class TestKafka(SinkContract):
    """Kafka holds what every sink holds."""

    sink = Kafka
    largest = 1_000_000

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[KafkaPeer]:
        """Give a cluster."""
        async with cluster() as started:
            yield KafkaPeer(started)


# What is stored


@needs_cluster
async def test_a_record_is_a_structured_cloudevent_under_its_call() -> None:
    """Key, value and header; the outcome names partition and offset."""
    async with cluster() as kafka, running(servers=kafka.servers) as sink:
        event, other = sample_event(), sample_event(2, call_id=None)
        outcomes = await sink.send([sample_delivery(event), sample_delivery(other)])
        assert outcomes == [Delivered(detail=f"partition 0 offset {number}") for number in range(2)]
        first, second = await stored(kafka.servers)
        assert (first.key, first.value) == ((event.call_id or "").encode(), event.cloudevent())
        assert first.headers == (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
        assert second.key is None


@needs_cluster
async def test_a_binary_record_holds_the_data_alone() -> None:
    """Everything else stands in ce_ headers, as UTF-8."""
    async with cluster() as kafka, running(servers=kafka.servers, mode="binary") as sink:
        event = sample_event(subject="trn_é")
        assert isinstance((await sink.send([sample_delivery(event)]))[0], Delivered)
        (kept,) = await stored(kafka.servers)
        assert kept.value == event.data
        headers = dict(kept.headers)
        assert headers.pop("content-type") == b"application/json"
        wanted = {f"ce_{name}": text.encode() for name, text in event.attributes().items() if name != "datacontenttype"}
        assert headers == wanted


@needs_cluster
async def test_a_call_keeps_its_partition_and_order() -> None:
    """Over four partitions and several batches."""
    async with cluster(partitions=4) as kafka, running(servers=kafka.servers) as sink:
        for first in range(1, 61, 20):
            events = [sample_event(first + n, call_id=f"call_{n}") for n in range(20)]
            assert {type(one) for one in await sink.send(list(map(sample_delivery, events)))} == {Delivered}
        records = await stored(kafka.servers)
        assert len({one.partition for one in records}) > 1
        for call in range(20):
            of_call = [one for one in records if one.key == b"call_%d" % call]
            assert len({one.partition for one in of_call}) == 1
            ids = [json.loads(one.value)["id"] for one in of_call]
            assert ids == [sample_event(number + call).id for number in (1, 21, 41)]


def test_what_fits_fits_in_every_mode() -> None:
    """An event of `largest` bytes leaves room for key, headers and frame."""
    sink = Kafka("queue", made(max_request_size=20_000), SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]
    assert sink.largest() == 20_000 - 1024
    beside = record(sample_event(), "structured")
    assert len(beside.key or b"") + sum(len(name) + len(value) + 4 for name, value in beside.headers) < 512


@needs_cluster
async def test_one_record_too_large_spoils_no_batch() -> None:
    """It is Rejected with its size; its neighbours arrive; what `largest` says arrives."""
    async with cluster() as kafka, running(servers=kafka.servers, max_request_size=20_000) as sink:
        large = sample_delivery(sample_event(2, grow_to=20_000))
        outcomes = await sink.send([sample_delivery(), large, sample_delivery(serial=3)])
        assert [isinstance(outcome, Delivered) for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1], Rejected)
        assert outcomes[1].reason.endswith("bytes are more than max_request_size")
        data = b'"' + b"x" * (sink.largest() - len(sample_event(data=b'""').cloudevent())) + b'"'
        just = sample_event(4, data=data)
        assert len(just.cloudevent()) == sink.largest()
        assert isinstance((await sink.send([sample_delivery(just)]))[0], Delivered)


@needs_cluster
async def test_too_large_together_is_sent_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes less than we were told finds a whole batch too large: each then counts by itself.

    Another producer sends them: brokers miss the refused records in the numbers of the first.
    """
    producers: list[object] = []

    async def counted(*given: Any) -> Any:
        producers.append(made := await started(*given))
        return made

    monkeypatch.setattr(kafka_sink, "started", counted)
    async with cluster() as kafka, running(servers=kafka.servers) as sink:
        await sink.open()
        await kafka.tell("errors", PRODUCE, TOO_LARGE, 1)
        outcomes = await sink.send(sample_deliveries(5))
        assert {type(outcome) for outcome in outcomes} == {Delivered}
        assert len(await stored(kafka.servers)) == 5
        assert len(producers) == 2


# Trouble


@needs_cluster
@pytest.mark.parametrize("code", [NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS])
async def test_a_passing_refusal_costs_time_only(code: int) -> None:
    """The producer asks again by itself, and every record is stored once."""
    async with cluster(partitions=2) as kafka, running(servers=kafka.servers) as sink:
        await sink.open()
        await kafka.tell("errors", PRODUCE, code, 3)
        assert {type(one) for one in await sink.send(sample_deliveries(20))} == {Delivered}
        assert len(await stored(kafka.servers)) == 20


@needs_cluster
async def test_a_refusal_that_lasts_is_tried_later() -> None:
    """The reason holds Kafka's name for it; the next batch gets a new producer."""
    async with cluster() as kafka, running(servers=kafka.servers) as sink:
        await kafka.tell("errors", PRODUCE, FORBIDDEN, 1)
        outcomes = await sink.send(sample_deliveries(2))
        assert {type(one) for one in outcomes} == {TryLater}
        assert "TopicAuthorizationFailed" in str(outcomes[0])
        assert {type(one) for one in await sink.send(sample_deliveries(2))} == {Delivered}


@needs_cluster
async def test_a_cluster_that_vanishes_holds_nothing_up() -> None:
    """A frozen cluster ends in time as TryLater; a cancelled send ends promptly; nothing is sent behind our back."""
    large = [sample_delivery(sample_event(serial, grow_to=500_000)) for serial in range(1, 9)]
    async with cluster() as kafka, running(servers=kafka.servers, timeout=2.0) as sink:
        await sink.open()
        kafka.freeze()
        began = time.monotonic()
        assert {type(one) for one in await sink.send(large)} == {TryLater}
        assert {type(one) for one in await sink.send(large[:2])} == {TryLater}
        assert time.monotonic() - began < 6
        kafka.thaw()
        await eventually_delivered(sink, large[0])
        kafka.freeze()
        task = asyncio.ensure_future(sink.send(large))
        await asyncio.sleep(0.3)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2.5)
        assert done
        assert task.cancelled()
        kafka.thaw()


@needs_cluster
async def test_another_broker_takes_over() -> None:
    """One that is down, and named first, does not matter; nor that it led the partition."""
    async with cluster() as kafka, running(servers=("127.0.0.1:1", *kafka.servers)) as sink:
        assert isinstance((await sink.send([sample_delivery()]))[0], Delivered)
        for broker in BROKERS:
            await kafka.down(broker)
            await kafka.tell("leader", TOPIC, 0, broker % 3 + 1)
            await eventually_delivered(sink, sample_delivery(serial=broker + 1))
            await kafka.up(broker)


async def test_a_refused_connection_of_kafka_says_where() -> None:
    """The reason names the address and comes quickly; opening fails the same way."""
    async with running(servers=("127.0.0.1:1",)) as sink:
        async with asyncio.timeout(2):
            (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "127.0.0.1" in outcome.reason
        with pytest.raises(NotReady, match=r"cannot produce to Kafka: .*Unable to bootstrap"):
            await sink.open()


# Settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"servers": ()}, "servers must name"),
        ({"servers": ("localhost",)}, "servers must name"),
        ({"servers": ("kafka://localhost:9092",)}, "servers must name"),
        ({"servers": ("ann:s3cret@host:9092",)}, "servers must name"),
        ({"user": "ann"}, "user and password belong together"),
        ({"user": "ann", "password": Secret("s3cret"), "mechanism": "PLAIN"}, "mechanism PLAIN sends"),
        ({"tls_ca": "ca.pem"}, "tls_ca is of use"),
    ],
)
def test_kafka_settings_that_contradict_are_errors(settings: dict[str, Any], words: str) -> None:
    """The message names the key and shows no secret."""
    with pytest.raises(ConfigError, match=words) as raised:
        made(**settings)
    assert "s3cret" not in str(raised.value)
    made(servers=("[::1]:9092", "broker-1.example.com:9092"), user="ann", password=Secret("s3cret"))


async def test_a_ca_that_is_missing_is_tried_later() -> None:
    """The reason names what is wrong."""
    async with running(tls=True, tls_ca="nowhere/ca.pem", user="ann", password=Secret("s3cret")) as sink:
        (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "No such file" in outcome.reason


def test_a_missing_library_is_named_for_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(ConfigError, match="pip install aiokafka"):
        Kafka("queue", made(), SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]
