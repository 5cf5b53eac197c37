"""A provider's API asked through the real driver: its emulator on a port, our callback address on another, no waiting."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from kept import kept_in
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from receiver.asking.caller import Caller
from receiver.asking.callers import StoredBuckets
from receiver.asking.client import ProviderClient
from receiver.contract.api import Api
from receiver.contract.asking import Answer, Ask, Fetched, Note, Recording, Steps, Submission, Swept
from receiver.contract.model import InboundRequest
from receiver.testing.emulators.serving import serving
from receiver.testing.store import Clock

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(range(256)) * 40


class Asked(msgspec.Struct, kw_only=True):
    """A caller of an API, its clock, and what was called back."""

    caller: Caller
    clock: Clock
    base: str
    hooks: str
    """Where callbacks go."""
    path: Path
    """A recording."""
    came: list[InboundRequest]
    sleeps: list[float]

    @property
    def api(self) -> Api:
        return self.caller.api


@contextlib.asynccontextmanager
async def asked(
    folder: Path, app: ASGIApp, api: Callable[[str], Api | None], clock: Clock | None = None
) -> AsyncIterator[Asked]:
    """Serve an app, and ask it through the API that `api` makes for its address."""
    clock = clock or Clock()
    came: list[InboundRequest] = []
    sleeps: list[float] = []

    async def hook(request: Request) -> Response:
        headers = tuple(request.headers.raw)
        token, body = request.path_params["token"], await request.body()
        came.append(InboundRequest(source="source", token=token, headers=headers, body=body, received_at=0))
        return Response(status_code=200)

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        clock.ms += int(seconds * 1000) + 1

    path = folder / "call.wav"
    path.write_bytes(WAV)
    listener = Starlette(routes=[Route("/hooks/source/{token}", hook, methods=["POST"])])
    async with (
        serving(app) as base,
        serving(listener) as ours,
        kept_in(folder / "store.db", clock) as store,
        ProviderClient(private=True) as client,
    ):
        made = api(base)
        assert made is not None
        caller = Caller(made, client, StoredBuckets(store, "source"), now=clock, sleep=sleep)
        hooks = f"{ours}/hooks/source/a-token-of-this-test"
        yield Asked(caller=caller, clock=clock, base=base, hooks=hooks, path=path, came=came, sleeps=sleeps)


def submission(**changes: Any) -> Submission:
    """Make a submission of a WAV file; `recording` holds changes of its own."""
    recording: dict[str, Any] = {"name": "call.wav", "size": len(WAV), "sha256": "00" * 32, "content_type": "audio/wav"}
    recording |= changes.pop("recording", {})
    whole = {"operation": "transcription", "callback_url": None, "serial": "job1", **changes}
    return Submission(recording=Recording(**recording), **whole)


def played(steps: Steps[Any] | Swept, *answers: Answer) -> tuple[list[Ask | Note | Fetched], Any]:
    """Drive steps with recorded answers; return what was asked and noted, and the outcome."""
    rest, seen, answer = list(answers), [], None
    try:
        while True:
            wanted = steps.send(answer)
            seen.append(wanted)
            answer = rest.pop(0) if isinstance(wanted, Ask) else None
    except StopIteration as ended:
        assert not rest, "answers were left over"
        return seen, ended.value


def answered(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Make an answer; anything but bytes becomes JSON."""
    return Answer(
        status=status, headers=headers or {}, body=body if isinstance(body, bytes) else msgspec.json.encode(body)
    )
