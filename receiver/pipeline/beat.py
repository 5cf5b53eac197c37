"""Beat: says again and again that this process is alive, where others would take over what it holds."""

import asyncio
from collections.abc import Callable

import structlog

from receiver.contract.errors import StoreError
from receiver.store.store import Store

log = structlog.get_logger()


async def beating(store: Store, freed: Callable[[], None]) -> None:
    """Beat until cancelled; `freed` is told when something of a dead process can be taken."""
    while store.beat_every is not None:
        await asyncio.sleep(store.beat_every)
        try:
            count = await store.beat()
        except StoreError as error:
            log.error("store.beat_failed", why=str(error))
            continue
        if count:
            log.info("worker.took_over", count=count)
            freed()
