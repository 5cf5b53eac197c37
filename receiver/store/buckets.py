"""The limits that providers set, counted in the store, so that all processes together keep them."""

import msgspec

from receiver.contract.asking import Limit
from receiver.store.store import Store


async def take(store: Store, source: str, bucket: str, limit: Limit) -> float:
    """Take the right to ask once, and return 0; or return the seconds after which to come again.

    Requests are counted in a window that slides: never more than `limit.count` in any stretch of `limit.seconds`.
    """
    key = {"source": source, "bucket": bucket}
    async with store.engine.transaction() as tx:
        now = store.now_ms()
        window = int(limit.seconds * 1000)
        rows = await tx.rows("bucket", key)
        taken, frozen = (msgspec.json.decode(rows[0][0], type=list[int]), rows[0][1]) if rows else ([], 0)
        recent = [moment for moment in taken if now - window < moment <= now]
        wait = max(frozen - now, recent[-limit.count] + window - now if len(recent) >= limit.count else 0)
        if wait <= 0:
            await tx.run("put_bucket", {**key, "taken": msgspec.json.encode([*recent, now]).decode()})
    return max(0, wait) / 1000


async def freeze(store: Store, source: str, bucket: str, seconds: float) -> None:
    """Let nobody ask for some seconds: the provider said so."""
    until = store.now_ms() + int(seconds * 1000)
    await store.engine.write("freeze_bucket", {"source": source, "bucket": bucket, "until": until})
