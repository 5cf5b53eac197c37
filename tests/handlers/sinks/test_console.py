"""The console sink: readable lines, no words unasked, nothing that a terminal would obey."""

import asyncio
import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sinks.console import Console, ConsoleSettings, line_of, plain
from receiver.contract.model import Call, ResultError
from receiver.contract.sink import Delivered, SinkPorts, TryLater
from receiver.testing.events import HOSTILE, hostile_events, sample_delivery, sample_event, sample_transcript
from receiver.testing.sink import Arrived, Behaviour, Peer, SinkContract, guarded


class PipePeer:
    """Somebody who reads our standard output, or stops reading."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self.stdout = os.fdopen(self._write, "w", encoding="utf-8")
        self._taking = threading.Event()
        self._taking.set()
        self._parked = threading.Event()
        self._text = b""
        self._reader = threading.Thread(target=self._take)
        self._reader.start()

    def _take(self) -> None:
        while piece := os.read(self._read, 65536):
            self._text += piece
            if not self._taking.is_set():
                self._parked.set()
                self._taking.wait()

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings."""
        return {"include_text": True}

    async def behave(self, how: Behaviour) -> None:
        """Read, or stop reading once the pipe is full."""
        if how is Behaviour.HANGS:
            self._taking.clear()
            os.write(self._write, b"\n")
            self._parked.wait()
            os.set_blocking(self._write, False)
            for size in (4096, 1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(self._write, b"x" * size)
            os.set_blocking(self._write, True)
        else:
            self._taking.set()

    async def arrived(self) -> Sequence[Arrived]:
        """Return the lines."""
        await asyncio.sleep(0.1)
        return [Arrived(raw=line) for line in self._text.split(b"\n")[:-1]]

    def close(self) -> None:
        """End the reader."""
        self._taking.set()
        self.stdout.close()
        self._reader.join()
        os.close(self._read)


class TestConsole(SinkContract):
    """The kit."""

    sink = Console
    whole = False
    dangerous = tuple(
        char.encode() for char in "\x00\x07\x08\x0b\x0c\r\t\x1b\x7f\x85\x9b\u202e\u2066\u2069\u200f\u200b\ufeff\u2028"
    )
    cannot: ClassVar[Mapping[Behaviour, str]] = {
        Behaviour.REFUSES: "a terminal takes anything",
        Behaviour.LATER: "a terminal waits, it does not refuse",
        Behaviour.GONE: "without its terminal the process ends",
    }

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Give a reader behind a pipe in place of standard output."""
        peer = PipePeer()
        try:
            with contextlib.redirect_stdout(peer.stdout):
                yield peer
        finally:
            peer.close()


def test_a_line_says_what_happened() -> None:
    """Time, type, source, call, who, how long, what came of it, which transcript."""
    assert line_of(sample_event()) == (
        "2026-11-20T10:00:00Z  transcript.completed  callcov  call_00000000000000000000000001  "
        "+4930123456 > +4930654321  agent ann  1:02  call-analysis  completed  trn_00000000000000000000000001"
    )


def test_a_failure_names_its_code() -> None:
    """The provider's code is shown; its message, which may quote anything, is not."""
    transcript = sample_transcript(
        status="failed", error=ResultError(code="no_speech", message="words"), duration=None, call=Call(to="+49")
    )
    event = sample_event(type="transcript.failed", call_id=None, data=msgspec.json.encode(transcript))
    assert line_of(event, include_text=False) == (
        "2026-11-20T10:00:00Z  transcript.failed  callcov  -  ? > +49  call-analysis  failed  error no_speech  "
        "trn_00000000000000000000000001"
    )


def test_no_words_unless_asked_for() -> None:
    """Text and summary are shown only with `include_text`, and then cut short."""
    assert "parcel" not in line_of(sample_event())
    assert line_of(sample_event(), include_text=True).endswith(
        '  "Good morning, you are through to Ann. Hello, my parcel never came."'
    )
    summary = sample_event(data=msgspec.json.encode(sample_transcript(text=None)))
    assert line_of(summary, include_text=True).endswith('  "A parcel never came; a new one is sent."')
    long = sample_event(data=msgspec.json.encode(sample_transcript(text="word " * 100_000)))
    assert len(line_of(long, include_text=True)) < 500
    assert line_of(long, include_text=True).endswith('…"')


@given(st.text() | st.sampled_from(HOSTILE) | st.text("\x1b[]31m;\x07\x9b\x9d\\ab\u202e", max_size=40))
def test_plain_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    """Whatever is said: printable, one line, within the limit, and plain text of plain text is itself."""
    result = plain(text)
    assert result.isprintable()
    assert len(result) <= 40
    assert plain(result) == result


def test_escape_sequences_go_with_their_parameters() -> None:
    """Colours, titles and links vanish whole; what is left is what a reader would have seen."""
    assert (
        plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07a \x1b]8;;http://x\x1b\\link \x9b31mb\x1b(Bc\x1b7d")
        == "red a link b c d"
    )


@pytest.fixture
async def sink() -> AsyncIterator[Console]:
    """Give a console sink."""
    async with guarded() as http:
        console = Console("console", ConsoleSettings(kind="console"), SinkPorts(http=http, links=None, now=time.time))
        yield console
        await console.close()


async def test_a_narrow_terminal_gets_question_marks(sink: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that the terminal does not know are replaced, not an error."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    outcomes = await sink.send([sample_delivery(event) for event in [*hostile_events(), sample_event(source_name="ö")]])
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert b"  ?  " in buffer.getvalue()


def closed() -> io.StringIO:
    """Return a closed stream."""
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, _: str) -> int:
        """Fail as a pipe without reader does."""
        raise BrokenPipeError


@pytest.mark.parametrize("stdout", [closed(), Broken(), None])
async def test_a_closed_output_is_tried_later(
    sink: Console, stdout: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe whose reader has gone, a closed stream and none at all are TryLater."""
    monkeypatch.setattr(sys, "stdout", stdout)
    (outcome,) = await sink.send([sample_delivery()])
    monkeypatch.undo()
    assert isinstance(outcome, TryLater)
    assert outcome.reason.startswith("standard output takes nothing: ")
