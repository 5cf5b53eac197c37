"""What runs in which role, alone and beside others, and how it ends."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from pipeline_fakes import PATIENCE, until
from running_fakes import REGISTRY, TOKEN, Keeps, configured

from receiver.contract.errors import SchemaError, StoreError, StoreUnavailable
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Refused
from receiver.making import routes
from receiver.pipeline import worker as worker_module
from receiver.runtime import Running, opened, running
from receiver.store.lists import Lists
from receiver.store.records import Kept
from receiver.store.store import Store


def a_request(body: bytes, token: str = TOKEN) -> InboundRequest:
    """Return a callback."""
    return InboundRequest(source="acme", token=token, headers=(), body=body, received_at=1_780_000_000_000)


async def receive(run: Running, body: bytes, token: str = TOKEN) -> Kept | Refused:
    """Receive a callback."""
    assert run.ingest is not None
    return await run.ingest.receive(a_request(body, token))


async def test_a_callback_goes_all_the_way(tmp_path: Path) -> None:
    """One process: received, normalized, delivered, and its redelivery is told so."""
    async with running(configured(tmp_path), REGISTRY) as run:
        first = await receive(run, b"1")
        await until(lambda: Keeps.sent)
        assert await receive(run, b"1") == Kept(getattr(first, "id", 0), True)
    assert [one.event.type for one in Keeps.sent] == ["transcript.completed"]


async def test_a_sink_gets_what_its_redaction_leaves(tmp_path: Path) -> None:
    """The sink with the table sees masks, the one without it and the store the original."""
    sinks = {"archive": {"kind": "keeps"}, "team": {"kind": "keeps", "redact": {"kinds": "email"}}}
    config = configured(tmp_path, sinks=sinks)
    async with running(config, REGISTRY) as run:
        await receive(run, b"write to ann@example.com")
        await until(lambda: len(Keeps.sent) == 2)
    said = {one.sink: json.loads(one.event.data) for one in Keeps.sent}
    assert said["archive"]["text"] == "write to ann@example.com"
    assert (said["team"]["text"], said["team"]["redacted"]) == ("write to [email]", {"email": 1})
    assert "redacted" not in said["archive"]


async def test_what_came_is_found_soon(tmp_path: Path) -> None:
    """The worker indexes by itself, behind the event."""
    async with running(configured(tmp_path), REGISTRY) as run:
        await receive(run, b"hello")
        search = Lists(run.runtime.store.engine).search
        async with asyncio.timeout(PATIENCE):
            while not (await search.segments({"q": "hello"})).items:
                await asyncio.sleep(0.01)
    assert len(Keeps.sent) == 1


async def test_what_is_refused_is_counted_and_kept_for_a_while(tmp_path: Path) -> None:
    """Nothing goes out; at the end what waited is in the quarantine."""
    config = configured(tmp_path)
    async with running(config, REGISTRY) as run:
        assert isinstance(await receive(run, b"1", "wrong-token-0123456789"), Refused)
    async with opened(config, REGISTRY) as runtime:
        assert len(await runtime.quarantine.newest(10)) == 1
    assert Keeps.sent == []


async def test_two_roles_share_a_store(tmp_path: Path) -> None:
    """The web role keeps without working, the worker role works without receiving, each by its own."""
    config = configured(tmp_path)
    async with running(config, REGISTRY, "web") as web:
        assert web.worker is None
        await receive(web, b"1")
        async with running(config, REGISTRY, "worker") as worker:
            assert worker.ingest is None
            await until(lambda: len(Keeps.sent) == 1)
            await receive(web, b"2")
            await until(lambda: len(Keeps.sent) == 2)


async def test_a_second_worker_waits_for_the_first(tmp_path: Path) -> None:
    """There is one worker of an embedded store; another takes over when it ends, and can be stopped before."""
    config = configured(tmp_path)
    entered: list[str] = []

    async def second() -> None:
        async with running(config, REGISTRY, "worker"):
            entered.append("second")

    async with running(config, REGISTRY):
        tired, patient = asyncio.create_task(second()), asyncio.create_task(second())
        await asyncio.sleep(0.2)
        tired.cancel()
        await asyncio.wait([tired])
        assert (entered, tired.cancelled()) == ([], True)
    async with asyncio.timeout(PATIENCE):
        await patient
    assert entered == ["second"]


async def test_what_was_received_while_nobody_worked_is_done_at_the_next_start(tmp_path: Path) -> None:
    """The store holds it all."""
    config = configured(tmp_path)
    async with running(config, REGISTRY, "web") as web:
        for number in range(20):
            await receive(web, b"%d" % number)
    assert Keeps.sent == []
    async with running(config, REGISTRY):
        await until(lambda: len(Keeps.sent) == 20)


async def test_a_worker_that_cannot_start_ends_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that received and never delivered would be a lie: the block ends with the reason."""

    async def fails(_: Store) -> int:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Store, "reclaim", fails)
    monkeypatch.setattr(worker_module, "_AGAIN", 0.01)
    with pytest.raises(StoreUnavailable, match="disk full"):
        async with asyncio.timeout(PATIENCE), running(configured(tmp_path), REGISTRY):
            await asyncio.Event().wait()
    monkeypatch.undo()
    async with running(configured(tmp_path), REGISTRY):
        pass


async def test_an_error_inside_ends_everything(tmp_path: Path) -> None:
    """Whatever the block raises comes out, and nothing keeps running or locked."""
    config = configured(tmp_path)

    async def ends_badly() -> None:
        async with running(config, REGISTRY) as run:
            await receive(run, b"1")
            raise KeyError

    with pytest.raises(KeyError):
        await ends_badly()
    async with asyncio.timeout(PATIENCE), running(config, REGISTRY):
        await until(lambda: Keeps.sent)


async def test_a_command_works_beside_a_receiver(tmp_path: Path) -> None:
    """It sees the same store and sources; without a schema it says what to do."""
    config = configured(tmp_path)
    with pytest.raises(SchemaError, match="hookscribe migrate"):
        async with opened(config, REGISTRY):
            pass
    async with running(config, REGISTRY) as run, opened(config, REGISTRY) as runtime:
        assert list(runtime.sources) == ["acme"]
        assert runtime.store.start == run.runtime.store.start + 1
        await receive(run, b"1")
        await until(lambda: Keeps.sent)


async def test_a_store_that_is_none_is_refused_and_leaves_no_thread(tmp_path: Path) -> None:
    """A file that is no database is said to be none, and the process can end."""
    before = set(threading.enumerate())
    (tmp_path / "store.db").write_text("this is a letter, not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        async with running(configured(tmp_path), REGISTRY):
            pass
    await until(lambda: not set(threading.enumerate()) - before, "the end of every thread")


async def test_a_store_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The folder is named, and what to do about it."""
    with pytest.raises(StoreUnavailable, match=r"absent: make that folder"):
        async with running(configured(tmp_path / "absent"), REGISTRY):
            pass


async def test_a_database_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    """Where it is looked for is said, and its password is not."""
    config = configured(tmp_path, store="postgresql://user:canary-password@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailable, match=r"127.0.0.1:1/db: connection failed.*refused") as told:
        async with running(config, REGISTRY):
            pass
    assert "canary" not in str(told.value)


def test_routes_are_those_of_the_sinks(tmp_path: Path) -> None:
    """Globs as they are set, and the wait before the first try."""
    sinks = {
        "archive": {"kind": "keeps"},
        "slow": {"kind": "keeps", "events": ["ops.*"], "sources": "acme", "retry": [1.5, 5]},
        "never": {"kind": "keeps", "retry": []},
    }
    found = {route.sink: route for route in routes(configured(tmp_path, sinks=sinks))}
    assert [found[name].first_wait for name in sinks] == [0, 1500, 0]
    assert (found["slow"].events, found["slow"].sources) == (("ops.*",), ("acme",))


async def test_silence_reaches_the_sinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that was heard and fell silent is told of, once, as any other event."""
    monkeypatch.setattr(worker_module, "_SLOWLY", 0.05)
    source = {"provider": "acme", "token": TOKEN, "silent_after": 0.3}
    async with running(configured(tmp_path, sources={"acme": source}), REGISTRY) as run:
        await receive(run, b"1")
        await until(lambda: len(Keeps.sent) == 2)
        await asyncio.sleep(0.3)
    assert [one.event.type for one in Keeps.sent] == ["transcript.completed", "ops.source_silent"]
