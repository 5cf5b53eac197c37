"""Confirm: where only a token proved the sender, the provider is asked itself before any event goes out."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from receiver.contract.model import ReceiptState
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import StoredReceipt
from receiver.store.store import Store

log = structlog.get_logger()

Reread = Callable[[StoredReceipt], Awaitable[bytes | None]]
"""Ask the provider for a receipt's result: its bytes, or None where it has none to give. Raises to be asked again."""

_LOOK = 1000
"""Receipts looked at in one step; the next step goes on behind them, so that those that fail hold up nobody."""
_WAITS = (5.0, 30.0, 120.0, 600.0)
_LONGEST = 60.0
"""Seconds that the provider has to answer."""


class Confirm:
    """Takes receipts that wait for confirmation, in turns."""

    def __init__(self, store: Store, reread: Reread | None, now: Callable[[], float]) -> None:
        """Without `reread` nothing can be confirmed, and receipts go on by their token. `now` is Unix seconds."""
        self._store = store
        self._reread = reread
        self._now = now
        self._after = 0
        self._asked: dict[int, tuple[int, float]] = {}

    async def step(self) -> int:
        """Try the receipts whose time has come; return how many went on."""
        waiting = await self._store.waiting(ReceiptState.CONFIRMING, _LOOK, self._after)
        if self._reread is None:
            await self._store.unconfirmed(waiting)
            return len(waiting)
        self._forget(waiting)
        self._after = waiting[-1] if len(waiting) == _LOOK else 0
        return sum([await self._try(self._reread, receipt_id) for receipt_id in waiting if self._due(receipt_id)])

    def _forget(self, waiting: list[int]) -> None:
        """Forget those of this turn that wait no more, whoever saw to it."""
        still = set(waiting)
        end = waiting[-1] if len(waiting) == _LOOK else max(self._asked, default=0)
        self._asked = {
            number: asked for number, asked in self._asked.items() if number in still or not self._after < number <= end
        }

    def _due(self, receipt_id: int) -> bool:
        return self._now() >= self._asked.get(receipt_id, (0, 0.0))[1]

    async def _try(self, reread: Reread, receipt_id: int) -> bool:
        receipt = await self._store.receipt(receipt_id)
        try:
            async with asyncio.timeout(_LONGEST):
                answer = await reread(receipt)
        except Exception as error:  # noqa: BLE001 -- the provider's side; it is asked again
            tries = self._asked.get(receipt_id, (0, 0.0))[0] + 1
            wait = _WAITS[min(tries, len(_WAITS)) - 1]
            self._asked[receipt_id] = (tries, self._now() + wait)
            log.warning("receipt.not_confirmed", id=encode(RECEIPT, receipt_id), error=type(error).__name__)
            return False
        if answer is None:
            await self._store.unconfirmed([receipt_id])
        else:
            await self._store.confirmed(receipt_id, answer)
        return True
