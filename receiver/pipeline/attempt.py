"""Attempt: one try of a batch - rendered, handed to the sink within its time, and what its outcomes mean."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from receiver.contract.errors import HookscribeError
from receiver.contract.model import Delivery, DeliveryState, Event
from receiver.contract.sink import Delivered, NotReady, Rejected, SendOutcome, Sink, TryLater
from receiver.store.ids import CALL, DELIVERY, EVENT, encode
from receiver.store.records import DueDelivery, Tried

_DETAIL = 500

Render = Callable[[DueDelivery], Event]
"""Makes the public event of a row."""


class Renderer:
    """Makes public events of rows: addresses and prefix as the settings have them now."""

    def __init__(self, public_url: str | None, admin_url: str | None, prefix: str) -> None:
        self._admin_url = admin_url
        self.change(public_url, prefix)

    def change(self, public_url: str | None, prefix: str) -> None:
        """Go by other settings from now on."""
        self._public_url = public_url or ""
        self._prefix = f"{prefix}." if prefix else ""

    def __call__(self, row: DueDelivery) -> Event:
        """Make the public event of a row."""
        return Event(
            id=encode(EVENT, row.event_id),
            source=f"{self._public_url}/sources/{row.source}" if row.source else f"{self._public_url}/hookscribe",
            source_name=row.source,
            type=self._prefix + row.type,
            time=row.time,
            subject=row.subject,
            call_id=encode(CALL, row.call_id) if row.call_id is not None else None,
            data=row.data,
            dataschema=f"{self._admin_url}/api/schemas/{_kind(row.type)}/v1" if self._admin_url else None,
        )


def _kind(event_type: str) -> str:
    return "transcript" if event_type.startswith(("transcript.", "analysis.")) else event_type.partition(".")[0]


async def send(sink: Sink[Any], rows: Sequence[DueDelivery], render: Render) -> Sequence[SendOutcome]:
    """Hand rows to a sink within its time; whatever it does, return one outcome for each.

    Raises CancelledError only where we are cancelled ourselves.
    """
    try:
        async with asyncio.timeout(sink.settings.timeout):
            outcomes = await sink.send([_delivery(sink.name, row, render) for row in rows])
        if len(outcomes) == len(rows) and all(map(_is_outcome, outcomes)):
            return outcomes
        reason = f"the sink did not answer {len(rows)} deliveries with as many outcomes"
    except TimeoutError:
        reason = f"took longer than {sink.settings.timeout:g} s"
    except (Exception, asyncio.CancelledError) as error:
        if is_cancelled(error):
            raise
        reason = why(error)
    return [TryLater(reason=reason)] * len(rows)


def tried(row: DueDelivery, outcome: SendOutcome, started: int, took: int) -> Tried:
    """Return what a try makes of a delivery: it arrived, is dead, or waits; `started` in Unix milliseconds, `took` too."""
    state, word = DeliveryState.PENDING, "failed"
    if isinstance(outcome, Delivered):
        state, word = DeliveryState.DELIVERED, "delivered"
    elif isinstance(outcome, Rejected):
        state, word = DeliveryState.DEAD, "rejected"
    return Tried(
        delivery_id=row.id,
        number=row.attempts + 1,
        started_at=started,
        duration=took,
        outcome=word,
        detail=cut(outcome.detail if isinstance(outcome, Delivered) else outcome.reason),
        state=state,
    )


def _delivery(sink: str, row: DueDelivery, render: Render) -> Delivery:
    return Delivery(id=encode(DELIVERY, row.id), sink=sink, attempt=row.attempts + 1, event=render(row))


def given_back(row: DueDelivery, now: int) -> Tried:
    """Return that a delivery was taken and not tried; `now` in Unix milliseconds."""
    return Tried(
        delivery_id=row.id,
        number=row.attempts + 1,
        started_at=now,
        duration=0,
        outcome="",
        detail=None,
        state=DeliveryState.PENDING,
        next_at=now,
        give_back=1,
    )


async def ended(task: asyncio.Task[Any], grace: float) -> None:
    """Wait until a task has ended, after `grace` seconds by cancelling it; how it ended is its own affair."""
    _, pending = await asyncio.wait([task], timeout=grace)
    for one in pending:
        one.cancel()
        await asyncio.wait([one])


def is_cancelled(error: BaseException) -> bool:
    """Tell who cancels us from a sink that lets a cancellation of its own out."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _is_outcome(outcome: Any) -> bool:
    """Say whether a sink's answer is one, also inside: sinks are other people's code."""
    if isinstance(outcome, Delivered):
        return outcome.detail is None or isinstance(outcome.detail, str)
    if not isinstance(outcome, TryLater | Rejected):
        return False
    after: Any = outcome.after if isinstance(outcome, TryLater) else None
    return isinstance(outcome.reason, str) and isinstance(after, float | int | None)


def why(error: BaseException) -> str:
    """Say what went wrong without what a stranger's exception may hold; of a file, which one and what is wrong with it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, HookscribeError | NotReady) else f"the sink raised {type(error).__name__}"


def cut(text: str | None) -> str | None:
    """Return a reason as it is kept: bounded, and UTF-8."""
    if not text:
        return None
    return text[:_DETAIL] if text.isascii() else text[:_DETAIL].encode("utf-8", "replace").decode()
