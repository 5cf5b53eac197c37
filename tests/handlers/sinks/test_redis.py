"""The sink redis against a private server: the contract of every sink, and a stream's own ways to fail."""

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import pytest
import redis.asyncio as client
from redis_server import MISSING, STREAM, RedisPeer, binary, made, running, server, stored

from handlers.sinks.redis import Redis
from handlers.sinks.redis.answers import added, shortfall
from receiver.contract.errors import ConfigError
from receiver.contract.sink import Delivered, NotReady, SinkPorts, TryLater
from receiver.testing.events import sample_deliveries, sample_delivery, sample_event
from receiver.testing.sink import Behaviour, SinkContract, eventually_delivered, send

SHARED = "redis://127.0.0.1:6379"

needs_server = pytest.mark.skipif(binary() is None and "CI" not in os.environ, reason=MISSING)


@needs_server
class TestRedis(SinkContract):
    """Redis holds what every sink holds."""

    sink = Redis
    cannot: ClassVar[Mapping[Behaviour, str]] = {
        Behaviour.REFUSES: "a stream takes any event; what is longer than proto-max-bulk-len has its own test"
    }

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[RedisPeer]:
        """Give a private server."""
        async with server() as started:
            yield RedisPeer(started)


# What is stored


@needs_server
async def test_an_entry_holds_the_event_and_what_a_reader_goes_by() -> None:
    """The outcome names the entry; an event without a call has an empty one."""
    async with server() as redis, running(redis.url) as sink:
        event = sample_event()
        other = sample_event(2, call_id=None)
        outcomes = await sink.send([sample_delivery(event), sample_delivery(other)])
        ((first, _), (second, _)) = await redis.ask("XRANGE", STREAM, "-", "+")
        assert outcomes == [Delivered(detail=f"entry {number.decode()}") for number in (first, second)]
        entry, without = await stored(redis)
        assert entry == {
            b"id": event.id.encode(),
            b"type": event.type.encode(),
            b"source": event.source.encode(),
            b"subject": event.subject.encode(),
            b"call": (event.call_id or "").encode(),
            b"event": event.cloudevent(),
        }
        assert without[b"call"] == b""


@needs_server
async def test_the_oldest_entries_go() -> None:
    """About maxlen entries stay: Redis drops whole nodes of a hundred."""
    async with server() as redis, running(redis.url, maxlen=100) as sink:
        assert {type(one) for one in await send(sink, sample_deliveries(600))} == {Delivered}
        ids = [json.loads(entry[b"event"])["id"] for entry in await stored(redis)]
        assert 100 <= len(ids) < 300
        assert ids[-1] == sample_event(600).id


# Trouble


@needs_server
async def test_a_server_without_memory_is_tried_later() -> None:
    """The reason holds what Redis said; afterwards the same sink delivers."""
    async with server() as redis, running(redis.url) as sink:
        await redis.fill()
        outcomes = await sink.send(sample_deliveries(2))
        assert [type(outcome) for outcome in outcomes] == [TryLater] * 2
        assert "maxmemory" in str(outcomes[0])
        await redis.empty()
        assert {type(one) for one in await sink.send(sample_deliveries(2))} == {Delivered}


@needs_server
async def test_an_event_longer_than_redis_takes_spoils_no_batch() -> None:
    """It is Rejected; those before it are Delivered, those behind it come again."""
    async with server("--proto-max-bulk-len", "1mb") as redis, running(redis.url) as sink:
        large = sample_delivery(sample_event(2, grow_to=1_200_000))
        outcomes = await sink.send([sample_delivery(), large, sample_delivery(serial=3)])
        assert [type(outcome).__name__ for outcome in outcomes] == ["Delivered", "Rejected", "TryLater"]
        assert isinstance((await sink.send([sample_delivery(serial=3)]))[0], Delivered)


@needs_server
async def test_what_was_answered_counts_when_the_server_dies() -> None:
    """Every outcome says what the file holds: delivered ones are there, whatever was killed in between."""
    async with server() as redis, running(redis.url) as sink:
        delivered: list[str] = []
        for pause in (0.0, 0.002, 0.005, 0.01, 0.02):
            redis.freeze()
            deliveries = sample_deliveries(256)
            sending = asyncio.create_task(send(sink, deliveries))
            await asyncio.sleep(0.1)
            redis.thaw()
            await asyncio.sleep(pause)
            await redis.stop()
            outcomes = await sending
            assert {type(outcome) for outcome in outcomes} <= {Delivered, TryLater}
            delivered += [one.detail or "" for one in outcomes if isinstance(one, Delivered)]
            await redis.start()
        there = {f"entry {number.decode()}" for number, _ in await redis.ask("XRANGE", STREAM, "-", "+")}
        assert set(delivered) <= there


@needs_server
async def test_a_server_that_is_killed_fails_what_waits_at_once() -> None:
    """The batch does not sit out its timeout."""
    async with server() as redis, running(redis.url, timeout=30.0) as sink:
        await sink.open()
        redis.freeze()
        sending = asyncio.create_task(sink.send(sample_deliveries(3)))
        await asyncio.sleep(0.2)
        await redis.stop()
        async with asyncio.timeout(3):
            outcomes = await sending
        assert [type(outcome) for outcome in outcomes] == [TryLater] * 3
        assert "no answer" in str(outcomes[0])


@needs_server
async def test_a_server_that_vanishes_holds_nothing_up() -> None:
    """Megabytes to a frozen server end in time as TryLater, and are not sent when it thaws."""
    large = [sample_delivery(sample_event(serial, grow_to=2_000_000)) for serial in range(1, 17)]
    async with server() as redis, running(redis.url, timeout=1.0) as sink:
        await sink.open()
        redis.freeze()
        began = time.monotonic()
        outcomes = await sink.send(large)
        assert [type(outcome) for outcome in outcomes] == [TryLater] * len(large)
        assert time.monotonic() - began < 2
        redis.thaw()
        await eventually_delivered(sink, large[0])
        assert len(await stored(redis)) < len(large)


@needs_server
async def test_replicas_must_have_it() -> None:
    """With wait_replicas nothing is delivered until a replica answers; then everything is."""
    async with server() as redis, running(redis.url, wait_replicas=1, timeout=1.0) as sink:
        outcomes = await sink.send(sample_deliveries(2))
        assert outcomes == [TryLater(reason="0 of 1 replicas have it")] * 2
        async with server("--replicaof", "127.0.0.1", str(redis.port)) as replica:
            await eventually_delivered(sink, sample_delivery())
            assert {type(one) for one in await sink.send(sample_deliveries(3))} == {Delivered}
            assert len(await stored(replica)) == len(await stored(redis))
            async with running(replica.url) as wrong:
                (refused,) = await wrong.send([sample_delivery()])
                assert "read only replica" in str(refused)


@needs_server
async def test_a_silent_server_delivers_nothing_that_had_to_be_replicated() -> None:
    """Answers to XADD alone do not count where replicas were asked for."""
    async with server() as redis, running(redis.url, wait_replicas=1, timeout=30.0) as sink:
        sending = asyncio.create_task(sink.send(sample_deliveries(3)))
        async with asyncio.timeout(5):
            while len(await stored(redis)) < 3:
                await asyncio.sleep(0.01)
        await redis.stop()
        assert {type(outcome) for outcome in await sending} == {TryLater}


@needs_server
async def test_the_sync_of_the_file_can_be_waited_for() -> None:
    """WAITAOF is of Redis 7.2: an older one says so, and nothing counts as delivered."""
    async with server() as redis, running(redis.url, wait_aof=True) as sink:
        version = (await redis.ask("INFO", "server"))["redis_version"]
        (outcome,) = await sink.send([sample_delivery()])
        if tuple(map(int, version.split(".")[:2])) >= (7, 2):
            assert isinstance(outcome, Delivered)
        else:
            assert isinstance(outcome, TryLater)
            assert "unknown command" in outcome.reason


def test_what_a_wait_lacks() -> None:
    """WAIT answers how many replicas, WAITAOF how many here and how many replicas (redis.io/commands/waitaof)."""
    replicas = made(SHARED, wait_replicas=2)
    assert shortfall(replicas, 1) == "1 of 2 replicas have it"
    assert shortfall(replicas, 2) is None
    both = made(SHARED, wait_replicas=1, wait_aof=True)
    assert shortfall(both, [0, 1]) == "not synced to Redis' append-only file in time"
    assert shortfall(both, [1, 0]) == "0 of 1 replicas have it"
    assert shortfall(both, [1, 1]) is None
    assert isinstance(added(None), TryLater)


# Signing in, settings


@needs_server
async def test_signs_in() -> None:
    """With the right password; a wrong one is tried later and not shown."""
    async with server("--requirepass", "s3cret") as redis:
        right, wrong = (redis.url.replace("//", f"//:{word}@") for word in ("s3cret", "wr0ng"))
        async with running(right) as sink:
            assert isinstance((await sink.send([sample_delivery()]))[0], Delivered)
        async with running(wrong) as sink:
            (outcome,) = await sink.send([sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert "invalid username-password" in outcome.reason
            assert "wr0ng" not in repr(outcome) + repr(sink.settings)


async def test_a_refused_connection_says_where() -> None:
    """The reason names the address and comes quickly; opening fails too."""
    async with running("redis://127.0.0.1:1") as sink:
        async with asyncio.timeout(2):
            (outcome,) = await sink.send([sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "127.0.0.1:1" in outcome.reason
        with pytest.raises(NotReady, match=r"cannot connect to Redis: .*127\.0\.0\.1:1"):
            await sink.open()


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://x", "redis://", "redis://h:0", "redis://h:x", "unix://"])
def test_an_address_that_cannot_be_one_is_an_error(url: str) -> None:
    """The message names the key and not the value."""
    with pytest.raises(ConfigError, match="url must be like redis://host:6379, rediss"):
        made(url)


def test_a_ca_is_for_tls() -> None:
    """Without rediss:// it would be ignored."""
    with pytest.raises(ConfigError, match="tls_ca is for rediss"):
        made(SHARED, tls_ca="ca.pem")
    made("rediss://h", tls_ca="ca.pem")


def test_a_missing_library_is_named_for_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install .redis"):
        Redis("queue", made(SHARED), SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]


# The server that everybody shares


@pytest.fixture
async def shared() -> AsyncIterator[str]:
    """Give a key on the shared server, and delete it."""
    name = f"hookscribe:{uuid.uuid4().hex}"
    async with client.Redis.from_url(SHARED) as asking:
        try:
            await asking.ping()
        except client.ConnectionError as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"no Redis at {SHARED}: {error}")
        yield name
        await asking.delete(name)


async def test_delivers_full_batches_to_the_shared_redis(shared: str) -> None:
    """A thousand events, in their order."""
    async with running(SHARED, stream=shared) as sink:
        assert {type(one) for one in await send(sink, sample_deliveries(1_000))} == {Delivered}
    async with client.Redis.from_url(SHARED) as asking:
        entries = await asking.execute_command("XRANGE", shared, "-", "+")  # type: ignore[no-untyped-call, unused-ignore]
    assert [fields[b"id"].decode() for _, fields in entries] == [sample_event(n).id for n in range(1, 1_001)]
