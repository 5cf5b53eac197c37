"""StoreContract: what every store must hold, whatever it is made of. Subclass it and open one.

class TestAcmeStore(StoreContract):
    @contextlib.asynccontextmanager
    async def opened(self, clock: Clock) -> AsyncIterator[Store]:
        ...
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from receiver.contract.errors import Conflict, StoreError
from receiver.contract.model import DeliveryState, ReceiptState, SinkState, Verdict
from receiver.store.ids import at
from receiver.store.records import Done, SinkRow, Writes, pack_headers
from receiver.store.store import Row, Store
from receiver.testing.rows import DAY_MS, MIB, NOON, Clock, a_receipt, a_tried, put_events

__all__ = ["DAY_MS", "MIB", "NOON", "Clock", "StoreContract", "a_receipt", "a_tried", "put_events"]


class StoreContract:
    """What is kept stays kept, once; what is taken is counted; what is written is whole or not there."""

    def opened(self, clock: Clock) -> contextlib.AbstractAsyncContextManager[Store]:
        """Return a store, empty for each test, migrated and registered, with this clock."""
        raise NotImplementedError

    async def test_receipts_are_kept_byte_for_byte(self) -> None:
        """Every byte of body and headers comes back."""
        async with self.opened(Clock()) as store:
            body = bytes(range(256)) * 20
            receipt = a_receipt(store, b"m", body=body, headers=pack_headers(((b"x-a", b"\xff:1"), (b"x-a", b""))))
            (kept,) = await store.keep([receipt])
            _, (stored,) = await store.claim(10, max_bytes=MIB)
            assert (kept.id, kept.duplicate, stored.id) == (receipt.id, False, receipt.id)
            assert (stored.body, stored.headers, stored.verdict) == (body, receipt.headers, Verdict.TOKEN)

    async def test_a_redelivery_is_told_the_first_id(self) -> None:
        """The same key again, in another batch or in the same one, keeps nothing and names the first."""
        async with self.opened(Clock()) as store:
            first = a_receipt(store, b"m")
            assert [one.duplicate for one in await store.keep([first])] == [False]
            again = await store.keep([a_receipt(store, b"m"), a_receipt(store, b"n"), a_receipt(store, b"n")])
            assert [one.duplicate for one in again] == [True, False, True]
            assert again[0].id == first.id
            assert again[2].id == again[1].id
            assert len(await store.waiting(ReceiptState.RECEIVED, 10)) == 2

    async def test_sources_do_not_share_keys(self) -> None:
        """The same message of two sources is two messages."""
        async with self.opened(Clock()) as store:
            kept = await store.keep([a_receipt(store, b"m"), a_receipt(store, b"m", source="other")])
            assert [one.duplicate for one in kept] == [False, False]

    async def test_a_collision_loses_nobody(self) -> None:
        """Two messages whose digests begin alike are both kept, and redeliveries of each are told apart."""
        async with self.opened(Clock()) as store:
            first = a_receipt(store, b"a")
            others = [a_receipt(store, b"b", key=first.key, key_rest=rest) for rest in (7, 8)]
            kept = [(await store.keep([one]))[0] for one in (first, *others)]
            assert [one.duplicate for one in kept] == [False, False, False]
            again = [msgspec.structs.replace(one, id=store.ids.next()) for one in (first, *others)]
            assert [(one.id, one.duplicate) for one in await store.keep(again)] == [(one.id, True) for one in kept]

    @pytest.mark.parametrize("hour", [0.0, 12.0, 23.999])
    @pytest.mark.parametrize(("days", "duplicate"), [(1, True), (7, True), (8, False)])
    async def test_the_window_is_eight_days(self, hour: float, days: int, duplicate: bool) -> None:
        """A redelivery is known on the day of the first and the seven after it, to the last millisecond."""
        clock = Clock(20_000 * DAY_MS + int(hour * 3_600_000))
        async with self.opened(clock) as store:
            first = a_receipt(store, b"m")
            await store.keep([first])
            for moment in ((20_000 + days) * DAY_MS, (20_001 + days) * DAY_MS - 1):
                clock.ms = moment
                (kept,) = await store.keep([a_receipt(store, b"m")])
                assert (kept.duplicate, kept.id == first.id) == (duplicate, duplicate)
                if not duplicate:
                    return

    async def test_claims_come_in_order_and_within_bounds(self) -> None:
        """Oldest first, no more than asked for, no more bytes than given, but always one."""
        async with self.opened(Clock()) as store:
            made = [a_receipt(store, b"%d" % number, body=b"x" * 600) for number in range(5)]
            await store.keep(made)
            claim, batch = await store.claim(3, max_bytes=MIB)
            assert [one.id for one in batch] == [one.id for one in made[:3]]
            await store.release(claim)
            _, batch = await store.claim(5, max_bytes=1300)
            assert len(batch) == 2
            _, batch = await store.claim(5, max_bytes=1)
            assert len(batch) == 1

    async def test_nothing_to_claim(self) -> None:
        """An empty store gives no claim, and receipts that are confirming are not given."""
        async with self.opened(Clock()) as store:
            await store.keep([a_receipt(store, b"m", state=ReceiptState.CONFIRMING)])
            assert await store.claim(10, max_bytes=MIB) == (0, [])

    async def test_a_crash_is_counted_and_the_receipt_comes_alone(self) -> None:
        """What a dead worker had claimed counts one try; released claims count none."""
        async with self.opened(Clock()) as store:
            await store.keep([a_receipt(store, b"%d" % number) for number in range(3)])
            claim, _ = await store.claim(1, max_bytes=MIB)
            await store.release(claim)
            assert await store.reclaim() == 0
            await store.claim(1, max_bytes=MIB)
            assert await store.reclaim() == 1
            _, batch = await store.claim(3, max_bytes=MIB)
            assert [one.tries for one in batch] == [1]
            assert await store.reclaim() == 1
            waiting = await store.waiting(ReceiptState.RECEIVED, 5)
            assert [(await store.receipt(number)).tries for number in waiting] == [2, 0, 0]
            assert await store.waiting(ReceiptState.RECEIVED, 5, waiting[0]) == waiting[1:]

    async def test_what_is_done_is_not_claimed_again(self) -> None:
        """Writing a batch ends its receipts and its claim together."""
        async with self.opened(Clock()) as store:
            await store.keep([a_receipt(store, b"a"), a_receipt(store, b"b")])
            claim, batch = await store.claim(2, max_bytes=MIB)
            states = (ReceiptState.NORMALIZED, ReceiptState.UNREADABLE)
            done = [
                Done(id=one.id, state=state, outcome=None, reason=None)
                for one, state in zip(batch, states, strict=True)
            ]
            await store.write(Writes(done=done), claim=claim)
            assert await store.claim(5, max_bytes=MIB) == (0, [])
            assert await store.reclaim() == 0

    async def test_confirming_goes_on_with_the_answer_or_without(self) -> None:
        """The provider's own bytes replace what came; without them, what came does."""
        async with self.opened(Clock()) as store:
            made = [a_receipt(store, key, state=ReceiptState.CONFIRMING, body=b"came") for key in (b"a", b"b")]
            await store.keep(made)
            await store.confirmed(made[0].id, b"reread")
            await store.unconfirmed([made[1].id])
            _, batch = await store.claim(5, max_bytes=MIB)
            assert [(one.verdict, one.body) for one in batch] == [("confirmed", b"reread"), ("token", b"came")]

    async def test_writing_is_all_or_nothing(self) -> None:
        """One row that cannot be written leaves none of the others."""
        async with self.opened(Clock()) as store:
            (delivery,) = await put_events(store, [None])
            event: Row = (store.ids.next(), "acme", "acme.said", "t", "s", None, None, None, b"{}")
            taken: Row = (delivery, "archive", event[0], None, DeliveryState.PENDING, 0, 0)
            call: Row = (store.ids.next(), "key", 0, 0, b"{}")
            with pytest.raises(StoreError):
                await store.write(Writes(calls=[call], events=[event], deliveries=[taken]))
            assert await store.known_calls(["key"]) == []
            await store.write(Writes(calls=[call], events=[event]))
            assert [one.id for one in await store.known_calls(["key"])] == [call[0]]

    async def test_transcripts_are_known_by_their_key(self) -> None:
        """A new version replaces what is known, and ids stay."""
        async with self.opened(Clock()) as store:
            key = ("acme", "transcription", "job")
            number = store.ids.next()
            for version, status in ((1, "failed"), (2, "completed")):
                row = (number, "acme", "acme", *key[1:], "transcript", 5, status, version, b"d", None, NOON)
                versions: list[Row] = [(number, version, 1, NOON, "acme/1", b'{"v":%d}' % version)]
                await store.write(Writes(transcripts={key: row}, versions=versions))
            (known,) = await store.known_transcripts([key, ("acme", "transcription", "none")])
            assert (known.id, known.version, known.status, known.doc) == (number, 2, "completed", b'{"v":2}')

    async def test_who_comes_second_is_told(self) -> None:
        """A transcript, a call or a receipt that is not any more what a writer saw is a conflict, and all stays."""
        async with self.opened(Clock()) as store:
            key = ("acme", "transcription", "job")
            number, other, call = (store.ids.next() for _ in range(3))
            row = ("acme", "acme", *key[1:], "transcript", call, "completed")
            version: Row = (number, 1, 1, NOON, "acme/1", b"{}")
            made: Row = (call, "key", 0, 0, b"{}")
            await store.write(
                Writes(calls=[made], transcripts={key: (number, *row, 1, b"d", None, NOON)}, versions=[version])
            )
            change = {"id": call, "now": NOON, "doc": b"[]", "key": "key"}
            redone = {"id": 1, "state": "normalized", "outcome": None, "reason": None}
            for writes in (
                Writes(transcripts={key: (other, *row, 1, b"d", None, NOON)}),
                Writes(transcripts={key: (number, *row, 1, b"d", None, NOON)}),
                Writes(versions=[version]),
                Writes(calls=[(other, "key", 0, 0, b"{}")]),
                Writes(changed_calls=[{**change, "before": b"old"}]),
                Writes(redone=[{**redone, "was_state": "unreadable", "was_outcome": None}]),
            ):
                with pytest.raises(Conflict):
                    await store.write(writes)
            await store.write(Writes(changed_calls=[{**change, "before": b"{}"}]))
            (known,) = await store.known_transcripts([key])
            assert (known.id, known.version, known.call_doc, known.receipt_id) == (number, 1, b"[]", 1)

    async def test_what_a_batch_learns_of_a_call_adds_up(self) -> None:
        """Several results of one batch may each know more about a call, also about one that is new."""
        async with self.opened(Clock()) as store:
            old, new = store.ids.next(), store.ids.next()
            await store.write(Writes(calls=[(old, "old", 0, 0, b"0")]))

            def changes(number: int, key: str) -> list[dict[str, Any]]:
                change = {"id": number, "now": NOON, "key": key}
                return [{**change, "before": b"0", "doc": b"1"}, {**change, "before": b"1", "doc": b"2"}]

            changed = [*changes(old, "old"), *changes(new, "new")]
            await store.write(Writes(calls=[(new, "new", 0, 0, b"0")], changed_calls=changed))
            assert [one.doc for one in await store.known_calls(["old", "new"])] == [b"2", b"2"]
            with pytest.raises(Conflict):
                await store.write(Writes(changed_calls=changes(old, "old")))

    async def test_deliveries_come_when_they_are_due(self) -> None:
        """Those of the sink whose time has come, within bounds; each is counted and given out once."""
        clock = Clock()
        async with self.opened(clock) as store:
            made = await put_events(store, [None] * 3)
            await put_events(store, [None], sink="other")
            first = await store.due("archive", 2, in_order=False, max_bytes=MIB)
            assert [(one.id, one.attempts) for one in first] == [(number, 0) for number in made[:2]]
            assert len(await store.due("archive", 5, in_order=False, max_bytes=1)) == 1
            assert await store.due("archive", 5, in_order=False, max_bytes=MIB) == []
            later = NOON + 60_000
            await store.tried([a_tried(made[0], DeliveryState.PENDING, next_at=later)])
            assert await store.next_due("archive") == later
            assert await store.due("archive", 5, in_order=False, max_bytes=MIB) == []
            clock.ms = later
            assert [one.attempts for one in await store.due("archive", 5, in_order=False, max_bytes=MIB)] == [1]

    async def test_what_is_discarded_meanwhile_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A delivery given up between being found and being taken stays given up."""
        async with self.opened(Clock()) as store:
            first, second = await put_events(store, [None, None])
            rows = store.engine.rows

            async def meanwhile(name: str, params: Any = None, where: Sequence[str] = ()) -> list[Row]:
                found = await rows(name, params, where)
                if name == "due_deliveries":
                    await store.tried([a_tried(first, DeliveryState.DISCARDED, outcome="")])
                return found

            monkeypatch.setattr(store.engine, "rows", meanwhile)
            found = await store.due("archive", 5, in_order=False, max_bytes=MIB)
            assert [one.id for one in found] == [second]

    async def test_what_is_erased_while_it_is_sent_leaves_no_attempt(self) -> None:
        """An answer may repeat what it was sent: of an attempt that ends after its event was erased nothing is written."""
        async with self.opened(Clock()) as store:
            erased, stays = await put_events(store, [None, None])
            events = [one.event_id for one in await store.due("archive", 2, in_order=False, max_bytes=MIB)]
            for name in ("drop_attempts", "drop_deliveries", "drop_events"):
                await store.engine.write(name, {"ids": events[:1]})
            await store.tried([a_tried(one, DeliveryState.DEAD, outcome="rejected") for one in (erased, stays)])
            left = [len(await store.engine.rows("delivery_attempts", {"id": one})) for one in (erased, stays)]
            assert left == [0, 1]

    async def test_a_call_keeps_its_order(self) -> None:
        """In order, a delivery of a call waits for the earlier ones; others and calls among each other do not."""
        async with self.opened(Clock()) as store:
            a1, a2, b1, alone, _ = await put_events(store, [1, 1, 2, None, 1])
            found = await store.due("archive", 10, in_order=True, max_bytes=MIB)
            assert [one.id for one in found] == [a1, b1, alone]
            await store.tried([a_tried(a1, DeliveryState.PENDING, next_at=NOON + 5)])
            assert await store.due("archive", 10, in_order=True, max_bytes=MIB) == []
            await store.tried([a_tried(a1, DeliveryState.DEAD), a_tried(b1, DeliveryState.DELIVERED)])
            assert [one.id for one in await store.due("archive", 10, in_order=True, max_bytes=MIB)] == [a2]

    async def test_what_follows_ones_own_can_be_taken_too(self) -> None:
        """Who keeps a call's order itself may take what is behind its own, one by one, and nothing behind what waits."""
        async with self.opened(Clock()) as store:
            a1, a2, a3, b1 = await put_events(store, [1, 1, 1, 2])

            async def following() -> list[int]:
                found = await store.due("archive", 10, in_order=True, max_bytes=MIB, following=True)
                return [one.id for one in found]

            assert [await following(), await following()] == [[a1, b1], [a2]]
            assert await store.due("archive", 10, in_order=True, max_bytes=MIB) == []
            waits = a_tried(a1, DeliveryState.PENDING, next_at=NOON + 5)
            await store.tried([waits, a_tried(a2, DeliveryState.PENDING, next_at=NOON, outcome="", give_back=1)])
            assert await following() == []
            await store.tried([a_tried(a1, DeliveryState.DEAD)])
            assert [await following(), await following(), await following()] == [[a2], [a3], []]
            (a4,) = await put_events(store, [1])
            store.start += 1  # to another process they are not its own
            assert await following() == []
            store.start -= 1
            await store.tried([a_tried(number, DeliveryState.DELIVERED) for number in (a2, a3)])
            assert await following() == [a4]

    async def test_who_stands_far_behind_calls_that_wait_is_found(self) -> None:
        """In order, a call that waits with all that came after holds up no other, however many stand before it.

        Who has others to send meanwhile need not look that far.
        """
        clock = Clock()
        async with self.opened(clock) as store:
            first, *held = await put_events(store, [1] * 200)
            clock.ms += 1000
            (free,) = await put_events(store, [2])
            (taken,) = await store.due("archive", 1, in_order=True, max_bytes=MIB)
            await store.tried([a_tried(taken.id, DeliveryState.PENDING, next_at=clock.ms + 5)])
            assert (taken.id, len(held)) == (first, 199)
            assert await store.due("archive", 2, in_order=True, max_bytes=MIB, deep=False) == []
            assert [one.id for one in await store.due("archive", 2, in_order=True, max_bytes=MIB)] == [free]

    @pytest.mark.parametrize("in_order", [True, False])
    async def test_a_large_event_comes_whole_and_in_its_place(self, in_order: bool) -> None:
        """Among small ones, however it is read, byte for byte; and it counts against the bound on bytes."""
        async with self.opened(Clock()) as store:
            large, small = b"1" * 50_000, b'{"strange":"\xff\x00"}'
            for data in (small, large, small, large, small):
                await put_events(store, [None], data=data)
            found = await store.due("archive", 9, in_order=in_order, max_bytes=60_000)
            assert [one.data for one in found] == [small, large, small]
            found = await store.due("archive", 9, in_order=in_order, max_bytes=60_000)
            assert [one.data for one in found] == [large, small]

    async def test_without_order_everything_due_comes(self) -> None:
        """Chat needs no order: a call's deliveries go out together."""
        async with self.opened(Clock()) as store:
            made = await put_events(store, [1, 1, 2])
            assert [one.id for one in await store.due("archive", 10, in_order=False, max_bytes=MIB)] == made

    async def test_attempts_end_deliveries(self) -> None:
        """Delivered, dead, later, and given back: each leaves its state and its attempts."""
        async with self.opened(Clock()) as store:
            delivered, dead, later, back = await put_events(store, [None] * 4)
            await store.due("archive", 10, in_order=False, max_bytes=MIB)
            await store.tried([
                a_tried(delivered, DeliveryState.DELIVERED),
                a_tried(dead, DeliveryState.DEAD, detail="no"),
                a_tried(later, DeliveryState.PENDING, next_at=NOON),
                a_tried(back, DeliveryState.PENDING, next_at=NOON, outcome="", give_back=1),
            ])  # fmt: skip
            found = await store.due("archive", 10, in_order=False, max_bytes=MIB)
            assert {one.id: one.attempts for one in found} == {later: 1, back: 0}

    async def test_what_a_dead_worker_was_sending_goes_out_again(self) -> None:
        """A delivery in flight is taken back at the next start, with its attempt counted."""
        async with self.opened(Clock()) as store:
            await put_events(store, [None, None])
            await store.due("archive", 10, in_order=False, max_bytes=MIB)
            assert await store.reclaim() == 2
            assert [one.attempts for one in await store.due("archive", 5, in_order=False, max_bytes=MIB)] == [1, 1]

    async def test_sinks_are_remembered(self) -> None:
        """The newest word on a sink is the one that counts."""
        async with self.opened(Clock()) as store:
            await store.put_sink(SinkRow(name="archive", state=SinkState.TRIPPED, failures=5, reason="no", probe_at=9))
            await store.put_sink(SinkRow(name="archive", state=SinkState.RUNNING))
            assert await store.sinks() == {"archive": SinkRow(name="archive", state="running", updated_at=NOON)}

    async def test_ids_of_two_starts_never_meet(self) -> None:
        """Each start is numbered, and its ids are its own; all sort by time."""
        clock = Clock()
        async with self.opened(clock) as store:
            before = [store.ids.next() for _ in range(5)]
            number = store.start
            await store.register("again")
            assert store.start == number + 1
            after = [store.ids.next() for _ in range(5)]
            assert not set(before) & set(after)
            assert all(at(clock.ms) <= one < at(clock.ms + 1) for one in before + after)
