"""Drives a provider's generators against its emulator: a real client, a store for the limits, a clock that waits at once."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from kept import kept_in
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.asking.caller import Caller
from receiver.asking.callers import StoredBuckets
from receiver.asking.client import ProviderClient
from receiver.contract.asking import Fetched, Note, Recording, Steps, Submission
from receiver.contract.model import InboundRequest, Outcome, Verdict
from receiver.contract.proof import Proven
from receiver.contract.provider import Provider
from receiver.testing.emulators.serving import serving
from receiver.testing.fixtures import receipt_of, settings_of
from receiver.testing.store import Clock


class Called(msgspec.Struct, kw_only=True):
    """A provider with credentials, how it is asked, and what was waited and noted."""

    provider: Provider[Any]
    api: Any
    caller: Caller
    clock: Clock
    sleeps: list[float]
    notes: list[Note] = []

    async def run(self, steps: Steps[Any], path: Path | None = None) -> Any:
        """Drive steps to their end."""
        return await self.caller.run(steps, path=path, remember=self._remember)

    async def _remember(self, note: Note) -> None:
        self.notes.append(msgspec.json.decode(msgspec.json.encode(note), type=Note))

    async def swept(self, since: float = 0) -> list[Fetched]:
        """Return what a sweep finds."""
        return [found async for found in self.caller.sweep(self.api.sweep(since))]

    def outcomes(self, fetched: Fetched) -> tuple[Outcome, ...]:
        """Return what an answer becomes."""
        return self.provider.normalize(receipt_of(self.proven(fetched), self.provider.name))

    def proven(self, fetched: Fetched) -> Proven:
        """Return an answer as the engine takes it in."""
        request = InboundRequest(source="source", token=None, headers=fetched.headers, body=fetched.body, received_at=0)
        return Proven(request=request, verdict=Verdict.FETCHED)


@contextlib.asynccontextmanager
async def called(
    provider: type[Provider[Any]], folder: Path, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Called]:
    """Make a provider with an API and everything that drives it."""
    clock, sleeps = clock or Clock(), list[float]()

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        clock.ms += int(seconds * 1000) + 1

    ours = provider("source", settings_of(provider, settings))
    api = ours.api()
    assert api is not None
    async with kept_in(folder / "limits.db", clock) as store, ProviderClient(private=True) as client:
        caller = Caller(api, client, StoredBuckets(store, "source"), now=clock, sleep=sleep)
        yield Called(provider=ours, api=api, caller=caller, clock=clock, sleeps=sleeps)


def submission(path: Path, operation: str, content_type: str = "audio/wav", **changes: Any) -> Submission:
    """Return a file as it is submitted."""
    content = path.read_bytes()
    recording = Recording(
        name=path.name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), content_type=content_type
    )
    whole = {"recording": recording, "operation": operation, "callback_url": None, "serial": "00job1", **changes}
    return Submission(**whole)


@contextlib.asynccontextmanager
async def hooks() -> AsyncIterator[tuple[str, list[InboundRequest]]]:
    """Take callbacks: yield the address, which ends in the token `hook-token`, and what came."""
    came: list[InboundRequest] = []

    async def take(request: Request) -> Response:
        headers = tuple(request.headers.raw)
        token, body = request.path_params["token"], await request.body()
        came.append(InboundRequest(source="source", token=token, headers=headers, body=body, received_at=0))
        return Response(status_code=200)

    async with serving(Starlette(routes=[Route("/hooks/source/{token}", take, methods=["POST"])])) as base:
        yield f"{base}/hooks/source/hook-token", came
