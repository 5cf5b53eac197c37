"""Drives a provider's generators: tokens, limits, repeats where they are safe, notes that outlive a crash."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TypeVar, cast

import httpx

from receiver.asking.body import Progress
from receiver.contract.api import Api
from receiver.contract.asking import Answer, Ask, Fetched, Limit, Note, Steps, Swept, Token, refused
from receiver.contract.errors import NoAccess, ProviderBusy, ProviderRefused, Unanswered
from receiver.contract.sink import retry_after

T = TypeVar("T")
Remember = Callable[[Note], Awaitable[None]]

_TRIES = 4
_FIRST_WAIT = 2.0
_LONGEST_WAIT = 300.0
"""Seconds; who is asked to wait longer comes back later by himself."""
_EARLY = 60.0
"""Seconds before its end after which a token is not used any more."""
_PENALTY = 30.0
"""Seconds to wait where a 429 does not say (RingCentral, guide/basics/rate-limits)."""
_MAYBE = frozenset({500, 502, 504})
"""Answers after which nobody knows whether the request had its effect."""


class Client(Protocol):
    """Sends one request."""

    async def send(
        self,
        ask: Ask,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        path: Path | None = None,
        progress: Progress | None = None,
    ) -> Answer: ...

    def streamed(
        self, ask: Ask, headers: tuple[tuple[str, str], ...]
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]: ...


class Buckets(Protocol):
    """Counts requests against limits, for all processes."""

    async def take(self, bucket: str, limit: Limit) -> float: ...
    async def freeze(self, bucket: str, seconds: float) -> None: ...


class Caller:
    """Asks one source's provider; all of a process share one, so that they share token and places."""

    def __init__(
        self,
        api: Api,
        client: Client,
        buckets: Buckets,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`now` is Unix time in seconds."""
        self.api = api
        self._client = client
        self._buckets = buckets
        self._now = now
        self._sleep = sleep
        self._token: tuple[Token, float] | None = None
        self._authorizing = asyncio.Lock()
        self._places = {name: asyncio.Semaphore(limit.parallel) for name, limit in api.limits.items() if limit.parallel}

    async def run(
        self,
        steps: Steps[T],
        *,
        path: Path | None = None,
        remember: Remember | None = None,
        progress: Progress | None = None,
    ) -> T:
        """Drive steps to their end and return their outcome; the recording is the file at `path`.

        Raises what the steps raise, and ProviderBusy, ProviderRefused, Unanswered or OSError.
        """
        answer: Answer | None = None
        try:
            while True:
                wanted = steps.send(answer)
                answer = await self._step(wanted, path, remember, progress)
        except StopIteration as ended:
            return cast("T", ended.value)
        finally:
            steps.close()

    async def sweep(self, steps: Swept) -> AsyncIterator[Fetched]:
        """Drive a sweep and yield what it finds, as it is found."""
        answer: Answer | None = None
        try:
            while True:
                wanted = steps.send(answer)
                answer = None
                if isinstance(wanted, Fetched):
                    yield wanted
                else:
                    answer = await self._step(wanted, None, None, None)
        except StopIteration:
            return
        finally:
            steps.close()

    @contextlib.asynccontextmanager
    async def streamed(self, ask: Ask, more: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[httpx.Response]:
        """Send a request with more headers, and give its answer before it is read: with fresh credentials once more
        after a 401.
        """
        async with AsyncExitStack() as stack:
            token = await self._current(None) if ask.authorized else Token(headers=())
            answer = await stack.enter_async_context(self._client.streamed(ask, (*token.headers, *more)))
            if answer.status_code == 401 and ask.authorized:
                fresh = await self._current(token)
                answer = await stack.enter_async_context(self._client.streamed(ask, (*fresh.headers, *more)))
            yield answer

    async def _step(
        self, wanted: Ask | Note, path: Path | None, remember: Remember | None, progress: Progress | None
    ) -> Answer | None:
        if isinstance(wanted, Ask):
            return await self._ask(wanted, path, progress)
        if remember is not None:
            await remember(wanted)
        return None

    async def _ask(self, ask: Ask, path: Path | None, progress: Progress | None) -> Answer:
        """Send a request until its answer is one that counts."""
        wait = _FIRST_WAIT
        for last in (*([False] * (_TRIES - 1)), True):
            try:
                answer = await self._authorized(ask, path, progress)
            except (ProviderBusy, Unanswered) as error:
                if last or (ask.creates and isinstance(error, Unanswered)):
                    raise
            else:
                asked_for = await self._asked_to_wait(ask, answer)
                if asked_for is None:
                    return _certain(ask, answer)
                if last or asked_for > _LONGEST_WAIT:
                    raise ProviderBusy(str(refused(answer, "the provider cannot do it now")), asked_for)
                wait = max(wait, asked_for)
            await self._sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        raise AssertionError  # pragma: no cover -- the last try returns or raises

    async def _asked_to_wait(self, ask: Ask, answer: Answer) -> float | None:
        """Return for how many seconds the provider wants to hear nothing; None where the answer counts."""
        if answer.status not in {429, 503}:
            return None if answer.status < 500 or ask.creates else _FIRST_WAIT
        seconds = retry_after(answer.headers, self._now())
        if seconds is None:
            seconds = self.api.wait_after(answer)
        if seconds is None:
            seconds = _PENALTY if answer.status == 429 else _FIRST_WAIT
        if answer.status == 429 and ask.bucket:
            await self._buckets.freeze(ask.bucket, seconds)
        return seconds

    async def _authorized(self, ask: Ask, path: Path | None, progress: Progress | None) -> Answer:
        if not ask.authorized:
            return await self._place(ask, (), path, progress)
        token = await self._current(None)
        answer = await self._place(ask, token.headers, path, progress)
        if answer.status != 401:
            return answer
        fresh = await self._current(token)
        return await self._place(ask, fresh.headers, path, progress)

    async def _current(self, spent: Token | None) -> Token:
        """Return a token that is good: the one at hand, unless it runs out or is the `spent` one."""
        async with self._authorizing:
            if self._token is not None:
                token, until = self._token
                if token is not spent and self._now() < until:
                    return token
            try:
                token = await self.run(self.api.authorize())
            except Unanswered as error:
                raise ProviderBusy(str(error)) from None  # what needs the token was not sent
            except ProviderRefused as error:
                raise NoAccess(str(error)) from None
            lasts = float("inf") if token.expires_in is None else max(0.0, token.expires_in - _EARLY)
            self._token = (token, self._now() + lasts)
            return token

    async def _place(
        self, ask: Ask, headers: tuple[tuple[str, str], ...], path: Path | None, progress: Progress | None
    ) -> Answer:
        """Send once, when the limits let it."""
        async with AsyncExitStack() as stack:
            if ask.bucket is not None:
                if ask.bucket in self._places:
                    await stack.enter_async_context(self._places[ask.bucket])
                while wait := await self._buckets.take(ask.bucket, self.api.limits[ask.bucket]):
                    await self._sleep(wait)
            return await self._client.send(ask, headers, path=path, progress=progress)


def _certain(ask: Ask, answer: Answer) -> Answer:
    """Return an answer that says what became of the request. Raises Unanswered."""
    if ask.creates and answer.status in _MAYBE:
        raise Unanswered(str(refused(answer, "the provider failed while it was at it")))
    return answer
