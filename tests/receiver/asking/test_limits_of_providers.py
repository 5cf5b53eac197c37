"""Five hundred recordings keep every documented limit, as the provider's side counts; time is that of the test."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asking_fakes import Asked, asked, submission
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.contract.asking import Steps
from receiver.registry import discover
from receiver.testing.emulators.callcov import CallCovEmulator
from receiver.testing.emulators.callcov_switches import Switches as CallCovSwitches
from receiver.testing.emulators.callmissed import CallMissedEmulator
from receiver.testing.emulators.ringcentral import CLIENT, RingCentralEmulator, Switches
from receiver.testing.fixtures import settings_of
from receiver.testing.store import Clock

FILES = 500
_MINUTE = 60.0


class Measured:
    """An ASGI app in front of a provider that writes down when which request came."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app, self._clock = app, clock
        self.came: list[tuple[float, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.came.append((self._clock(), f"{scope['method']} {scope['path']}"))
        await self._app(scope, receive, send)

    def most(self, *parts: str) -> int:
        """Return how many requests with such parts came in the fullest minute."""
        times = [when for when, what in self.came if any(part in what for part in parts)]
        return max(sum(start <= one < start + _MINUTE for one in times) for start in times)


@contextlib.asynccontextmanager
async def measured(
    folder: Path, provider: str, make: Callable[[Clock], Any], **settings: Any
) -> AsyncIterator[tuple[Any, Measured, Asked]]:
    """Run an emulator on the clock of the caller that asks it."""
    clock = Clock()
    made = make(clock)
    counts = Measured(made.app, clock)
    kind = discover().provider(provider)
    urls = ("api_url", "media_url") if provider == "ringcentral" else ("api_url",)

    def api(base: str) -> Any:
        table = {"provider": provider, **dict.fromkeys(urls, base), **settings}
        return kind("source", settings_of(kind, table)).api()

    async with asked(folder, counts, api, clock) as site:
        yield made, counts, site
        await made.callbacks.settled()


async def done(site: Asked, steps: Steps[Any]) -> Any:
    """Drive steps to their end."""
    return await site.caller.run(steps, path=site.path)


@pytest.mark.parametrize("per_minute", [5, 30])
async def test_callcov(tmp_path: Path, per_minute: int) -> None:
    """Submissions by plan, and a hundred requests a minute of every kind."""

    def make(clock: Clock) -> Any:
        return CallCovEmulator(CallCovSwitches(submissions_per_minute=per_minute), now=clock)

    settings = {"api_key": "sk_test_emulator", "token": ["hook-token-0123"], "submissions_per_minute": per_minute}
    async with measured(tmp_path, "callcov", make, **settings) as (made, counts, site):
        wanted = submission(operation="call-analysis", options={"agent": "a", "contact": "c"})
        jobs = [await done(site, site.api.submit(wanted, {})) for _ in range(FILES)]
        for job in jobs[:150]:
            await done(site, site.api.poll(job.job_id, "call-analysis"))
        assert (len(made.analyses), made.refused) == (FILES, 0)
        assert counts.most("POST /api") == per_minute
        assert counts.most("/api") <= 100


async def test_ringcentral(tmp_path: Path) -> None:
    """Ten Heavy requests a minute, submissions and questions together; forty Medium ones, fifty Light ones, five tokens."""
    name, secret, jwt = CLIENT
    access = {
        "client_id": name,
        "client_secret": secret,
        "jwt": jwt,
        "token": ["hook-token-0123"],
        "ace_domains": ["pbx"],
    }

    def make(clock: Clock) -> Any:
        return RingCentralEmulator(Switches(webhook="optional", pages=100), now=clock)

    async with measured(tmp_path, "ringcentral", make, **access) as (made, counts, site):
        wanted = submission(operation="punctuation", options={"texts": ["good morning"]})
        jobs = [await done(site, site.api.submit(wanted, {})) for _ in range(FILES)]
        for job in jobs[:30]:
            await done(site, site.api.poll(job.job_id, "punctuation"))
        for _ in range(100):
            await done(site, site.api.subscriptions())
        for number in range(60):
            made.record(f"r{number}", b"RIFF", at=site.clock())
            made.insights[f"r{number}"] = {"sourceRecordId": f"r{number}"}
        assert len([one async for one in site.caller.sweep(site.api.sweep(site.clock() - 60))]) == 60
        for _ in range(12):
            await done(site, site.api.missing_scopes())
        assert (len(made.jobs), made.refused) == (FILES, 0)
        heavy = ("/ai/text", "/ai/status", "/call-log", "/recording/")
        assert counts.most(*heavy) == 10
        assert counts.most("/subscription") == 40
        assert counts.most("/insights") == 50
        assert counts.most("/oauth/token") == 5


async def test_callmissed(tmp_path: Path) -> None:
    """Sixty requests a minute of every kind."""

    def make(clock: Clock) -> Any:
        return CallMissedEmulator(now=clock)

    async with measured(tmp_path, "callmissed", make, api_key="cm_live_emulator") as (made, counts, site):
        wanted = submission(operation="call-analysis")
        for _ in range(FILES):
            await done(site, site.api.submit(wanted, {}))
        for _ in range(50):
            await done(site, site.api.ask("Good morning.", "Who?"))
        assert (len(made.analysed), made.refused) == (FILES, 0)
        assert counts.most("/api") == 60
