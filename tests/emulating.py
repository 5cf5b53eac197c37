"""A provider to test against, as a small ASGI app that calls back, served on this machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
from starlette.types import ASGIApp

from receiver.testing.emulators.serving import serving


class Emulator:
    """Base: what is called back, and how. Subclasses return their app and post to the addresses that they were given."""

    def __init__(self) -> None:
        self.url = ""
        """Where it is served."""
        self.answers: list[int] = []
        """What its callbacks were answered."""
        self._posts: set[asyncio.Task[None]] = set()

    def app(self) -> ASGIApp:
        """Return the provider's API."""
        raise NotImplementedError

    def post(self, url: str, body: bytes, headers: dict[str, str] | None = None, after: float = 0.0) -> None:
        """Call back, beside the request at hand."""
        task = asyncio.get_running_loop().create_task(self._post(url, body, headers or {}, after))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def posted(self) -> None:
        """Wait until every callback was answered."""
        while self._posts:
            await asyncio.wait(set(self._posts))

    async def _post(self, url: str, body: bytes, headers: dict[str, str], after: float) -> None:
        await asyncio.sleep(after)
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(url, content=body, headers={"Content-Type": "application/json", **headers})
        self.answers.append(answer.status_code)


@contextlib.asynccontextmanager
async def emulated(emulator: Emulator, port: int = 0) -> AsyncIterator[str]:
    """Serve a provider as long as the block runs; yield its address. Callbacks that were begun are awaited."""
    async with serving(emulator.app(), port) as emulator.url:
        yield emulator.url
        await emulator.posted()
