"""What a runner has in hand: of each call one is out, and what follows it waits behind it or goes back."""

from receiver.contract.model import DeliveryState
from receiver.pipeline.taken import Taken
from receiver.store.records import DueDelivery, Tried
from receiver.testing.rows import a_tried


def row(number: int, call: int | None, *, follows: bool = False) -> DueDelivery:
    """Return a delivery of ten bytes."""
    return DueDelivery(number, 0, number, "acme", "acme.said", "", "", call, b"0123456789", follows=int(follows))


def ended(one: DueDelivery, state: DeliveryState = DeliveryState.DELIVERED) -> tuple[DueDelivery, Tried]:
    """Return that one came to a state."""
    return one, a_tried(one.id, state)


def test_of_each_call_one_is_ready() -> None:
    """The others follow one by one, each when the one before is on disk; without a call nothing waits."""
    taken = Taken(in_order=True)
    a1, a2, a3, b1, alone, other = row(1, 1), row(2, 1), row(3, 1), row(4, 2), row(5, None), row(6, None)
    assert taken.add([a1, a2, b1, alone, a3, other]) == []
    assert (len(taken), taken.held, taken.size) == (4, 2, 60)
    batch = taken.batch(9)
    assert batch == [a1, b1, alone, other]
    taken.sent(batch)
    assert (len(taken), taken.size) == (0, 20)
    taken.written([ended(a1), ended(b1), ended(alone)])
    assert taken.batch(9) == [a2]
    taken.written([ended(a2, DeliveryState.DEAD)])
    assert (taken.batch(9), taken.held) == ([a3], 0)
    taken.written([ended(a3)])
    assert taken.add([a1]) == []
    assert taken.batch(9) == [a1]


def test_what_is_behind_one_that_waits_goes_back_until_all_of_it_is_on_disk() -> None:
    """So does what a claim brings that began before that: it may have seen the call on its way."""
    taken = Taken(in_order=True)
    a1, a2, a3, a4, a5 = (row(number, 1, follows=number > 1) for number in range(1, 6))
    taken.add([a1])
    taken.add([a2])
    taken.sent(taken.batch(1))
    assert taken.waits(a1) == [a2]
    assert (taken.held, taken.size) == (0, 0)
    assert taken.add([a3]) == [a3]
    taken.written([ended(a1, DeliveryState.PENDING), ended(a2, DeliveryState.PENDING)])
    taken.expect()
    taken.written([ended(a3, DeliveryState.PENDING)])
    assert taken.add([a4]) == [a4]
    taken.written([ended(a4, DeliveryState.PENDING)])
    taken.expect()
    assert taken.add([a1]) == []
    assert taken.add([a5]) == []
    assert (taken.batch(9), taken.held) == ([a1], 1)


def test_what_followed_nothing_when_the_claim_looked_is_taken_whatever_is_on_its_way_back() -> None:
    """Of a call that has to wait again and again somebody gets on: two claims cannot hand it to and fro for ever."""
    taken = Taken(in_order=True)
    a1, a2, a3 = row(1, 1), row(2, 1, follows=True), row(3, 1, follows=True)
    taken.add([a1])
    taken.batch(1)
    assert taken.waits(a1) == []
    assert taken.add([a2]) == [a2]
    taken.expect()
    taken.written([ended(a1, DeliveryState.PENDING)])
    assert taken.add([a1]) == []
    assert taken.batch(1) == [a1]
    assert taken.add([a3]) == [a3], "the second is still on its way back"
    taken.written([ended(a1), ended(a2, DeliveryState.PENDING), ended(a3, DeliveryState.PENDING)])
    assert taken.add([row(2, 1), a3]) == []
    assert (taken.batch(9), taken.held) == ([row(2, 1)], 1)


def test_what_followed_one_that_is_done_by_now_is_ready() -> None:
    """The claim looked before that was on disk."""
    taken = Taken(in_order=True)
    a1, a2 = row(1, 1), row(2, 1, follows=True)
    taken.add([a1])
    taken.expect()
    (first,) = taken.batch(1)
    taken.written([ended(first)])
    assert taken.add([a2]) == []
    assert taken.batch(1) == [a2]


def test_what_was_moved_here_stands_in_its_place() -> None:
    """An operator's move keeps the order that deliveries had; on PostgreSQL that is another number than the id."""
    taken = Taken(in_order=True)
    a1, a2, a3, a4, a5 = (row(number, 1, follows=number > 1) for number in range(1, 6))
    taken.add([a1])
    for one in (a4, a5, a2, a3):
        taken.add([one])
    assert (taken.held, taken.deepest()) == (4, 4)
    sent = []
    while batch := taken.batch(1):
        sent += batch
        taken.written([ended(batch[0])])
    assert sent == [a1, a2, a3, a4, a5]
    assert (taken.held, taken.deepest()) == (0, 0)
    b7, b8 = row(7, 2, follows=True), row(8, 2, follows=True)
    b7.place, b8.place = 90, 80
    taken.add([row(6, 2), b7, b8])
    taken.written([ended(taken.batch(1)[0])])
    assert taken.batch(1) == [b8]


def test_everything_that_is_not_being_sent_goes_back_at_once() -> None:
    """And a call goes on once that is on disk, whatever became of the one that was being sent."""
    taken = Taken(in_order=True)
    a1, a2, b1, b2, alone = row(1, 1), row(2, 1), row(3, 2), row(4, 2), row(5, None)
    taken.add([a1, a2, b1, b2, alone])
    assert taken.batch(1) == [a1]
    back = taken.clear()
    assert sorted(one.id for one in back) == [2, 3, 4, 5]
    assert (len(taken), taken.held, taken.size) == (0, 0, 10)
    b3 = row(6, 2, follows=True)
    assert taken.add([b3]) == [b3]
    taken.written([ended(one, DeliveryState.PENDING) for one in [*back, b3]])
    assert taken.add([a2, b1]) == []
    assert (taken.batch(9), taken.held) == ([b1], 1)
    taken.written([ended(a1)])
    assert taken.batch(9) == [a2]


def test_a_send_that_was_broken_off_is_the_next_again() -> None:
    """In its place, before what came later."""
    taken = Taken(in_order=True)
    rows = [row(number, number) for number in range(1, 5)]
    taken.add(rows)
    taken.unsent(taken.batch(2))
    assert taken.batch(9) == rows


def test_what_is_lost_to_another_process_is_forgotten() -> None:
    """Nothing of it goes back, and when its call comes again it is ready."""
    taken = Taken(in_order=True)
    a1, a2, b1 = row(1, 1), row(2, 1), row(3, 2)
    taken.add([a1, a2, b1])
    taken.lose()
    assert (len(taken), taken.held, taken.size) == (0, 0, 0)
    assert taken.add([a1]) == []
    assert taken.batch(9) == [a1]


def test_without_order_all_of_a_call_goes_out_together() -> None:
    """Nothing waits behind anything, and nothing is remembered."""
    taken = Taken(in_order=False)
    rows = [row(number, 1) for number in range(1, 4)]
    assert taken.add(rows) == []
    assert taken.batch(9) == rows
    assert taken.waits(rows[0]) == []
    taken.written([ended(rows[0], DeliveryState.PENDING)])
    assert taken.add(rows) == []
    assert taken.clear() == rows
