"""Confirm: where only a token proved the sender, the provider is asked itself before any event goes out."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from receiver.contract.asking import Fetched
from receiver.contract.model import LATE_HEADER, Headers, ReceiptState
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import StoredReceipt, pack_headers, unpack_headers
from receiver.store.store import Store

log = structlog.get_logger()

Ask = Callable[[StoredReceipt], Awaitable[Fetched | None]]
"""Ask the provider for a receipt's result, or None where it has none to give. Raises to be asked again."""

_LOOK = 1000
"""Receipts looked at in one step; the next step goes on behind them, so that those that fail hold up nobody."""
_WAITS = (5.0, 30.0, 120.0, 600.0)
_LONGEST = 60.0
"""Seconds that the provider has to answer."""


class Confirm:
    """Takes receipts that wait for confirmation, in turns."""

    def __init__(self, store: Store, reread: Ask | None, now: Callable[[], float]) -> None:
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
            plain = [one.id for one in await self._store.receipts(waiting) if not is_late(one)]
            await self._store.unconfirmed(plain)
            return len(plain)
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

    def _later(self, receipt_id: int, why: str) -> None:
        tries = self._asked.get(receipt_id, (0, 0.0))[0] + 1
        wait = _WAITS[min(tries, len(_WAITS)) - 1]
        self._asked[receipt_id] = (tries, self._now() + wait)
        log.warning("receipt.not_confirmed", id=encode(RECEIPT, receipt_id), error=why)

    async def _try(self, reread: Ask, receipt_id: int) -> bool:
        receipt = await self._store.receipt(receipt_id)
        try:
            async with asyncio.timeout(_LONGEST):
                answer = await reread(receipt)
        except Exception as error:  # noqa: BLE001 -- the provider's side; it is asked again
            self._later(receipt_id, type(error).__name__)
            return False
        if answer is None and is_late(receipt):
            self._later(receipt_id, "its token was spent, and nothing can be read again: `hookscribe receipts admit`")
            return False
        if answer is None:
            await self._store.unconfirmed([receipt_id])
        else:
            headers = pack_headers((*_plain(unpack_headers(receipt.headers)), *answer.headers))
            await self._store.confirmed(receipt_id, answer.body, headers)
        return True


def is_late(receipt: StoredReceipt) -> bool:
    """Say whether a receipt came by a token that was spent, or whose job was lost."""
    return LATE_HEADER in receipt.headers and any(name == LATE_HEADER for name, _ in unpack_headers(receipt.headers))


def _plain(headers: Headers) -> Headers:
    """Return what came but for names that only we give."""
    return tuple(pair for pair in headers if not pair[0].startswith(b"hookscribe-"))
