"""The sink slack: the contract of every sink, and what Slack's answers mean."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import uvicorn

from handlers.sinks.slack import Slack, SlackSettings, outcome
from handlers.sinks.slack.message import message
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.sink import Delivered, HttpAnswer, HttpFailed, Rejected, SinkPorts, TryLater
from receiver.testing.events import sample_delivery, sample_event
from receiver.testing.sink import Arrived, Behaviour, SinkContract
from receiver.testing.slack import PATH, SlackStandin

LINKS = "https://hookscribe.internal"
URL = "https://hooks.slack.com/services/T0/B0/s3cr3tpart"

# The contract, against the stand-in under uvicorn


class SlackPeer:
    """The stand-in on a port of its own."""

    def __init__(self) -> None:
        self.standin = SlackStandin(rate=None, links=LINKS)
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
            self.standin.answer(429, "rate_limited", retry_after=1)
        if self.how is Behaviour.REFUSES:
            self.standin.answer(400, "invalid_blocks")
        await self.standin(scope, receive, send)

    async def start(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
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
        return {"url": f"http://127.0.0.1:{self.port}{PATH}", "allow_private": True, "include_text": True}

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


class TestSlack(SinkContract):
    """Slack holds what every sink holds."""

    sink = Slack
    whole = False
    dangerous = (b"<!", b"<@", b"<#", b"<script", b"<https://evil", "\u202e".encode(), b"\\u0000", b"\\u001b")

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[SlackPeer]:
        """Give a stand-in, running."""
        peer = SlackPeer()
        await peer.start()
        try:
            yield peer
        finally:
            await peer.stop()


# What Slack's answers mean


def answered(status: int, body: bytes = b"", **headers: str) -> Any:
    """Return the outcome of an answer."""
    return outcome(
        HttpAnswer(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body), 0
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"ok", Delivered),
        (200, b"<html>welcome to the hotel</html>", TryLater),
        (302, b"", TryLater),
        (400, b"invalid_payload", Rejected),
        (400, b"invalid_blocks", Rejected),
        (400, b"no_text", Rejected),
        (400, b"something new", Rejected),
        (400, b"user_not_found", TryLater),
        (403, b"action_prohibited", TryLater),
        (403, b"invalid_token", TryLater),
        (404, b"no_service", TryLater),
        (404, b"channel_not_found", TryLater),
        (410, b"channel_is_archived", Rejected),
        (413, b"", Rejected),
        (429, b"rate_limited", TryLater),
        (500, b"rollup_error", TryLater),
        (503, b"", TryLater),
    ],
)
def test_answers_mean(status: int, body: bytes, kind: type) -> None:
    """Payload at fault and gone for good: Rejected; webhook, channel or Slack at fault: the backlog waits."""
    assert type(answered(status, body)) is kind


def test_slack_says_when_to_come_again() -> None:
    """Retry-After is handed on."""
    assert answered(429, b"rate_limited", retry_after="30").after == 30


def test_only_slacks_own_words_are_shown() -> None:
    """An unknown body is not repeated."""
    assert answered(404, b"no_service").reason == "Slack answered 404 no_service"
    assert answered(404, b"https://hooks/secret").reason == "Slack answered 404"
    assert answered(500, b"\xff" * 99).reason == "Slack answered 500"


class FakeHttp:
    """A client that answers, or fails, as told."""

    def __init__(self, answer: HttpAnswer | HttpFailed) -> None:
        self.answer = answer
        self.posted: list[dict[str, Any]] = []

    async def post(self, url: str, **posted: Any) -> HttpAnswer:
        """Take a POST."""
        self.posted.append({"url": url, **posted})
        if isinstance(self.answer, HttpFailed):
            raise self.answer
        return self.answer


def sink(http: FakeHttp, **settings: Any) -> Slack:
    """Return a sink over a client."""
    made = SlackSettings(kind="slack", url=Secret(URL), **settings)
    return Slack("team", made, SinkPorts(http=http, links=LINKS, now=lambda: 0.0))


async def test_what_goes_out() -> None:
    """The message goes to the webhook as JSON, with the sink's timeout, to public addresses only."""
    http = FakeHttp(HttpAnswer(status=200, headers={}, body=b"ok"))
    assert await sink(http, timeout=7).send([sample_delivery()]) == [Delivered(detail="200 ok")]
    (posted,) = http.posted
    assert (posted["url"], posted["timeout"], posted["allow_private"]) == (URL, 7, False)
    assert posted["headers"] == {"content-type": "application/json; charset=utf-8"}
    assert json.loads(posted["body"]) == message(sample_event(), links=LINKS, include_text=False)


async def test_the_url_is_in_no_reason() -> None:
    """Even if the client's message held it."""
    http = FakeHttp(HttpFailed(f"cannot connect to {URL}, /services/T0/B0/s3cr3tpart"))
    (failed,) = await sink(http).send([sample_delivery()])
    assert isinstance(failed, TryLater)
    assert "s3cr3tpart" not in failed.reason
    assert "s3cr3tpart" not in repr(sink(http).settings)


@pytest.mark.parametrize("url", ["", "hooks.slack.com/x", "http://hooks.slack.com/x", "https://", "https://[x"])
def test_a_url_that_cannot_be_one_is_an_error(url: str) -> None:
    """The error names the key and not the value; plain HTTP is for stand-ins."""
    settings = SlackSettings(kind="slack", url=Secret(url))
    with pytest.raises(ConfigError, match="url must be an https address") as raised:
        settings.check()
    assert not url or url not in str(raised.value)
    SlackSettings(kind="slack", url=Secret("http://127.0.0.1/x"), allow_private=True).check()


def test_one_message_a_second() -> None:
    """The kind's own rate, concurrency and order are Slack's."""
    assert (Slack.rate, Slack.concurrency, Slack.order, Slack.batch) == (1.0, 1, "none", 1)
