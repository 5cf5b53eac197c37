"""What emulators have in common: callbacks that are late, lost, sent twice or again; limits in a sliding window."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx
import msgspec


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """How callbacks go out: what no provider promises, and each does at times."""

    lost: bool = False
    """Never sent."""
    early: bool = False
    """Before the request that submits is answered."""
    late: float = 0.0
    """Seconds after the result is there."""
    copies: int = 1
    """How often each is sent although the first was answered."""
    retries: int = 0
    """How often it is sent again where it was not answered with 2xx."""
    pause: float = 0.05
    """Seconds between two tries."""


class Callbacks:
    """Sends callbacks in the background; `settled` waits for them."""

    def __init__(self, how: Sending) -> None:
        self._how = how
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers: list[int] = []
        """Statuses, in the order in which they came; 0 where nobody answered."""

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def done(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a submission leads to: in the background, or at once where callbacks are early."""
        if self._how.early:
            await work
        else:
            self.begin(work)

    async def settled(self) -> None:
        """Wait until nothing is under way. Raises what the work raised."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send one callback as the settings say."""
        if self._how.lost:
            return
        await asyncio.sleep(self._how.late)
        for _ in range(self._how.copies):
            await self._until_taken(url, headers, body)

    async def _until_taken(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        for left in range(self._how.retries, -1, -1):
            status = await posted(url, headers, body)
            self.answers.append(status)
            if 200 <= status < 300 or not left:
                return
            await asyncio.sleep(self._how.pause)


async def posted(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Post once, within the 30 s that providers give; return the status, 0 where there is no answer."""
    try:
        async with httpx.AsyncClient(timeout=30.0) as client:
            return (await client.post(url, content=body, headers=dict(headers))).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return 0


class Window:
    """So many in each stretch of seconds, which slides."""

    def __init__(self, count: int, seconds: float, now: Callable[[], float]) -> None:
        self._count = count
        self._seconds = seconds
        self._now = now
        self._taken: deque[float] = deque()
        self.refused = 0

    def wait(self) -> float:
        """Take a place and return 0, or return the seconds until there is one."""
        now = self._now()
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        if len(self._taken) < self._count:
            self._taken.append(now)
            return 0.0
        self.refused += 1
        return self._taken[0] + self._seconds - now
