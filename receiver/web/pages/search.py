"""Search: where words were said, by whom and when, with the place in the recording."""

from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.contract.errors import UsageError
from receiver.store.lists import Lists
from receiver.web.audited import seen
from receiver.web.pages.frame import Frame, asked_for
from receiver.web.pages.inert import inert

FILTERS = (
    "speaker",
    "role",
    "source",
    "provider",
    "operation",
    "call",
    "status",
    "sentiment",
    "since",
    "until",
    "order",
)


class SearchPage:
    """The page /search."""

    def __init__(self, frame: Frame, lists: Lists) -> None:
        self._frame = frame
        self._lists = lists

    def routes(self) -> list[BaseRoute]:
        """Return the route."""
        return [self._frame.get("/search", self.search)]

    async def search(self, request: Request) -> Response:
        """Show where the words of `q` were said; wrong words are told, and the form stays."""
        given = asked_for(request, "q", *FILTERS, "cursor")
        found, wrong = None, None
        if "q" in given:
            try:
                found = await self._lists.search.segments(given)
                seen(request, [item["transcript_id"] for item in found.items])
            except UsageError as error:
                wrong = str(error)
        filters = {name: given[name] for name in ("q", *FILTERS) if name in given}
        hits = [(item, marked(item)) for item in found.items] if found else []
        return self._frame.page(
            request, "search.html", 400 if wrong else 200, found=found, hits=hits, wrong=wrong, filters=filters
        )


def marked(item: dict[str, Any]) -> Markup:
    """Return the snippet of a find as inert HTML, its words marked."""
    text, made, at = item["snippet"], Markup(), 0
    for start, end in item["marks"]:
        made += inert(text[at:start]) + Markup("<mark>{}</mark>").format(inert(text[start:end]))
        at = end
    return made + inert(text[at:])
