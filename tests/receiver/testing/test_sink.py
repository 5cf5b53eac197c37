"""The kit for sinks catches sinks that break the contract, and passes one that keeps it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import pytest

from receiver.contract.model import Delivery
from receiver.contract.settings import Secret, SinkSettings, about
from receiver.contract.sink import Delivered, Rejected, SendOutcome, Sink, TryLater
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

    async def send(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        """Do as the other side says, or as the fault says."""
        if self.how is Behaviour.HANGS:
            await self._hang()
        if self.how is Behaviour.REFUSES:
            return [Rejected(reason=f"no: {self.settings.key.value if self.fault == 'leaks' else 'box'}")]
        if self.how in {Behaviour.LATER, Behaviour.GONE}:
            return [Rejected(reason="full") if self.fault == "gives up" else TryLater(reason="full")]
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
        await asyncio.sleep(60)

    async def close(self) -> None:
        """Close once, or twice."""
        if self.closed and self.fault == "closes once":
            raise RuntimeError("closed twice")
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
        ("sanitizes", "hostile_text_arrives_inert"),
    ],
)
async def test_a_fault_is_caught(fault: str, test: str) -> None:
    """Each planted fault fails the test that is meant for it."""
    with pytest.raises((AssertionError, RuntimeError)):
        await getattr(contract(fault), f"test_{test}")()
