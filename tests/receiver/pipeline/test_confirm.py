"""Where only a token proved the sender, the provider is asked itself before any event goes out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pipeline_fakes import World, world

from receiver.contract.asking import Fetched
from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import Progress, ReceiptState
from receiver.pipeline import confirm as confirm_module
from receiver.pipeline.confirm import Confirm
from receiver.store.records import StoredReceipt

DONE = Progress(job_id="1", status="done")


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[World]:
    """Give an empty world."""
    async with world(tmp_path) as made:
        yield made


async def waiting(one: World, count: int) -> list[int]:
    """Keep receipts that wait for their provider's word."""
    return [await one.keep(DONE, state=ReceiptState.CONFIRMING) for _ in range(count)]


class Asked:
    """A provider that is asked: answers, has nothing, or fails, by the body that came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: dict[bytes, bytes | None] = {}

    async def __call__(self, receipt: StoredReceipt) -> Fetched | None:
        self.bodies.append(receipt.body)
        if receipt.body not in self.answers:
            raise OSError("the provider is down")
        found = self.answers[receipt.body]
        return None if found is None else Fetched(body=found)


async def test_without_a_way_to_ask_receipts_go_on_by_their_token(one: World) -> None:
    """Nothing can be confirmed: all go on as they came, and then nothing is left."""
    await waiting(one, 3)
    step = Confirm(one.store, None, one.clock).step
    assert [await step(), await step()] == [3, 0]
    assert one.sql("SELECT state, verdict, reread FROM receipts") == [("received", "token", None)] * 3


async def test_what_the_provider_answers_counts(one: World) -> None:
    """Its bytes replace what came; where it has nothing to give, the token must do; what failed waits."""
    await waiting(one, 3)
    asked = Asked()
    asked.answers = {b"1": b"its own words", b"2": None}
    assert await Confirm(one.store, asked, one.clock).step() == 2
    assert one.sql("SELECT state, verdict, reread FROM receipts ORDER BY id") == [
        ("received", "confirmed", b"its own words"),
        ("received", "token", None),
        ("confirming", "token", None),
    ]


async def test_a_provider_that_is_down_is_asked_less_and_less_often(one: World) -> None:
    """After 5, 30, 120 and then every 600 seconds; nothing goes out in the meantime, and nothing is given up."""
    await waiting(one, 1)
    asked = Asked()
    confirm = Confirm(one.store, asked, one.clock)
    for wait in (5, 30, 120, 600, 600):
        before = len(asked.bodies)
        assert await confirm.step() == 0
        one.clock.ms += wait * 1000 - 1
        assert await confirm.step() == 0
        assert len(asked.bodies) == before + 1
        one.clock.ms += 1
    asked.answers[b"1"] = None
    assert await confirm.step() == 1
    assert confirm._asked == {} or await confirm.step() == 0


async def test_those_that_fail_hold_up_nobody(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind any number of receipts of a provider that is down, the others are reached, in turns."""
    monkeypatch.setattr(confirm_module, "_LOOK", 4)
    await waiting(one, 11)
    asked = Asked()
    asked.answers = {b"11": b"at last"}
    confirm = Confirm(one.store, asked, one.clock)
    assert [await confirm.step() for _ in range(3)] == [0, 0, 1]
    assert asked.bodies == [b"%d" % number for number in range(1, 12)]
    one.clock.ms += 5000
    assert [await confirm.step() for _ in range(3)] == [0, 0, 0]
    assert asked.bodies[11:] == [b"%d" % number for number in range(1, 11)]


async def test_what_waits_no_more_is_forgotten(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds only receipts that still wait, also where somebody else saw to them."""
    monkeypatch.setattr(confirm_module, "_LOOK", 2)
    numbers = await waiting(one, 5)
    confirm = Confirm(one.store, Asked(), one.clock)
    for _ in range(3):
        await confirm.step()
    assert set(confirm._asked) == set(numbers)
    await one.store.unconfirmed(numbers[:4])
    for _ in range(3):
        await confirm.step()
    assert set(confirm._asked) == {numbers[4]}
    await one.store.unconfirmed(numbers)
    await confirm.step()
    assert confirm._asked == {}


async def test_a_provider_that_does_not_answer_is_left(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question without answer ends in time, and the next receipt has its turn."""
    monkeypatch.setattr(confirm_module, "_LONGEST", 0.02)
    await waiting(one, 2)

    async def silent(receipt: StoredReceipt) -> Fetched | None:
        if receipt.body == b"1":
            await asyncio.Event().wait()
        return Fetched(body=b"words")

    assert await Confirm(one.store, silent, one.clock).step() == 1


async def test_a_store_that_fails_is_told(one: World) -> None:
    """What cannot be written is no fault of the provider: the step fails as a whole and is done again."""
    await waiting(one, 1)
    asked = Asked()
    asked.answers[b"1"] = b"words"

    async def fails(receipt_id: int, reread: bytes, headers: bytes | None = None) -> None:
        raise StoreUnavailable("disk full")

    confirmed, one.store.confirmed = one.store.confirmed, fails  # type: ignore[method-assign]
    confirm = Confirm(one.store, asked, one.clock)
    with pytest.raises(StoreUnavailable):
        await confirm.step()
    one.store.confirmed = confirmed  # type: ignore[method-assign]
    assert await confirm.step() == 1
