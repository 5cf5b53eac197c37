"""Receiving: what is proven is on disk before anybody is told, together with others, each with an answer of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kept import kept_in
from pipeline_fakes import Acme, until

from receiver.contract.errors import Overloaded, StoreUnavailable
from receiver.contract.model import InboundRequest, ReceiptState, Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.contract.settings import SourceSettings
from receiver.pipeline.ingest import Ingest
from receiver.store.ids import Ids
from receiver.store.records import Kept, NewReceipt
from receiver.store.store import Store
from receiver.testing.store import NOON, Clock

LARGE = 300_000


class Disk:
    """Keeps receipts in memory, when a test lets it, or fails."""

    def __init__(self) -> None:
        self.groups: list[list[NewReceipt]] = []
        self.gate: asyncio.Event | None = None
        self.failing: list[Exception] = []
        self.done = 0

    async def __call__(self, batch: Sequence[NewReceipt]) -> list[Kept]:
        self.groups.append(list(batch))
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        self.done += len(batch)
        return [Kept(receipt.id, False) for receipt in batch]


class Noted:
    """Writes down refusals."""

    def __init__(self) -> None:
        self.reasons: list[Reason] = []

    def note(self, request: InboundRequest, refused: Refused) -> None:
        self.reasons.append(refused.reason)


class Door:
    """An ingest on a disk, with what it told."""

    def __init__(self, keep: Any = None, at_once: int = 1, **settings: Any) -> None:
        self.disk = Disk()
        self.noted = Noted()
        self.acme = Acme("acme", SourceSettings(provider="acme", **settings))
        self.woken = 0
        self.ingest = Ingest(
            {"acme": self.acme},
            ids=Ids(lambda: NOON / 1000, 1),
            keep=keep or self.disk,
            refusals=self.noted,
            now=lambda: NOON / 1000,
            kept=self._kept,
            at_once=at_once,
        )

    def _kept(self) -> None:
        self.woken += 1

    def receive(self, body: bytes = b"{}", token: str | None = "right") -> "asyncio.Task[Kept | Refused]":
        """Receive a request in a task of its own."""
        return asyncio.create_task(self.ingest.receive(a_request(body, token)))


def a_request(body: bytes = b"{}", token: str | None = "right") -> InboundRequest:
    """Return a request with a token."""
    headers = ((b"content-type", b"application/json"), (b"x-odd", b"\xff"))
    return InboundRequest(source="acme", token=token, headers=headers, body=body, received_at=NOON)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give a store on disk."""
    async with kept_in(tmp_path / "store.db", Clock()) as opened:
        yield opened


# Proof


@pytest.mark.parametrize("size", [2, LARGE])
async def test_what_is_proven_is_kept_as_it_came(store: Store, size: int) -> None:
    """Small or large: bytes, headers, verdict and time are those of the request."""
    door = Door(store.keep)
    body = b"x" * size
    kept = await door.receive(body)
    assert isinstance(kept, Kept)
    assert not kept.duplicate
    stored = await store.receipt(kept.id)
    assert (stored.body, stored.verdict, stored.received_at) == (body, Verdict.TOKEN, NOON)
    assert stored.headers == b"content-type:application/json\nx-odd:\xff"
    assert door.woken == 1


async def test_a_redelivery_is_told_the_first_id(store: Store) -> None:
    """In another commit, and in the same one."""
    door = Door(store.keep)
    first = await door.receive(b"one")
    again = await asyncio.gather(door.receive(b"one"), door.receive(b"two"), door.receive(b"two"))
    assert [isinstance(kept, Kept) and kept.duplicate for kept in again] == [True, False, True]
    assert [getattr(kept, "id", 0) for kept in again] == [
        getattr(first, "id", 1), getattr(again[1], "id", 2), getattr(again[1], "id", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [2, LARGE])
@pytest.mark.parametrize(
    ("token", "reason"),
    [("wrong", Reason.TOKEN_UNKNOWN), (None, Reason.SIGNATURE_MISSING), ("raise", Reason.BODY_UNEXPECTED)],
)
async def test_what_is_not_proven_is_refused_and_noted(token: str | None, reason: Reason, size: int) -> None:
    """Nothing of it is kept, and a provider that raises has proven nothing."""
    door = Door()
    refused = await door.receive(b"x" * size, token)
    assert isinstance(refused, Refused)
    assert (refused.reason, door.noted.reasons, door.disk.groups, door.woken) == (reason, [reason], [], 0)
    assert "words of a call" not in repr(refused)


@pytest.mark.parametrize("token", ["wrong", "raise", None])
async def test_without_verification_everything_is_kept_as_unverified(token: str | None) -> None:
    """`verify = "none"` takes anybody's callbacks, and the verdict says so; what proves is proven all the same."""
    door = Door(verify="none")
    await door.receive(b"a", token)
    await door.receive(b"b")
    assert [receipt.verdict for group in door.disk.groups for receipt in group] == [Verdict.UNVERIFIED, Verdict.TOKEN]
    assert door.noted.reasons == []


async def test_proven_bytes_are_kept_whatever_the_message_key_does() -> None:
    """A plugin whose `message_key` raises loses nothing: the whole body is the key."""
    door = Door()
    await asyncio.gather(door.receive(b"keyless 1"), door.receive(b"keyless 2"))
    keys = [receipt.key for group in door.disk.groups for receipt in group]
    assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("confirms", "confirm", "verdict", "state"),
    [
        (True, "auto", Verdict.TOKEN, ReceiptState.CONFIRMING),
        (True, "off", Verdict.TOKEN, ReceiptState.RECEIVED),
        (False, "auto", Verdict.TOKEN, ReceiptState.RECEIVED),
        (True, "auto", Verdict.SIGNATURE, ReceiptState.RECEIVED),
    ],
)
async def test_only_what_a_token_alone_proves_waits_for_confirmation(
    monkeypatch: pytest.MonkeyPatch, confirms: bool, confirm: str, verdict: Verdict, state: ReceiptState
) -> None:
    """And only where there is a way to ask, and the source wants it."""
    door = Door(confirm=confirm)
    door.acme.confirms = confirms
    monkeypatch.setattr(door.acme, "prove", lambda request, now: Proven(request=request, verdict=verdict))
    await door.receive()
    assert door.disk.groups[0][0].state == state


# Together


async def test_many_at_once_are_few_commits_and_everybody_gets_their_own_answer(store: Store) -> None:
    """Ids are told to those whose bytes they are."""
    door = Door(store.keep)
    bodies = [b"%d" % number for number in range(700)]
    kept = await asyncio.gather(*(door.receive(body) for body in bodies))
    for body, one in zip(bodies, kept, strict=True):
        assert isinstance(one, Kept)
        assert (await store.receipt(one.id)).body == body
    assert door.woken < 20


async def test_nobody_is_told_before_the_commit(store: Store) -> None:
    """An answer waits for the disk, and the worker is woken by then."""
    door = Door()
    door.disk.gate = asyncio.Event()
    first = door.receive(b"1")
    await until(lambda: door.disk.groups)
    assert not first.done()
    assert door.woken == 0
    door.disk.gate.set()
    await first
    assert door.woken == 1


async def test_groups_are_bounded_in_count_and_bytes() -> None:
    """However many wait, one statement stays within bounds, and nothing is lost between groups."""
    door = Door()
    door.disk.gate = asyncio.Event()
    small = [door.receive(b"%d" % number) for number in range(2000)]
    large = [door.receive(b"%d" % number + b"x" * 200_000) for number in range(60)]
    await until(lambda: door.disk.groups)
    door.disk.gate.set()
    await asyncio.gather(*small, *large)
    assert sum(map(len, door.disk.groups)) == 2060
    assert max(map(len, door.disk.groups)) <= 512
    assert max(sum(receipt.size for receipt in group) for group in door.disk.groups) <= 1024 * 1024
    assert len(door.disk.groups) < 30


@pytest.mark.parametrize("at_once", [1, 2])
async def test_as_many_groups_are_under_way_as_the_store_takes(at_once: int) -> None:
    """While the store has them, all that comes waits together, and goes there in one more."""
    door = Door(at_once=at_once)
    door.disk.gate = asyncio.Event()
    tasks = []
    for number in range(at_once):
        tasks.append(door.receive(b"%d" % number))
        await until(lambda: len(door.disk.groups) == len(tasks))
    tasks += [door.receive(b"late %d" % number) for number in range(100)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(door.disk.groups) == at_once
    door.disk.gate.set()
    await asyncio.gather(*tasks)
    assert [len(group) for group in door.disk.groups] == [1] * at_once + [100]


async def test_a_body_of_more_than_a_mebibyte_is_committed_on_its_own() -> None:
    """A large body neither waits for others nor makes them wait in its commit."""
    door = Door()
    door.disk.gate = asyncio.Event()
    large = b"x" * (1024 * 1024 + 1)
    tasks = [door.receive(body) for body in (b"1", b"2", large, b"3", large, large)]
    await until(lambda: door.disk.groups)
    door.disk.gate.set()
    await asyncio.gather(*tasks)
    alone = [group for group in door.disk.groups if any(receipt.size == len(large) for receipt in group)]
    assert [len(group) for group in alone] == [1, 1, 1]


async def test_what_waits_for_a_stalled_disk_is_bounded() -> None:
    """While the disk stalls, bodies are refused from a bound on; once it goes on, all that waited are kept, and new ones too."""
    door = Door()
    door.disk.gate = asyncio.Event()
    tasks = [door.receive(b"%d" % number + b"x" * 200_000) for number in range(400)]
    await until(lambda: door.disk.groups)
    for _ in range(5):
        await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 400 - 64 * 1024 * 1024 // 200_003
    door.disk.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, Overloaded) for one in answers) == len(refused)
    assert isinstance(await door.receive(b"later"), Kept)


async def test_a_failure_reaches_all_of_its_group_and_no_other() -> None:
    """Those whose commit failed are asked to come again; the next group is kept."""
    door = Door()
    door.disk.gate, door.disk.failing = asyncio.Event(), [StoreUnavailable("disk full")]
    tasks = [door.receive(b"%d" % number) for number in range(5)]
    await until(lambda: door.disk.groups)
    tasks += [door.receive(b"later")]
    for _ in range(5):
        await asyncio.sleep(0)
    door.disk.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    failed = len(door.disk.groups[0])
    assert [type(answer) for answer in answers] == [StoreUnavailable] * failed + [Kept] * (6 - failed)
    assert isinstance(await door.receive(b"again"), Kept)
    assert door.woken == len(door.disk.groups) - 1


async def test_a_sender_that_goes_away_takes_nobody_along() -> None:
    """A waiter that is cancelled does not cancel the commit that others wait for; its receipt is kept all the same."""
    door = Door()
    door.disk.gate = asyncio.Event()
    tasks = [door.receive(b"%d" % number) for number in range(3)]
    await until(lambda: door.disk.groups)
    tasks[1].cancel()
    await asyncio.sleep(0)
    door.disk.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Kept, asyncio.CancelledError, Kept]
    assert door.disk.done == 3


async def test_a_failure_that_nobody_waits_for_is_quiet() -> None:
    """The only waiter went away, then the commit fails: nothing is raised anywhere, and the next one works."""
    door = Door()
    door.disk.gate, door.disk.failing = asyncio.Event(), [StoreUnavailable("disk full")]
    task = door.receive()
    await until(lambda: door.disk.groups)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    door.disk.gate.set()
    assert isinstance(await door.receive(b"next"), Kept)


async def test_closing_waits_for_what_is_under_way() -> None:
    """Everything that was taken is on disk and told when `close` returns."""
    door = Door()
    door.disk.gate = asyncio.Event()
    told: list[Any] = []
    for number in range(1500):
        door.ingest.take(a_request(b"%d" % number), told.append)
    closing = asyncio.create_task(door.ingest.close())
    await until(lambda: door.disk.groups)
    assert not closing.done()
    door.disk.gate.set()
    await closing
    assert (len(told), door.disk.done) == (1500, 1500)
    await door.ingest.close()


# Taking without a task, and looking on


async def test_taking_tells_at_once_or_when_it_is_on_disk() -> None:
    """A refusal is told before `take` returns, a failure as an exception, the rest once it is kept."""
    door = Door()
    door.disk.failing = [StoreUnavailable("disk full")]
    told: list[Any] = []
    door.ingest.take(a_request(token="wrong"), told.append)
    assert [type(one) for one in told] == [Refused]
    door.ingest.take(a_request(), told.append)
    assert len(told) == 1
    await door.ingest.close()
    door.ingest.take(a_request(), told.append)
    await door.ingest.close()
    assert [type(one) for one in told] == [Refused, StoreUnavailable, Kept]


async def test_who_looks_on_sees_how_each_request_ended() -> None:
    """Kept and refused ones, each with its request; what could not be kept is an error, and in the log."""
    door = Door()
    seen: list[tuple[bytes, type]] = []
    door.ingest.watch = lambda request, result: seen.append((request.body, type(result)))
    await asyncio.gather(door.receive(b"a"), door.receive(b"b", "wrong"))
    door.disk.failing = [StoreUnavailable("disk full")]
    with pytest.raises(StoreUnavailable):
        await door.receive(b"c")
    assert sorted(seen, key=repr) == [(b"a", Kept), (b"b", Refused)]
