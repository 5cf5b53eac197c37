"""The sink slack as a bot: one thread a call, replies, long transcripts as files, and what Slack's answers mean."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from kept import kept_in

from handlers.sinks.slack import Slack, SlackSettings
from handlers.sinks.slack.api import Said, meaning
from handlers.sinks.slack.message import transcript
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery, Event
from receiver.contract.settings import Secret
from receiver.contract.sink import (
    Delivered,
    HttpAnswer,
    HttpFailed,
    Rejected,
    ShortMemory,
    SinkMemory,
    SinkPorts,
    TryLater,
)
from receiver.store.memory import StoredMemory
from receiver.testing.events import sample_delivery, sample_event
from receiver.testing.sink import Arrived, Behaviour, SinkContract, guarded
from receiver.testing.slack_api import CHANNEL, TOKEN, SlackApi
from receiver.testing.store import Clock

LINKS = "https://hookscribe.internal"


class BotPeer:
    """The stand-in on a port of its own."""

    def __init__(self) -> None:
        self.standin = SlackApi(rate=None, links=LINKS)
        self.how = Behaviour.TAKES
        self.port = 0
        self.running: tuple[uvicorn.Server, asyncio.Task[None]] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Behave as told, else leave it to the stand-in."""
        if self.how is Behaviour.HANGS:
            with contextlib.suppress(asyncio.CancelledError):
                while (await receive())["type"] != "http.disconnect":
                    pass
            return
        if self.how is Behaviour.LATER:
            self.standin.answer("*", "ratelimited", status=429, retry_after=1)
        if self.how is Behaviour.REFUSES:
            self.standin.answer("*", "invalid_blocks")
        await self.standin(scope, receive, send)

    async def start(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self.standin.base = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        self.running = server, asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop listening."""
        if self.running is not None:
            server, task = self.running
            self.running, server.should_exit = None, True
            await task

    def settings(self) -> Mapping[str, Any]:
        """Return the settings for this peer."""
        api = f"{self.standin.base}/api"
        return {"token": TOKEN, "channel": CHANNEL, "api": api, "allow_private": True, "include_text": True}

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        self.how = how
        if how is Behaviour.GONE:
            await self.stop()
        elif self.running is None:
            await self.start()

    async def arrived(self) -> Sequence[Arrived]:
        """Return the messages taken."""
        assert self.standin.alive == []
        return [Arrived(raw=json.dumps(item, ensure_ascii=False).encode()) for item in self.standin.messages]


@contextlib.asynccontextmanager
async def at_work() -> AsyncIterator[BotPeer]:
    """Give a stand-in, running."""
    peer = BotPeer()
    await peer.start()
    try:
        yield peer
    finally:
        await peer.stop()


class TestSlackBot(SinkContract):
    """A bot holds what every sink holds."""

    sink = Slack
    whole = False
    dangerous = (b"<!", b"<@", b"<#", b"<script", b"<https://evil", "\u202e".encode(), b"\\u0000", b"\\u001b")

    def peer(self) -> contextlib.AbstractAsyncContextManager[BotPeer]:
        """Give a stand-in, running."""
        return at_work()


@contextlib.asynccontextmanager
async def bot(peer: BotPeer, memory: SinkMemory | None = None, **settings: Any) -> AsyncIterator[Slack]:
    """Give a sink for a stand-in."""
    given = {**peer.settings(), "kind": "slack", **settings}
    made = SlackSettings(**{**given, "token": Secret(given["token"])})
    made.check()
    async with guarded() as http:
        yield Slack("team", made, SinkPorts(http=http, links=LINKS, now=lambda: 0.0, memory=memory or ShortMemory()))


def delivery(serial: int, call: str | None = "call_1", **changes: Any) -> Delivery:
    """Return a delivery about a call."""
    return sample_delivery(sample_event(serial, call_id=call, **changes))


def long_event(serial: int = 1, **changes: Any) -> Event:
    """Return a transcript that is too long for a message."""
    return sample_event(serial, grow_to=300_000, **changes)


async def sent(sink: Slack, *deliveries: Delivery) -> list[Any]:
    """Send one after the other."""
    return [(await sink.send([one]))[0] for one in deliveries]


async def test_a_call_is_a_thread() -> None:
    """Its first event begins it; later results, versions and failures are replies; others stand for themselves."""
    async with at_work() as peer, bot(peer) as sink:
        kinds = ("transcript.completed", "analysis.completed", "transcript.updated", "analysis.failed")
        first = [delivery(number, type=kind) for number, kind in enumerate(kinds, 1)]
        others = [delivery(5, "call_2"), delivery(6, None, type="ops.sink_tripped", data=b"{}"), delivery(7, "call_2")]
        assert all(isinstance(one, Delivered) for one in await sent(sink, *first, *others, delivery(8)))
        threads = peer.standin.threads()
    assert [len(thread) for thread in threads] == [5, 2, 1]
    assert peer.standin.alive == []


async def test_threads_outlive_the_process(tmp_path: Path) -> None:
    """The thread of a call is kept in the store: another sink object goes on with it; another channel does not."""
    async with kept_in(tmp_path / "store.db", Clock()) as store, at_work() as peer:
        async with bot(peer, StoredMemory(store, "team")) as sink:
            await sent(sink, delivery(1))
        async with bot(peer, StoredMemory(store, "team")) as sink:
            await sent(sink, delivery(2))
        async with bot(peer, StoredMemory(store, "other")) as sink:
            await sent(sink, delivery(3))
        assert [len(thread) for thread in peer.standin.threads()] == [2, 1]


async def test_two_results_at_once_are_one_thread() -> None:
    """Whoever comes second waits until the thread has begun."""
    async with at_work() as peer, bot(peer) as sink:
        await asyncio.gather(*(sink.send([delivery(number)]) for number in range(1, 9)))
        assert [len(thread) for thread in peer.standin.threads()] == [8]


async def test_a_thread_that_is_gone_begins_anew() -> None:
    """Somebody deleted its first message: the next event begins another, to which later ones go."""
    async with at_work() as peer, bot(peer) as sink:
        await sent(sink, delivery(1))
        peer.standin.messages.clear()
        assert isinstance((await sent(sink, delivery(2)))[0], Delivered)
        await sent(sink, delivery(3))
        assert [len(thread) for thread in peer.standin.threads()] == [2]


async def test_a_long_transcript_is_a_file_in_the_thread() -> None:
    """Whole, every line of it; the message says who and how long, and the token stays with Slack's API."""
    event = long_event(call_id="call_1")
    async with at_work() as peer, bot(peer) as sink:
        (first, second) = await sent(sink, delivery(1), Delivery(id="d", sink="team", attempt=1, event=event))
        assert isinstance(first, Delivered)
        assert second == Delivered(detail="ts 1700000000.000002, with a file")
        (file,) = peer.standin.files.values()
        ((root, _),) = peer.standin.threads()
    assert (file.filename, file.shared, file.thread) == (f"{event.subject}.txt", True, root)
    said = (file.body or b"").decode()
    assert said == transcript(event)
    assert len(said.splitlines()) == len(json.loads(event.data)["segments"])
    assert said.splitlines()[0].startswith("0:00 ")
    assert "What was said" not in json.dumps(peer.standin.messages[1])
    assert "What was said" in json.dumps(peer.standin.messages[0])
    assert peer.standin.refused == []


async def test_no_words_leave_unasked() -> None:
    """Without include_text there is no file, however long it is."""
    async with at_work() as peer, bot(peer, include_text=False) as sink:
        await sent(sink, Delivery(id="d", sink="team", attempt=1, event=long_event()))
        assert (len(peer.standin.messages), peer.standin.files) == (1, {})


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
async def test_a_file_that_fails_is_tried_again_without_its_message(method: str) -> None:
    """The message stands there once; the file comes with a later try."""
    one = Delivery(id="d", sink="team", attempt=1, event=long_event())
    async with at_work() as peer, bot(peer) as sink:
        peer.standin.answer(method, "internal_error", status=503, retry_after=9)
        (failed,) = await sent(sink, one)
        assert isinstance(failed, TryLater)
        assert failed.after == 9
        assert isinstance((await sent(sink, one))[0], Delivered)
        assert len(peer.standin.messages) == 1
        assert [file.shared for file in peer.standin.files.values()][-1] is True


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_workspace_without_files_gets_the_message(method: str) -> None:
    """Trying again would change nothing; a missing scope is put right by somebody, and waits."""
    one = Delivery(id="d", sink="team", attempt=1, event=long_event())
    async with at_work() as peer, bot(peer) as sink:
        peer.standin.answer(method, "file_uploads_disabled")
        assert await sent(sink, one) == [
            Delivered(detail="ts 1700000000.000001, without the file: file_uploads_disabled")
        ]
        peer.standin.answer(method, "missing_scope")
        assert await sent(sink, one) == [TryLater(reason=f"Slack answered missing_scope to {method}")]


async def test_one_message_a_second_and_channel() -> None:
    """The stand-in refuses a faster one, and says when to come again."""
    async with at_work() as peer, bot(peer) as sink:
        peer.standin._rate = 1.0
        outcomes = await sent(sink, delivery(1), delivery(2))
        assert isinstance(outcomes[0], Delivered)
        assert outcomes[1] == TryLater(reason="Slack answered 429 to chat.postMessage", after=1.0)


def answered(status: int, said: Any) -> Any:
    """Return what an answer means."""
    body = said if isinstance(said, bytes) else msgspec.json.encode(said)
    return meaning("chat.postMessage", HttpAnswer(status=status, headers={}, body=body), 0)


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (200, {"ok": True, "channel": "C1", "ts": "1.2"}, Said),
        (200, b'{"ok":true,"channel":"C1","ts":"1.2","message":{"text":"cut', Said),
        (200, {"ok": False, "error": "thread_not_found"}, Said),
        (200, {"ok": False, "error": "msg_too_long"}, Rejected),
        (200, {"ok": False, "error": "invalid_auth"}, TryLater),
        (200, {"ok": False, "error": "not_in_channel"}, TryLater),
        (200, {"ok": False, "error": "something_new"}, TryLater),
        (200, {"ok": False}, TryLater),
        (200, b"<html>", TryLater),
        (200, [], TryLater),
        (413, b"", Rejected),
        (429, b"", TryLater),
        (500, b"", TryLater),
    ],
)
def test_answers_mean(status: int, said: Any, kind: type) -> None:
    """Message at fault: Rejected; token, channel or Slack at fault: the backlog waits."""
    assert type(answered(status, said)) is kind


def test_only_slacks_own_words_are_shown() -> None:
    """An error that is no word is not repeated."""
    said = answered(200, {"ok": False, "error": "https://secret <b>"})
    assert said.reason == "Slack answered something else than ok to chat.postMessage"


class Failing:
    """A client that answers the first calls, then fails."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)

    async def post(self, url: str, **posted: Any) -> HttpAnswer:
        """Answer, or fail with the whole address in the message."""
        if not self.answers:
            raise HttpFailed(f"cannot connect to {url}")
        return HttpAnswer(status=200, headers={}, body=msgspec.json.encode(self.answers.pop(0)))


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([], "cannot connect to slack.com"),
        ([{"ok": True}], "Slack answered ok without channel and ts to chat.postMessage"),
        ([{"ok": True, "channel": "C", "ts": "1.2"}, {"ok": True}], "Slack gave no address for the file"),
        (
            [{"ok": True, "channel": "C", "ts": "1.2"}, {"ok": True, "upload_url": "http://x/s3cret", "file_id": "F"}],
            "Slack gave an address for the file that is not https",
        ),
        (
            [{"ok": True, "channel": "C", "ts": "1.2"}, {"ok": True, "upload_url": "https://f.slack.com/s3cret", "file_id": "F"}],
            "cannot connect to f.slack.com",
        ),
        (
            [{"ok": True, "channel": "C", "ts": "1.2"}, {"ok": False, "error": "thread_not_found"}],
            "Slack answered thread_not_found to the file",
        ),
    ],
)  # fmt: skip
async def test_what_goes_wrong_on_the_way_is_tried_later(answers: list[dict[str, Any]], reason: str) -> None:
    """With a reason that holds no address of a file."""
    settings = SlackSettings(kind="slack", token=Secret(TOKEN), channel=CHANNEL, include_text=True)
    ports = SinkPorts(http=Failing(*answers), links=None, now=lambda: 0.0)
    sink = Slack("team", settings, ports)
    one = Delivery(id="d", sink="team", attempt=1, event=long_event())
    assert await sink.send([one]) == [TryLater(reason=reason)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "url, token: set one of them"),
        ({"url": Secret("https://x"), "token": Secret("x")}, "url, token: set one of them"),
        ({"token": Secret("x")}, "channel: with token, name the channel"),
        ({"url": Secret("https://x"), "channel": "C1"}, "channel: an incoming webhook has its channel"),
        ({"token": Secret("a\nb"), "channel": "C1"}, "token: it holds characters"),
        ({"token": Secret("x"), "channel": "C1", "api": "http://x"}, "api must be an https address"),
    ],
)
def test_settings_say_which_way(given: dict[str, Any], said: str) -> None:
    """A webhook, or a bot in a channel; never both."""
    with pytest.raises(ConfigError, match=said):
        SlackSettings(kind="slack", **given).check()
