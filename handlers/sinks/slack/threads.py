"""A bot's messages: one thread a call, whatever comes later as replies, and a long transcript as a file in it.

What was posted is written down before anything else is done, so that a try after a failure goes on where the last one
ended. A crash between Slack's answer and that note posts a message twice, and loses none.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from handlers.sinks.slack.api import NO_FILE, NO_THREAD, Api, Said
from handlers.sinks.slack.message import message, transcript
from receiver.contract.model import Event
from receiver.contract.sink import Delivered, Rejected, SendOutcome, SinkMemory, TryLater

_Failed = TryLater | Rejected


class Threads:
    """Posts events into the threads of their calls."""

    def __init__(
        self,
        api: Api,
        memory: SinkMemory,
        channel: str,
        *,
        links: str | None,
        include_text: bool,
        now: Callable[[], float],
    ) -> None:
        """`links` is `admin_url`; `now` is Unix time in seconds."""
        self._api = api
        self._memory = memory
        self._channel = channel
        self._links = links
        self._include_text = include_text
        self._now = now
        self._turn = asyncio.Lock()

    async def post(self, event: Event) -> SendOutcome:
        """Post an event; one at a time, so that two results of a new call do not begin two threads."""
        async with self._turn:
            whole = transcript(event) if self._include_text else None
            place = await self._placed(event) if whole else None
            if place is None:
                said = await self._message(event, attached=whole is not None)
                if isinstance(said, _Failed):
                    return said
                place = said
                if whole:
                    await self._memory.put(f"posted:{event.id}", " ".join(place))
            return await self._file(event, whole, place) if whole else Delivered(detail=f"ts {place[2]}")

    async def _placed(self, event: Event) -> tuple[str, str, str] | None:
        """Return channel, thread and time of a message whose file did not arrive with it."""
        kept = await self._memory.get(f"posted:{event.id}")
        parts = kept.split(" ") if kept else []
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None

    async def _message(self, event: Event, *, attached: bool) -> tuple[str, str, str] | _Failed:
        """Post the message; return the channel's id, the thread's time and the message's own."""
        key = f"thread:{self._channel}:{event.call_id}"
        thread = await self._memory.get(key) if event.call_id else None
        content = message(event, links=self._links, include_text=self._include_text, attached=attached)
        said = await self._said(content, thread)
        if isinstance(said, Said) and said.error in NO_THREAD and thread:
            thread, said = None, await self._said(content, None)
        if not isinstance(said, Said):
            return said
        channel, ts = said.found.get("channel"), said.found.get("ts")
        if said.error or not isinstance(channel, str) or not isinstance(ts, str):
            return TryLater(reason=f"Slack answered {said.error or 'ok without channel and ts'} to chat.postMessage")
        if event.call_id and thread is None:
            await self._memory.put(key, ts)
        return channel, thread or ts, ts

    async def _said(self, content: dict[str, Any], thread: str | None) -> Said | _Failed:
        arguments = {"channel": self._channel, **content, **({"thread_ts": thread} if thread else {})}
        return await self._api.call("chat.postMessage", arguments, self._now())

    async def _file(self, event: Event, whole: str, place: tuple[str, str, str]) -> SendOutcome:
        """Put what was said into the thread as a file."""
        channel, thread, ts = place
        body = whole.encode("utf-8", "replace")
        asked = {"filename": f"{event.subject}.txt", "length": str(len(body))}
        given = await self._api.call_form("files.getUploadURLExternal", asked, self._now())
        if isinstance(given, Said) and not given.error:
            url, number = given.found.get("upload_url"), given.found.get("file_id")
            if not isinstance(url, str) or not isinstance(number, str):
                return TryLater(reason="Slack gave no address for the file")
            if (failed := await self._api.upload(url, body, self._now())) is not None:
                return failed
            finish = {"files": [{"id": number, "title": "What was said"}], "channel_id": channel, "thread_ts": thread}
            given = await self._api.call("files.completeUploadExternal", finish, self._now())
        if not isinstance(given, Said):
            return given
        if given.error in NO_FILE:
            return Delivered(detail=f"ts {ts}, without the file: {given.error}")
        if given.error:
            return TryLater(reason=f"Slack answered {given.error} to the file")
        return Delivered(detail=f"ts {ts}, with a file")
