"""Signs that something goes wrong slowly: when a source was heard, how often, and what people were told of it."""

from receiver.store.ids import at, moment
from receiver.store.store import Engine

COUNTED = 100_000
"""Receipts are counted up to here."""


class Signs:
    """Reads the store for the one that watches; all times are Unix milliseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def heard(self, source: str) -> int | None:
        """Return when something new of a source was kept last, None where nothing is there."""
        return _when(await self._engine.rows("last_receipt", {"source": source}))

    async def kept(self, source: str, since: int, until: int) -> int:
        """Return how many receipts of a source were kept in a time."""
        params = {"source": source, "since": at(since), "until": at(until), "most": COUNTED}
        rows = await self._engine.rows("receipts_between", params)
        count: int = rows[0][0]
        return count

    async def told(self, source: str, event_type: str, since: int) -> int | None:
        """Return when people were last told of something about a source since a moment, None where they were not."""
        params = {"source": source, "type": event_type, "since": at(since)}
        return _when(await self._engine.rows("last_event", params))


def _when(rows: list[tuple[int | None]]) -> int | None:
    return moment(rows[0][0]) if rows[0][0] is not None else None
