"""Taken: what a sink's runner has taken from the store and not sent yet, each call's deliveries one behind the other."""

import bisect
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from receiver.contract.model import DeliveryState
from receiver.store.records import DueDelivery, Tried


class Taken:
    """Deliveries in hand. In order, one of each call may be out: ready, being sent, or sent and not written down yet.

    What follows it in its call stays behind it until it is done, on disk. Where it has to wait, all that is behind it goes
    back to the store. So does what a claim brings that looked before that was on disk, and saw the call on its way; not
    what followed nothing when the claim looked.
    """

    def __init__(self, *, in_order: bool) -> None:
        self.in_order = in_order
        self._ready: deque[DueDelivery] = deque()
        self._behind: dict[int, deque[DueDelivery] | None] = {}
        """By call of which one is out: what follows it."""
        self._back: Counter[int] = Counter()
        """By call: how many are on their way back."""
        self._settled: set[int] = set()
        """Calls of which the last came back while a claim was under way."""
        self._claiming = False
        self.held = 0
        """Deliveries that wait behind others."""
        self.size = 0
        """Bytes of the events in hand, those being sent included."""

    def __len__(self) -> int:
        """Return how many may be sent now."""
        return len(self._ready)

    def expect(self) -> None:
        """A claim begins."""
        self._claiming = True
        self._settled.clear()

    def add(self, rows: Iterable[DueDelivery]) -> list[DueDelivery]:
        """Take what a claim brought; return what must go back."""
        self._claiming = False
        back = []
        for row in rows:
            if (call := self._call(row)) is None:
                self._ready.append(row)
            elif row.follows and (call in self._back or call in self._settled):
                back.append(row)
            elif call in self._behind:
                self._put_behind(call, row)
            else:
                self._behind[call] = None
                self._ready.append(row)
            self.size += len(row.data)
        self._settled.clear()
        return self._going_back(back)

    def _put_behind(self, call: int, row: DueDelivery) -> None:
        """Put one in its place: an operator may have moved one here that stands before others."""
        queue = self._behind[call]
        if queue is None:
            queue = self._behind[call] = deque()
        if queue and _place(row) < _place(queue[-1]):
            bisect.insort(queue, row, key=_place)
        else:
            queue.append(row)
        self.held += 1

    def deepest(self) -> int:
        """Return how many wait in the call that most wait in."""
        return max((len(queue) for queue in self._behind.values() if queue), default=0)

    def batch(self, most: int) -> list[DueDelivery]:
        """Return what to send next; in order, no two of one call."""
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def unsent(self, batch: Sequence[DueDelivery]) -> None:
        """A send was broken off before anything came of it: its batch is the next again."""
        self._ready.extendleft(reversed(batch))

    def sent(self, batch: Iterable[DueDelivery]) -> None:
        """These need no room any more."""
        self.size -= sum([len(row.data) for row in batch])

    def gone(self, rows: Sequence[DueDelivery]) -> None:
        """These are not ours to send any more; what was behind them may be sent."""
        self.sent(rows)
        for row in rows:
            if (call := self._call(row)) in self._behind:
                self._go_on(call)

    def waits(self, row: DueDelivery) -> list[DueDelivery]:
        """One that was sent has to be sent again, later; return what must go back with it, in the same transaction."""
        if (call := self._call(row)) is None:
            return []
        self._back[call] += 1
        return self._going_back(self._let_behind(call))

    def clear(self) -> list[DueDelivery]:
        """Return everything that is not being sent, to go back."""
        rows = [*self._ready]
        for row in self._ready:
            if (call := self._call(row)) is not None:
                rows += self._let_behind(call)
        self._ready.clear()
        for call, queue in self._behind.items():
            if queue is not None:
                rows += queue
                self.held -= len(queue)
                self._behind[call] = None
        return self._going_back(rows)

    def lose(self) -> None:
        """What is not being sent is somebody else's by now."""
        for row in self.clear():
            if (call := self._call(row)) is not None:
                self._came_back(call)

    def written(self, endings: Iterable[tuple[DueDelivery, Tried]]) -> None:
        """These are on disk: what was behind one that is done may be sent."""
        for row, one in endings:
            if (call := self._call(row)) is None:
                continue
            if one.state == DeliveryState.PENDING:
                self._came_back(call)
            elif call in self._behind:
                self._go_on(call)

    def _call(self, row: DueDelivery) -> int | None:
        """Return the call whose order a delivery keeps."""
        return row.call_id if self.in_order else None

    def _go_on(self, call: int) -> None:
        if queue := self._behind[call]:
            self._ready.append(queue.popleft())
            self.held -= 1
        else:
            del self._behind[call]

    def _let_behind(self, call: int) -> Sequence[DueDelivery]:
        queue = self._behind.pop(call, None) or ()
        self.held -= len(queue)
        return [*queue]

    def _going_back(self, rows: Sequence[DueDelivery]) -> list[DueDelivery]:
        self._back.update([call for row in rows if (call := self._call(row)) is not None])
        self.sent(rows)
        return [*rows]

    def _came_back(self, call: int) -> None:
        self._back[call] -= 1
        if self._back[call] <= 0:
            del self._back[call]
            if self._claiming:
                self._settled.add(call)


def _place(row: DueDelivery) -> int:
    return row.place or row.id
