"""The stream over HTTP, against a receiver: nothing twice, nothing missed, and a clear end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pipeline_fakes import until
from running_fakes import ADMIN, REGISTRY, TOKEN, Keeps, configured

from receiver.runtime import Running
from receiver.store.store import Store
from receiver.web import stream
from receiver.web.serve import Addresses, serving

BEARER = {"authorization": f"Bearer {ADMIN}"}
Message = dict[str, str]


async def messages(
    http: httpx.AsyncClient, count: int, headers: dict[str, str] | None = None, **asked: str
) -> list[Message]:
    """Read so many messages that say something, and go."""
    found: list[Message] = []
    async with asyncio.timeout(20), http.stream("GET", "/api/v1/stream", params=asked, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        one: Message = {}
        async for line in lines:
            if line:
                name, _, value = line.partition(": ")
                one[name] = value
            elif one:
                found, one = [*found, *([one] if "data" in one else [])], {}
            if len(found) >= count:
                return found
    return found


@contextlib.asynccontextmanager
async def receiving(folder: Path) -> AsyncIterator[tuple[Running, Addresses, httpx.AsyncClient]]:
    """Run a receiver; give a client of its people's side."""
    async with (
        serving(configured(folder, admin_token=ADMIN), REGISTRY) as (run, where),
        httpx.AsyncClient(base_url=where.admin or "", headers=BEARER, timeout=30) as http,
    ):
        yield run, where, http


async def post(http: httpx.AsyncClient, where: Addresses, body: str) -> None:
    """Let a provider call, and wait until the event went out."""
    before = len(Keeps.sent)
    assert (await http.post(f"{where.public}/hooks/acme/{TOKEN}", content=body)).status_code == 200
    await until(lambda: len(Keeps.sent) > before)


async def test_a_reader_goes_on_where_it_left_off(tmp_path: Path) -> None:
    """By cursor or by the header that browsers send; what comes later arrives; no words of a call are in it."""
    async with receiving(tmp_path) as (_, where, http):
        await post(http, where, "canary-1")
        (first,) = await messages(http, 1, cursor="0")
        assert first["event"] == "transcript.completed"
        assert json.loads(first["data"])["type"] == "transcript.completed"
        assert "canary" not in first["data"]
        reading = asyncio.create_task(messages(http, 2, {"last-event-id": first["id"]}))
        await post(http, where, "canary-2")
        await post(http, where, "canary-3")
        later = await reading
        whole = await messages(http, 3, cursor="0")
        assert whole == [first, *later]
        assert await messages(http, 1, cursor=later[0]["id"]) == later[1:]


async def test_filters_are_globs(tmp_path: Path) -> None:
    """By type and source; what fits nothing is not sent."""
    async with receiving(tmp_path) as (_, where, http):
        for body in ("1", "2"):
            await post(http, where, body)
        assert len(await messages(http, 2, cursor="0", types="ops.*,transcript.*", sources="ac*")) == 2
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await messages(http, 1, cursor="0", types="ops.*")
        for wrong in ({"cursor": "x"}, {"cursor": "1" * 19}, {"types": "x" * 501}, {"word": "1"}):
            assert (await http.get("/api/v1/stream", params=wrong)).status_code == 400


async def test_a_stop_ends_readers_with_a_word(tmp_path: Path) -> None:
    """At once, not after the grace time."""
    async with receiving(tmp_path) as (_, where, http):
        await post(http, where, "1")
        reading = asyncio.create_task(
            messages(httpx.AsyncClient(base_url=where.admin or "", headers=BEARER), 2, cursor="0")
        )
        await asyncio.sleep(0.5)
    last = (await reading)[-1]
    assert last["event"] == "end"
    assert "this process stops" in last["data"]


async def test_a_number_is_never_given_again(tmp_path: Path) -> None:
    """Where the newest event is erased, a reader that had read it does not miss the one after it."""
    async with receiving(tmp_path) as (run, where, http):
        for body in ("1", "2"):
            await post(http, where, body)
        last = (await messages(http, 2, cursor="0"))[-1]
        store: Store = run.runtime.store
        rows = await store.engine.rows("stream_events", {"seq": 0, "limit": 9})
        await store.engine.write("drop_events", {"ids": [row[1] for row in rows]})
        await post(http, where, "3")
        (new,) = await messages(http, 1, cursor=last["id"])
        assert int(new["id"]) > int(last["id"])


async def test_readers_are_bounded_and_hear_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told to come again; a quiet stream has heartbeats, which move on what was left out."""
    monkeypatch.setattr(stream, "READERS", 1)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.3)
    async with receiving(tmp_path) as (_, where, http):
        await post(http, where, "1")
        asked = {"types": "ops.*", "cursor": "0"}
        async with asyncio.timeout(20), http.stream("GET", "/api/v1/stream", params=asked) as answer:
            heard: list[str] = []
            async for line in answer.aiter_lines():
                heard += [line] if line else []
                if line == ": nothing new":
                    break
            assert heard == ["retry: 3000", "id: 1", ": nothing new"]
            assert (await http.get("/api/v1/stream")).status_code == 503


async def test_a_reader_that_reads_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told why, as soon as it reads again."""
    monkeypatch.setattr(stream, "SLOW", 0.1)
    async with receiving(tmp_path) as (run, _, __):
        streams, sent = stream.Streams(run.runtime.store), list[Any]()

        async def slow(message: Any) -> None:
            sent.append(message)
            if len(sent) == 2:
                await asyncio.sleep(5)

        async def nothing() -> Any:
            await asyncio.Event().wait()

        await stream._Streamed(streams, 0, [["*"], ["*"]])({"type": "http"}, nothing, slow)
    assert b"too slow" in sent[-1]["body"]
    assert sent[-1]["more_body"] is False
