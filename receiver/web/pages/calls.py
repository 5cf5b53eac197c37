"""Calls: the list, and one call with everything that was said about it."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.contract.model import Transcript
from receiver.store.job_lists import JobLists
from receiver.store.lists import Lists
from receiver.web.audited import seen
from receiver.web.pages.conversation import conversation
from receiver.web.pages.frame import Frame, asked_for
from receiver.web.pages.transcripts import recording_of

_WHOLE = 20
"""Results of a call that are shown whole; more are linked to."""
_FACTS = ("external_id", "started_at", "direction", "from", "to", "agent_id", "contact_id", "recording_id")
_decode = msgspec.json.Decoder(Transcript).decode


class Calls:
    """The pages below /calls."""

    def __init__(self, frame: Frame, lists: Lists, jobs: JobLists) -> None:
        self._frame = frame
        self._lists = lists
        self._jobs = jobs

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [self._frame.get("/calls", self.list), self._frame.get("/calls/{id}", self.one)]

    async def list(self, request: Request) -> Response:
        """Show calls, newest first."""
        page = await self._lists.calls(asked_for(request, "since", "until", "cursor"))
        calls = [{**dict.fromkeys(_FACTS), **one} for one in page.items]
        filters = asked_for(request, "since", "until")
        return self._frame.page(request, "calls.html", calls=calls, next=page.next, filters=filters)

    async def one(self, request: Request) -> Response:
        """Show one call: its facts, the conversation, and all its results together."""
        call = await self._lists.call(request.path_params["id"])
        routed = call["transcripts"]
        whole = [_decode(await self._lists.transcript(one["id"])) for one in routed[:_WHOLE]]
        seen(request, [call["id"], *(one["id"] for one in routed[:_WHOLE])])
        main = max(whole, key=_said, default=None)
        shown = conversation(main) if main is not None and main.segments else None
        events = await self._lists.events({"call": call["id"], "limit": "50"}, whole=False)
        return self._frame.page(
            request,
            "call.html",
            call=call,
            facts=[(name, call[name]) for name in _FACTS if call.get(name) is not None],
            results=[*zip(routed, whole, strict=False)],
            more=routed[_WHOLE:],
            shown=shown,
            recording=await recording_of(shown, self._jobs) if shown else None,
            events=events.items,
        )


def _said(transcript: Transcript) -> tuple[Any, ...]:
    """Say how much of a conversation a result holds: turns with times first."""
    timed = sum(one.start is not None for one in transcript.segments)
    return transcript.status == "completed", timed, len(transcript.segments)
