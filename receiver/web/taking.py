"""Taking what is kept along: exports by the end of the URL."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from receiver.contract.errors import UsageError
from receiver.export.formats import FORMATS, Format, known
from receiver.exporting import Exported, Exporter, LeftOut
from receiver.store.lists import TRANSCRIPTS
from receiver.store.search import TRANSCRIPTS as SAID
from receiver.web.audited import seen
from receiver.web.endpoint import VERSION, Endpoint
from receiver.web.reading import given, read_version

_SEVERAL = [one.name for one in FORMATS.values() if one.after is not None]
"""Forms of which a file holds several transcripts."""
_LINES = "application/jsonl"
"""What several JSON documents are, a line each."""
_FILTERS = {
    name: schema
    for name, schema in {**TRANSCRIPTS.parameters(), **SAID.parameters()}.items()
    if name not in ("limit", "cursor")
}


class Taking:
    """The endpoints that give transcripts and calls in other people's forms."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def endpoints(self) -> list[Endpoint]:
        """Return what there is; these routes come before those with a whole `{id}`."""
        media = tuple(dict.fromkeys(one.media_type.partition(";")[0] for one in FORMATS.values()))
        return [
            Endpoint(
                path="/api/v1/transcripts/{id}.{form}",
                run=self.transcript,
                about="A transcript in another form, the newest version of it or an earlier one.",
                answer=None,
                shows=True,
                media=media,
                query=VERSION,
                segments={"form": {"type": "string", "enum": [*FORMATS]}},
            ),
            Endpoint(
                path="/api/v1/transcripts.{form}",
                run=self.all,
                about="All transcripts that a filter finds, newest first, in one stream.",
                answer=None,
                shows=True,
                media=tuple(dict.fromkeys(_type(FORMATS[name]).partition(";")[0] for name in _SEVERAL)),
                query=_FILTERS,
                segments={"form": {"type": "string", "enum": _SEVERAL}},
            ),
            Endpoint(
                path="/api/v1/calls/{id}.vcon",
                run=self.call,
                about="Everything said about a call as one vCon.",
                answer=None,
                shows=True,
                media=(FORMATS["vcon"].media_type,),
            ),
        ]

    async def transcript(self, request: Request) -> Response:
        """Answer with a transcript in a form, of the version asked for."""
        version = read_version(given(request, "version"))
        path = request.path_params
        return _file(await self._exporter.one(path["id"], path["form"], version))

    async def all(self, request: Request) -> Response:
        """Answer with all transcripts that a filter finds, as they are read; those without such a form are left out."""
        form = known(request.path_params["form"])
        if form.after is None:
            raise UsageError(f"a {form.name} file holds one transcript: name its id, or take {', '.join(_SEVERAL)}")
        found = self._exporter.many(given(request), form.name)
        first = await anext(found, None)  # what is wrong with a filter is told before anything is sent
        headers = {"content-disposition": f'attachment; filename="transcripts.{form.name}"'}
        return StreamingResponse(_pieces(request, form, first, found), headers=headers, media_type=_type(form))

    async def call(self, request: Request) -> Response:
        """Answer with everything said about a call as one vCon."""
        return _file(await self._exporter.call(request.path_params["id"]))


def _type(form: Format) -> str:
    """Return the media type of several in a form."""
    return _LINES if form.name in ("json", "vcon") else form.media_type


async def _pieces(
    request: Request, form: Format, first: Exported | LeftOut | None, rest: AsyncIterator[Exported | LeftOut]
) -> AsyncIterator[bytes]:
    yield form.head.encode()
    one = first
    while one is not None:
        if isinstance(one, Exported):
            seen(request, [one.id])
            yield one.data + (form.after or "").encode()
        one = await anext(rest, None)


def _file(made: Exported) -> Response:
    headers = {"content-disposition": f'attachment; filename="{made.filename}"'}
    return Response(made.data, headers=headers, media_type=made.format.media_type)
