"""The sink apprise: the contract of every sink over a local service, and what people get to read."""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from handlers.sinks.apprise import Apprise, AppriseSettings
from handlers.sinks.apprise.message import inert, message
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.sink import Delivered, SinkPorts, TryLater
from receiver.testing.events import HOSTILE, hostile_events, sample_delivery, sample_event
from receiver.testing.server import RawServer, closes, listening, never, writes
from receiver.testing.sink import Arrived, Behaviour, SinkContract

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ANSWERS = {
    Behaviour.TAKES: writes(OK),
    Behaviour.LATER: writes(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
    Behaviour.HANGS: never,
    Behaviour.GONE: closes,
}
LINKS = "https://hookscribe.internal"


class Service:
    """The other side: a server that Apprise posts JSON to."""

    def __init__(self, server: RawServer) -> None:
        self.server = server

    def settings(self) -> Mapping[str, Any]:
        """Return the settings for this service."""
        return {"url": f"json://ann:s3cretword@127.0.0.1:{self.server.port}/hook?cto=1&rto=1", "include_text": True}

    async def behave(self, how: Behaviour) -> None:
        """Answer like this from now on."""
        self.server.answer = ANSWERS[how]

    async def arrived(self) -> Sequence[Arrived]:
        """Return what was posted."""
        posted = [json.loads(body) for _, _, body in self.server.requests]
        return [Arrived(raw=json.dumps([one["title"], one["message"]], ensure_ascii=False).encode()) for one in posted]


class TestApprise(SinkContract):
    """Apprise holds what every sink holds."""

    sink = Apprise
    whole = False
    cannot: ClassVar[Mapping[Behaviour, str]] = {Behaviour.REFUSES: "Apprise says that it failed, and not why"}
    dangerous = (b"<", b"@", b"*", b"`", b"://evil", "\u202e".encode(), b"\\u0000", b"\\u001b")

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Service]:
        """Give a service that takes everything."""
        async with listening() as server:
            service = Service(server)
            await service.behave(Behaviour.TAKES)
            yield service

    def ports(self, http: Any) -> SinkPorts:
        """Return ports without links, so that nothing of ours is active either."""
        return SinkPorts(http=http, links=None, now=time.time)


def made(url: str, **settings: Any) -> Apprise:
    """Return a sink."""
    checked = AppriseSettings(kind="apprise", url=Secret(url), **settings)
    return Apprise("people", checked, SinkPorts(http=None, links=LINKS, now=time.time))  # type: ignore[arg-type]


async def test_what_a_service_gets() -> None:
    """Title, lines and the kind of message; the outcome names the service."""
    async with listening() as server:
        sink = made(f"json://127.0.0.1:{server.port}/")
        (outcome,) = await sink.send([sample_delivery()])
        await sink.close()
        assert outcome == Delivered(detail="JSON")
        ((_, _, body),) = server.requests
        posted = json.loads(body)
        assert posted["title"] == "✅ Call transcribed · callcov"
        assert posted["type"] == "success"
        assert posted["message"].splitlines() == [
            "+4930123456 → +4930654321",
            "Agent: ann",
            "When: 2026-11-20T09:56:00Z",
            "Length: 1 min 2 s",
            "Status: completed",
            "Sentiment: mixed",
            "Failed checks: identity＿checked",  # noqa: RUF001
            "Summary: A parcel never came; a new one is sent.",
            f"{LINKS}/transcripts/{sample_event().subject}",
        ]


def test_words_of_the_call_are_asked_for() -> None:
    """Nothing that was said is there without include_text; with it, all of it as far as it fits."""
    without, whole = (message(sample_event(), links=LINKS, include_text=wanted).body for wanted in (False, True))
    assert "parcel never came." not in without
    assert "Good morning" not in without
    assert "B: Hello, my parcel never came." in whole
    long = message(sample_event(grow_to=100_000), links=LINKS, include_text=True).body
    assert len(long) <= 1_900
    assert long.endswith(f"…\n{LINKS}/transcripts/{sample_event().subject}")


@pytest.mark.parametrize(
    ("event_type", "data", "kind", "words"),
    [
        ("transcript.failed", {"error": {"code": "E1", "message": "no speech"}}, "failure", "Error: E1: no speech"),
        ("org.example.job.lost", {}, "failure", "When: 2026-11-20T10:00:00Z"),
        ("job.overdue", {}, "warning", "When"),
        ("ops.sink_tripped", {"sink": "crm", "reason": "HTTP 500"}, "warning", "sink: crm\nreason: HTTP 500"),
        ("callmissed.test", {"body": "words", "reason": "words"}, "info", "When"),
        ("transcript.completed", {"text": "words", "duration": 5, "segments": []}, "success", "Length: 5 s"),
    ],
)
def test_what_kind_of_message_it_is(event_type: str, data: Any, kind: str, words: str) -> None:
    """Failures, warnings and the rest; our own events say why, a provider's do not."""
    event = sample_event(type=event_type, data=json.dumps(data).encode(), subject="evt_1")
    found = message(event, links=None, include_text=False)
    assert found.kind == kind
    assert words in found.body
    assert "words" not in found.body


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_inert(text: str) -> None:
    """No mark-up, mention, link or invisible character of any service is left."""
    found = inert(text, 2_000)
    assert not set("<>@#*`_~[]&\n\x00\x1b\u202e\u2066\ufeff") & set(found)
    assert "://" not in found
    assert found


def test_every_hostile_event_has_a_message() -> None:
    """Lone surrogates too; the message can be encoded."""
    for event in hostile_events():
        found = message(event, links=LINKS, include_text=True)
        assert found.title.encode()
        assert found.body.encode()


async def test_a_failure_says_why_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    """Apprise's own words are the reason; no part of the URL is in them, or in any log."""
    caplog.set_level(logging.INFO)
    async with listening() as server:
        server.answer = writes(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        sink = made(f"json://ann:s3cretword@127.0.0.1:{server.port}/s3cretpath")
        (outcome,) = await sink.send([sample_delivery()])
        await sink.close()
    assert isinstance(outcome, TryLater)
    assert "403" in outcome.reason
    shown = repr(outcome) + repr(sink.settings) + caplog.text
    assert "s3cretword" not in shown
    assert "s3cretpath" not in shown


async def test_a_service_that_hangs_holds_up_its_own_thread_only() -> None:
    """Cancelled sends end at once, while the default threads of the loop stay free."""
    async with listening() as server:
        server.answer = never
        sink = made(f"json://127.0.0.1:{server.port}/?rto=2", concurrency=2)
        sending = [asyncio.ensure_future(sink.send([sample_delivery(serial=n)])) for n in range(1, 20)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(1):
            assert await asyncio.to_thread(lambda: 7) == 7
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            await sink.close()


async def test_a_plugin_that_raises_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is all that is shown."""
    sink = made("json://127.0.0.1:1/")

    def raises(**_: Any) -> bool:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(sink._service, "notify", raises)
    assert await sink.send([sample_delivery()]) == [TryLater(reason="Apprise raised RuntimeError")]
    await sink.close()


@pytest.mark.parametrize("url", ["", "nosuch://s3cret", "discord://s3cret", "https://"])
def test_an_address_that_apprise_does_not_know_is_an_error(url: str) -> None:
    """The message names the key and not the value."""
    with pytest.raises(ConfigError, match="url is not one that Apprise knows") as raised:
        made(url)
    assert "s3cret" not in str(raised.value)


def test_a_missing_library_is_named_for_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match="pip install apprise"):
        made("json://localhost/")
