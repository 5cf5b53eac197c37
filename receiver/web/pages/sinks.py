"""Sinks: one with its health, its backlog and its newest deliveries; paused and resumed."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.pipeline.operating.replay import Replay
from receiver.store.lists import Lists, named
from receiver.web.pages.frame import Frame, back

_NEWEST = "20"


class Sinks:
    """The pages below /sinks."""

    def __init__(self, frame: Frame, lists: Lists, replay: Replay, kinds: Mapping[str, str]) -> None:
        """`kinds` are the configured sinks: name and kind."""
        self._frame = frame
        self._lists = lists
        self._replay = replay
        self._kinds = kinds

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._frame.get("/sinks/{name}", self.one),
            self._frame.post("/sinks/{name}/pause", self.pause),
            self._frame.post("/sinks/{name}/resume", self.resume),
        ]

    async def one(self, request: Request) -> Response:
        """Show one sink."""
        sink = named(await self._lists.sinks(self._kinds), request.path_params["name"], "sink")
        newest = await self._lists.deliveries({"sink": sink["name"], "limit": _NEWEST})
        return self._frame.page(request, "sink.html", sink=sink, newest=newest.items)

    async def pause(self, request: Request) -> Response:
        """Let a sink's deliveries wait."""
        await self._frame.form(request)
        name = request.path_params["name"]
        await self._replay.pause(name)
        return back(request, f"/sinks/{name}", "paused")

    async def resume(self, request: Request) -> Response:
        """Send to a sink again."""
        await self._frame.form(request)
        name = request.path_params["name"]
        await self._replay.resume(name)
        return back(request, f"/sinks/{name}", "resumed")
