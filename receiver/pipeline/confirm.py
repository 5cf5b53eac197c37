"""Confirm: where only a token proved the sender, the provider is asked itself before any event goes out."""

from collections.abc import Awaitable, Callable

import structlog

from receiver.contract.model import ReceiptState
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import StoredReceipt
from receiver.store.store import Store

log = structlog.get_logger()

Reread = Callable[[StoredReceipt], Awaitable[bytes | None]]
"""Ask the provider for a receipt's result: its bytes, or None where it has none to give. Raises to be asked again."""

_BATCH = 16
_WAITS = (5.0, 30.0, 120.0, 600.0)


class Confirm:
    """Takes receipts that wait for confirmation."""

    def __init__(self, store: Store, reread: Reread | None, now: Callable[[], float]) -> None:
        """Without `reread` nothing can be confirmed, and receipts go on by their token. `now` is Unix seconds."""
        self._store = store
        self._reread = reread
        self._now = now
        self._asked: dict[int, tuple[int, float]] = {}

    async def step(self) -> int:
        """Try the receipts whose time has come; return how many went on."""
        waiting = await self._store.waiting(ReceiptState.CONFIRMING, _BATCH)
        if self._reread is None:
            await self._store.unconfirmed([receipt.id for receipt in waiting])
            return len(waiting)
        return sum([await self._try(self._reread, receipt) for receipt in waiting if self._due(receipt.id)])

    def _due(self, receipt_id: int) -> bool:
        return self._now() >= self._asked.get(receipt_id, (0, 0.0))[1]

    async def _try(self, reread: Reread, receipt: StoredReceipt) -> bool:
        try:
            answer = await reread(receipt)
        except Exception as error:  # noqa: BLE001 -- the provider's side; it is asked again
            tries = self._asked.get(receipt.id, (0, 0.0))[0] + 1
            wait = _WAITS[min(tries, len(_WAITS)) - 1]
            self._asked[receipt.id] = (tries, self._now() + wait)
            log.warning("receipt.not_confirmed", id=encode(RECEIPT, receipt.id), error=type(error).__name__)
            return False
        self._asked.pop(receipt.id, None)
        if answer is None:
            await self._store.unconfirmed([receipt.id])
        else:
            await self._store.confirmed(receipt.id, answer)
        return True
