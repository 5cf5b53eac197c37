"""What an assistant may ask for: search, reading, export, jobs, and replay where it is allowed; masked, and written down."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from receiver.contract.errors import UsageError
from receiver.contract.model import Transcript
from receiver.contract.settings import RedactSettings
from receiver.export.formats import FORMATS, known
from receiver.exporting import Exporter
from receiver.pipeline.operating.replay import Replay
from receiver.redact.data import redact_data
from receiver.redact.found import Deadline
from receiver.redact.redactor import Redactor, Rules
from receiver.store.access import Role, Who
from receiver.store.audit import READ, Entry, Trail
from receiver.store.ids import CALL
from receiver.store.job_lists import JobLists
from receiver.store.lists import Lists
from receiver.store.search import found_as_dict
from receiver.store.store import Store

MOST = 100
"""Segments of one search, and jobs of one list."""
_SECONDS = 30.0
_VIA = "mcp"
_ROUTES = ("transcript_id", "call_id")

Asks = Callable[[], Awaitable[Who]]
"""Says who asks, each time. Raises UsageError where the token does not work any more."""


class Assistant:
    """Answers an assistant as far as the role of its token goes."""

    def __init__(
        self, store: Store, asks: Asks, *, host: str, redact: RedactSettings | None = None, replay: Replay | None = None
    ) -> None:
        """`redact` masks every answer; without `replay` nothing is delivered again. `host` is our public name."""
        self._store = store
        self._asks = asks
        self._lists = Lists(store.engine)
        self._exporter = Exporter(self._lists, host)
        self._redact = redact
        self._replay = replay

    async def search(self, words: str, limit: int, asked: dict[str, str | None]) -> dict[str, Any]:
        """Return segments with words in them. Raises UsageError."""
        who = await self._allowed(Role.READ)
        given = {name: value for name, value in asked.items() if value is not None}
        found = found_as_dict(
            await self._lists.search.segments({**given, "q": words, "limit": str(max(1, min(MOST, limit)))})
        )
        await self._noted(who, READ, dict.fromkeys(one["transcript_id"] for one in found["items"]))
        return {**found, "items": [await self._segment(one) for one in found["items"]]}

    async def transcript(self, public_id: str, version: int | None) -> dict[str, Any]:
        """Return a transcript whole. Raises NotFound."""
        who = await self._allowed(Role.READ)
        raw = await self._lists.transcript(public_id, version)
        await self._noted(who, READ, [public_id])
        return await self._shown(bytes(raw))

    async def call(self, public_id: str) -> dict[str, Any]:
        """Return a call with what routes its transcripts. Raises NotFound."""
        who = await self._allowed(Role.READ)
        call = await self._lists.call(public_id)
        await self._noted(who, READ, [public_id])
        return {**await self._shown(msgspec.json.encode(call)), "transcripts": call["transcripts"]}

    async def export(self, public_id: str, form: str) -> str:
        """Return a transcript, or a call as vCon, in a form. Raises NotFound; UsageError for what cannot be masked."""
        who = await self._allowed(Role.READ)
        if self._redact is not None:
            made = await self._masked_export(public_id, form)
        elif public_id.startswith(CALL):
            made = (await self._exporter.call(public_id)).data.decode()
        else:
            made = (await self._exporter.one(public_id, form)).data.decode()
        await self._noted(who, READ, [public_id])
        return made

    async def job(self, public_id: str) -> dict[str, Any]:
        """Return one job. Raises NotFound."""
        await self._allowed(Role.READ)
        return await self._shown(msgspec.json.encode(await JobLists(self._store).job(public_id)))

    async def jobs(self, asked: dict[str, str | None], limit: int) -> dict[str, Any]:
        """Return jobs, newest first. Raises UsageError."""
        await self._allowed(Role.READ)
        given = {name: value for name, value in asked.items() if value is not None}
        page = await JobLists(self._store).jobs({**given, "limit": str(max(1, min(MOST, limit)))})
        return {"items": [await self._shown(msgspec.json.encode(one)) for one in page.items], "next": page.next}

    async def replay(self, public_id: str) -> dict[str, Any]:
        """Deliver one delivery again. Raises UsageError where that is not allowed."""
        who = await self._allowed(Role.OPERATE)
        if self._replay is None:
            raise UsageError("nothing may be changed here: start it with --allow-write")
        changed = await self._replay.replay_deliveries([public_id])
        await self._noted(who, "deliveries.replay", [public_id])
        return msgspec.structs.asdict(changed)

    async def _allowed(self, needed: Role) -> Who:
        who = await self._asks()
        if not who.role.allows(needed):
            raise UsageError(f"this needs the role {needed}, and {who.name} has {who.role}")
        return who

    async def _noted(self, who: Who, what: str, things: Iterable[str]) -> None:
        await Trail(self._store).write([Entry(who=who.name, via=_VIA, what=what, thing=thing) for thing in things])

    async def _segment(self, segment: dict[str, Any]) -> dict[str, Any]:
        """Return a segment that was found, masked; where the words are in it is then not known any more."""
        if self._redact is None:
            return segment
        shown = await self._shown(msgspec.json.encode({**segment, "marks": []}))
        return {**shown, **{name: segment[name] for name in _ROUTES}}

    async def _masked_export(self, public_id: str, form: str) -> str:
        write = known(form).write
        if public_id.startswith(CALL) or (write is None and form != "json"):
            raise UsageError(f"{form}: it holds the provider's own callback, which is not masked; take json or txt")
        masked = await self._masked(bytes(await self._lists.transcript(public_id)))
        if write is None:
            return masked.decode()
        return FORMATS[form].head + write(msgspec.json.decode(masked, type=Transcript))

    async def _shown(self, data: bytes) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.json.decode(await self._masked(data))
        return shown

    async def _masked(self, data: bytes) -> bytes:
        if self._redact is None:
            return data
        redactor = Redactor(Rules(self._redact), Deadline(_SECONDS))
        return await asyncio.to_thread(redact_data, data, redactor)
