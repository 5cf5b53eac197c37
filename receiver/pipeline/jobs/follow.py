"""Follow: fetch what a callback announced and does not hold, and keep it as a receipt of its own.

The to-do is the store itself: results of callbacks that nobody followed yet. A try is counted before it starts, so that a
crash in the middle is tried again, later; what was fetched twice has the same message key, and is one receipt.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from receiver.asking.callers import Callers
from receiver.contract.api import Api
from receiver.contract.asking import Fetched
from receiver.contract.errors import ProviderBusy, ProviderRefused, Unanswered, Unreadable, UsageError
from receiver.contract.provider import Provider
from receiver.pipeline.keeping import receipt_of
from receiver.store.ids import RECEIPT, at, encode
from receiver.store.records import StoredReceipt
from receiver.store.store import Store

log = structlog.get_logger()

Keep = Callable[[Provider[Any], Fetched], Awaitable[None]]
"""Makes a receipt of what was fetched."""

_BATCH = 20
_DAY_MS = 86_400_000
_TRIES = 12
_FIRST, _LONGEST = 30.0, 7200.0
"""Seconds between two tries; they double."""


class Follow:
    """Follows the callbacks of the sources whose providers announce things."""

    def __init__(self, store: Store, callers: Callers, keep: Keep) -> None:
        self._store = store
        self._callers = callers
        self._keep = keep

    async def once(self) -> int:
        """Follow what is due, and return how many answers were kept. Raises StoreError."""
        kept = 0
        for source in self._callers.askable():
            if follows(self._callers.of(source).api):
                kept += await self._source(source)
        return kept

    async def _source(self, source: str) -> int:
        now = self._store.now_ms()
        asked = {"source": source, "since": now - _DAY_MS, "now": now, "limit": _BATCH}
        tries = dict(tuple(row) for row in await self._store.engine.rows("to_follow", asked))
        if tries:
            await self._store.engine.write("forget_followed", {"before": at(now - 2 * _DAY_MS)})
        kept = 0
        for receipt in await self._store.receipts(list(tries)):
            kept += await self._receipt(receipt, tries[receipt.id] + 1)
        return kept

    async def _receipt(self, receipt: StoredReceipt, tries: int) -> int:
        """Follow one callback: the try is written down first, its end afterwards."""
        wait = min(_FIRST * 2 ** (tries - 1), _LONGEST)
        await self._note(receipt, tries, wait, "begun")
        try:
            kept = await self._fetch(receipt)
        except (ProviderBusy, Unanswered) as error:
            later = max(wait, getattr(error, "after", None) or 0.0) if tries < _TRIES else None
            await self._note(receipt, tries, later, str(error))
        except (ProviderRefused, UsageError, Unreadable) as error:
            await self._note(receipt, tries, None, str(error))
        else:
            await self._note(receipt, tries, None, None)
            return kept
        return 0

    async def _fetch(self, receipt: StoredReceipt) -> int:
        caller = self._callers.of(receipt.source)
        provider = self._callers.sources[receipt.source]
        kept = 0
        for outcome in provider.normalize(receipt_of(receipt)):
            for found in await caller.run(caller.api.follow(outcome)):
                await self._keep(provider, found)
                kept += 1
        return kept

    async def _note(self, receipt: StoredReceipt, tries: int, wait: float | None, why: str | None) -> None:
        due = None if wait is None else self._store.now_ms() + int(wait * 1000)
        await self._store.engine.write(
            "put_followed", {"receipt_id": receipt.id, "tries": tries, "due_at": due, "why": why}
        )
        if due is None and why is not None:
            log.warning("follow.given_up", id=encode(RECEIPT, receipt.id), source=receipt.source, why=why)


def follows(api: Api) -> bool:
    """Say whether a provider's callbacks announce what has to be fetched."""
    return type(api).follow is not Api.follow
