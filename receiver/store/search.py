"""Search: segments and transcripts by the words in them, newest first, or best first over the newest of them."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from receiver.contract.errors import UsageError
from receiver.contract.times import from_ms
from receiver.store import query
from receiver.store.ids import CALL, TRANSCRIPT, encode
from receiver.store.listing import Asked, Condition, Filter, Listing, call_named, equal, of_call, since, until
from receiver.store.shapes import Shape, Status
from receiver.store.snippet import ranked, snippet
from receiver.store.store import Engine, Row, Tx

RANKED = 2000
"""Matches that are ranked where the best are asked for: the newest ones."""
_WINDOW = 10
"""Segments that are looked at for each transcript that a page may hold; a page may be short, and yet go on."""
_DAY_MS = 86_400_000
_LAST = (1 << 63) - 1
_TAG = "tag_"
_BEGIN = "0q0"
_ROLES = ("agent", "customer")
_ORDERS = ("newest", "best")


def tag(kind: str, value: str) -> str:
    """Return what a segment is filtered by as a word; all begin alike, because the index of beginnings holds them too."""
    told = f"{kind} {value.casefold()}".encode("utf-8", "replace")
    return _BEGIN + hashlib.blake2b(told, digest_size=4).hexdigest()


def _tagged(kind: str, words: tuple[str, ...] = ()) -> Filter:
    check = _one_of(words) if words else str

    def read(text: str) -> Condition:
        return "", {_TAG + kind: tag(kind, check(text))}

    return Filter(read, _schema(words))


def _schema(words: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", **({"enum": [*words]} if words else {})}


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return check


def _same(value: int) -> int:
    return value


def _status(text: str) -> Condition:
    """Nearly everything is completed: a condition does, where few have to be looked at in vain; failed is a tag."""
    _one_of(tuple(Status))(text)
    if text == Status.COMPLETED:
        return "t.status = 'completed'", {}
    return "", {_TAG + "status": tag("status", text)}


def _words(text: str) -> Condition:
    return "", {"query": query.read(text)}


def _order(text: str) -> Condition:
    return "", {"order": _one_of(_ORDERS)(text)}


_FILTERS: dict[str, Filter] = {
    "q": Filter(_words, {"type": "string", "maxLength": query.LONGEST}),
    "speaker": _tagged("voice"),
    "source": _tagged("source"),
    "provider": _tagged("provider"),
    "call": of_call("t.call_id"),
    "status": Filter(_status, _schema(tuple(one.value for one in Status))),
    "since": since("t.received_at", _same),
    "until": until("t.received_at", _same),
}
SEGMENTS = Listing(
    name="search",
    order=("s.id",),
    filters={
        **_FILTERS,
        "role": _tagged("role", _ROLES),
        "operation": _tagged("operation"),
        "sentiment": _tagged("mood"),
        "order": Filter(_order, _schema(_ORDERS)),
    },
)
TRANSCRIPTS = Listing(name="transcripts", order=("s.id",), filters={**_FILTERS, "job_id": equal("t.job_id", "job_id")})


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; `next` goes on. A page may hold less than was asked for, and yet go on."""

    items: list[Shape]
    next: str | None
    ranked: int | None = None
    """How many of the newest matches were put in order; None where the newest come first."""
    all_ranked: bool | None = None
    """Whether there are no other matches."""


class Search:
    """Finds what was said."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def segments(self, given: Mapping[str, str]) -> Found:
        """Return segments by the parameters of a request. Raises UsageError, which names the parameter."""
        if "q" not in given:
            raise UsageError("q: expected what to look for")
        best = given.get("order") == "best"
        if best and "cursor" in given:
            raise UsageError("cursor: the best matches are one page; `limit` says how many")
        asked = SEGMENTS.read(given)
        if best:
            asked.params["limit"] = RANKED + 1
        marks = self._engine.marks(asked.params["query"])
        rows = await self._engine.found("search", asked.params, asked.where) if await self._prepare(asked) else []
        rows = [(number, marks(text)) for number, text in rows]
        if not best:
            shown = rows[: asked.limit]
            more = len(rows) > len(shown)
            return Found(items=await self._shown(shown), next=SEGMENTS.cursor([shown[-1][0]]) if more else None)
        newest = rows[:RANKED]
        shown = [newest[place] for place in ranked([row[1] for row in newest])[: asked.limit]]
        return Found(items=await self._shown(shown), next=None, ranked=len(newest), all_ranked=len(rows) == len(newest))

    async def _shown(self, found: list[Row]) -> list[Shape]:
        """Return what people see of segments, in their order; one that left the index meanwhile is left out."""
        rows = await self._engine.rows("segments_by_id", {"ids": [row[0] for row in found]}) if found else []
        known = {row[0]: row for row in rows}
        return [_shape(known[number], marked) for number, marked in found if number in known]

    async def transcripts(self, given: Mapping[str, str]) -> tuple[dict[int, int], bool]:
        """Return transcripts with something in them that fits, newest first, and whether there may be more.

        Their ids lead to the earliest segment that was seen of each.
        """
        asked = TRANSCRIPTS.read(given)
        if not await self._prepare(asked):
            return {}, False
        window = min(RANKED, _WINDOW * asked.limit)
        rows = await self._engine.found("search_transcripts", {**asked.params, "limit": window}, asked.where)
        found: dict[int, int] = dict(rows)
        shown = dict([*found.items()][: asked.limit])
        return shown, len(found) > asked.limit or len(rows) >= window

    async def after(self, transcript_id: int, seen: int) -> str:
        """Return the cursor that goes on behind a transcript, of which this segment was seen.

        It may have left the index meanwhile, or be there anew, in front of what comes next.
        """
        ((first,),) = await self._engine.rows("first_segment", {"id": transcript_id})
        return TRANSCRIPTS.cursor([seen if first is None else min(first, seen)])

    async def _prepare(self, asked: Asked) -> bool:
        """Put what is asked into the engine's words; say whether anything can be found at all."""
        params = asked.params
        await call_named(self._engine, params)
        asked.where = [condition for condition in asked.where[1:] if condition]  # the place is in the query itself
        tags = [str(params.pop(name)) for name in [*params] if name.startswith(_TAG)]
        params["match"] = self._engine.match(params.pop("query", None), tags)
        params.pop("order", None)
        params["before"], params["low"] = params.pop("before0"), 0
        for first, last in await self._bounds(params):
            if first is None:
                return False
            params["low"], params["before"] = max(params["low"], first), min(params["before"], last + 1)
        return True

    async def _bounds(self, params: Mapping[str, Any]) -> list[Row]:
        """Return between which segments everything is that can be found, by what is asked."""
        found: list[Row] = []
        if "since" in params or "until" in params:
            days = {"since": params.get("since", 0) // _DAY_MS, "until": params.get("until", _LAST) // _DAY_MS}
            found += await self._engine.rows("segment_bounds", days)
        if "call" in params:
            found += await self._engine.rows("call_segments", {"call": params["call"]})
        if "job_id" in params:
            found += await self._engine.rows("job_segments", {"job_id": params["job_id"]})
        return found


async def forget_words(tx: Tx, transcript_ids: list[int], *, waiting: bool = False) -> None:
    """Take transcripts out of the index, within a transaction; the words leave its pages with the next purge.

    `waiting`: they are about to be indexed again.
    """
    if transcript_ids:
        ids = {"ids": transcript_ids}
        if not waiting:
            await tx.run("drop_unindexed", ids)  # first: on PostgreSQL it waits for one that is just being indexed
        await tx.run("drop_words", ids)
        await tx.run("drop_segments", ids)


def _shape(row: Row, marked: str) -> Shape:
    _, transcript, number, start, end, speaker, label, role, mood, source, provider, operation, *rest = row
    job_id, call, status, received_at = rest
    text, marks = snippet(marked)
    return {
        "transcript_id": encode(TRANSCRIPT, transcript),
        "call_id": encode(CALL, call),
        "source": source,
        "provider": provider,
        "operation": operation,
        "job_id": job_id,
        "status": status,
        "received_at": from_ms(received_at),
        "segment": number or None,
        "start": start,
        "end": end,
        "speaker": speaker,
        "label": label,
        "role": role,
        "sentiment": mood,
        "snippet": text,
        "marks": marks,
    }


def found_as_dict(found: Found) -> dict[str, Any]:
    """Return what was found as the API gives it: how it was ranked only where it was."""
    told: dict[str, Any] = {"items": found.items, "next": found.next}
    if found.ranked is not None:
        told |= {"ranked": found.ranked, "all_ranked": found.all_ranked}
    return told
