"""The audit trail: who read what was said, and who gave which order, by which way and when; never what was said."""

from collections.abc import Mapping, Sequence

import msgspec

from receiver.contract.times import from_ms
from receiver.store.ids import AUDIT, at, encode, moment
from receiver.store.listing import Listing, equal, since, until
from receiver.store.lists import Page
from receiver.store.store import Row, Store

TRAIL = Listing(
    name="audit",
    order=("id",),
    filters={
        "who": equal("who", "who"),
        "what": equal("what", "what"),
        "thing": equal("thing", "thing"),
        "since": since("id"),
        "until": until("id"),
    },
)
READ = "read"
"""What somebody did who looked at what was said."""
_LONGEST = 1000
"""Characters of a detail, or of a name that somebody made up."""
_TOGETHER = 1000
"""Rows that are written, or dropped, with one statement."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did: `via` is `api`, `page`, `command`, `mcp` or `link`; `thing` an id or a name."""

    who: str
    via: str
    what: str
    thing: str | None = None
    detail: str | None = None


class AuditItem(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the audit trail, and when it was."""

    id: str
    at: str


class Trail:
    """Writes, reads and trims the audit trail."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, entries: Sequence[Entry]) -> None:
        """Add what was done. Raises StoreUnavailable."""
        for start in range(0, len(entries), _TOGETHER):
            part = entries[start : start + _TOGETHER]
            await self._store.engine.insert("add_audit", [(self._store.ids.next(), *_cut(one)) for one in part])

    async def listed(self, given: Mapping[str, str]) -> Page:
        """Return what was done, newest first. Raises UsageError."""
        asked = TRAIL.read(given)
        rows = await self._store.engine.rows("list_audit", asked.params, asked.where)
        shown = rows[: asked.limit]
        more = TRAIL.cursor([shown[-1][0]]) if len(rows) > len(shown) else None
        return Page([msgspec.structs.asdict(_item(row)) for row in shown], more)

    async def trim(self, before_ms: int) -> int:
        """Drop some of what was done before a moment, the oldest first; return how much."""
        return await self._store.engine.write("drop_audit", {"before": at(before_ms), "limit": _TOGETHER})


def _cut(entry: Entry) -> Row:
    return tuple(None if text is None else _stored(text) for text in msgspec.structs.astuple(entry))


def _stored(text: str) -> str:
    """Return a text as every engine keeps it."""
    return text[:_LONGEST].replace("\0", " ").encode("utf-8", "replace").decode()


def _item(row: Row) -> AuditItem:
    number, who, via, what, thing, detail = row
    when = from_ms(moment(number))
    return AuditItem(id=encode(AUDIT, number), at=when, who=who, via=via, what=what, thing=thing, detail=detail)
