"""The kit for sinks catches sinks that break the contract, and passes one that keeps it."""

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest

from receiver.contract.model import Delivery
from receiver.contract.settings import Secret, SinkSettings, about
from receiver.contract.sink import Delivered, Rejected, SendOutcome, Sink, TryLater
from receiver.testing import sink as kit
from receiver.testing.sink import Arrived, Behaviour, Peer, SinkContract


class BoxSettings(SinkSettings, frozen=True, kw_only=True):
    """Settings of a box."""

    key: Annotated[Secret, about("opens the box")]


class Box(Sink[BoxSettings]):
    """Puts events into a list; breaks one rule where `fault` names it."""

    Settings = BoxSettings
    batch = 4
    concurrency = 2
    fault = ""
    how = Behaviour.TAKES
    box: list[bytes]
    closed = False
    hung = False

    def __repr__(self) -> str:
        return f"Box({self.settings.key.value})" if self.fault == "shows" else "Box()"

    def largest(self) -> int | None:
        """Say a bound, which is too high where the fault says so."""
        return 20_000 if self.fault in {"takes less", "takes no thin ones"} else None

    async def send(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        """Do as the other side says, or as the fault says."""
        if self.how is Behaviour.HANGS:
            await self._hang()
        if self.how is Behaviour.REFUSES:
            return [Rejected(reason=f"no: {self.settings.key.value if self.fault == 'leaks' else 'box'}")]
        if self.how in {Behaviour.LATER, Behaviour.GONE}:
            return [Rejected(reason="full") if self.fault == "gives up" else TryLater(reason="full")]
        if self.fault == "takes less" and any(len(one.event.cloudevent()) > 19_999 for one in deliveries):
            return [Rejected(reason="too large")] * len(deliveries)
        if self.fault == "takes no thin ones" and any(b'"thin":true' in one.event.data for one in deliveries):
            return [Rejected(reason="what is this?")] * len(deliveries)
        lines = [self._line(delivery) for delivery in deliveries]
        self.box += {"swaps": lines[::-1], "loses": lines[:-1], "repeats": lines * 2}.get(self.fault, lines)
        return [Delivered()] * (1 if self.fault == "counts badly" else len(lines))

    def _line(self, delivery: Delivery) -> bytes:
        line = delivery.event.cloudevent()
        if self.fault == "cuts":
            return line if len(line) < 1_000_000 else b"null"
        if self.fault == "sanitizes":
            return re.sub(rb"<script>", b"", line)
        return line.replace(delivery.event.id.encode(), b"other") if self.fault == "renames" else line

    async def _hang(self) -> None:
        if self.fault == "lies":
            return
        self.hung = True
        await asyncio.sleep(60)

    async def close(self) -> None:
        """Close once, or twice."""
        if self.closed and self.fault == "closes once":
            raise RuntimeError("closed twice")
        if self.hung and self.fault == "waits":
            await asyncio.sleep(60)
        self.closed = True


class BoxPeer:
    """The box's other side."""

    def __init__(self, kind: type[Box]) -> None:
        self.kind = kind

    def settings(self) -> Mapping[str, Any]:
        """Return the sink's settings."""
        return {"key": "s3cret-key"}

    async def behave(self, how: Behaviour) -> None:
        """Tell the box."""
        self.kind.how = how

    async def arrived(self) -> Sequence[Arrived]:
        """Return the lines."""
        return [Arrived(raw=line, event=line) for line in self.kind.box]


def contract(broken: str = "") -> SinkContract:
    """Return the kit for a box with a fault."""

    class Broken(Box):
        fault = broken
        box: list[bytes] = []  # noqa: RUF012

    class Kit(SinkContract):
        sink = Broken

        @contextlib.asynccontextmanager
        async def peer(self) -> AsyncIterator[Peer]:
            Broken.how = Behaviour.TAKES
            yield BoxPeer(Broken)

    return Kit()


class TestBox(SinkContract):
    """A sink that keeps the contract passes."""

    sink = Box

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Give an empty box."""
        Box.box, Box.how = [], Behaviour.TAKES
        yield BoxPeer(Box)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("loses", "an_event_arrives_whole"),
        ("renames", "an_event_arrives_whole"),
        ("repeats", "a_batch_keeps_its_order"),
        ("swaps", "a_batch_keeps_its_order"),
        ("counts badly", "a_batch_keeps_its_order"),
        ("renames", "sends_at_once"),
        ("leaks", "a_refusal_for_good_is_rejected"),
        ("gives up", "not_now_is_tried_later"),
        ("gives up", "a_lost_peer_is_tried_later"),
        ("lies", "a_send_without_answer_can_be_cancelled"),
        ("lies", "a_send_without_answer_times_out"),
        ("closes once", "closing_is_safe"),
        ("cuts", "a_large_event"),
        ("takes less", "what_it_says_it_takes_arrives"),
        ("takes no thin ones", "a_thin_event_arrives"),
        ("shows", "nothing_shows_a_secret"),
        ("sanitizes", "hostile_text_arrives_inert"),
    ],
)
async def test_a_fault_is_caught(fault: str, test: str) -> None:
    """Each planted fault fails the test that is meant for it."""
    with pytest.raises((AssertionError, RuntimeError)):
        await getattr(contract(fault), f"test_{test}")()


def test_cases_that_a_kind_cannot_have_are_not_collected(tmp_path: Path) -> None:
    """What the other side never does leaves no test behind, to be skipped or passed over; the rest is there."""
    (tmp_path / "test_kinds.py").write_text(
        "from receiver.testing.sink import Behaviour, SinkContract\n"
        "class TestWhole(SinkContract): pass\n"
        "class TestLess(SinkContract):\n"
        "    cannot = {Behaviour.HANGS: 'it answers', Behaviour.REFUSES: 'it takes anything'}\n"
    )
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--rootdir", str(tmp_path), str(tmp_path)]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    whole, less = (
        {line.rpartition(":")[2] for line in listed if f"{name}::" in line} for name in ("TestWhole", "TestLess")
    )
    assert "test_a_lost_peer_is_tried_later" in less
    assert whole - less == {
        "test_a_refusal_for_good_is_rejected",
        "test_a_send_without_answer_can_be_cancelled",
        "test_a_send_without_answer_times_out",
        "test_closing_does_not_wait_for_a_silent_peer",
    }


async def test_a_sink_that_closes_too_slowly_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold up every stop while the other side is silent."""
    monkeypatch.setattr(kit, "PATIENCE", 0.5)
    with pytest.raises(TimeoutError):
        await contract("waits").test_closing_does_not_wait_for_a_silent_peer()
