"""Tokens of jobs: known for sources that can be asked, never in the way of others."""

from pathlib import Path
from typing import Any

from kept import kept_in
from studio import KEY, Studio, StudioSettings

from receiver.contract.model import LATE_HEADER, InboundRequest, JobToken, TokenDigest
from receiver.contract.proof import Tokens, digest
from receiver.contract.settings import Secret
from receiver.pipeline.tokens import JobTokens
from receiver.store.ids import JOB, encode
from receiver.store.jobs import JobDoc, Jobs, JobState, NewJob, drop_jobs
from receiver.testing.store import Clock

CONFIGURED = "studio-token-0123456789"
MADE = "made-token-0123456789"


class Broken(Studio):
    """A plugin whose code fails."""

    def api(self) -> None:
        raise RuntimeError("words")


def settings(**more: Any) -> StudioSettings:
    """Return the settings of a source that can be asked."""
    asked = {"api": "https://studio.example.com", "key": Secret(KEY), **more}
    return StudioSettings(provider="studio", token=(Secret(CONFIGURED),), **asked)


def request(token: str | TokenDigest | None, source: str = "studio") -> InboundRequest:
    """Return a callback."""
    return InboundRequest(source=source, token=token, headers=(), body=b"{}", received_at=0)


def a_job(number: int) -> NewJob:
    """Return a job whose callbacks come by `MADE`."""
    return NewJob(
        id=number,
        source="studio",
        provider="studio",
        operation="transcription",
        state=JobState.SUBMITTING,
        owner=1,
        doc=JobDoc(),
        token=digest(MADE.encode()),
    )


async def test_only_tokens_that_may_be_a_jobs_are_looked_up(tmp_path: Path) -> None:
    """Not the configured ones, not where there is none, not of sources that are not asked or whose code fails."""
    async with kept_in(tmp_path / "store.db", Clock()) as store:
        sources = {
            "studio": Studio("studio", settings()),
            "quiet": Studio("quiet", settings(key=None)),
            "broken": Broken("broken", settings()),
        }
        tokens = JobTokens(Jobs(store), sources)
        assert tokens.may_know(request(MADE))
        assert tokens.may_know(request(TokenDigest.of(MADE)))
        assert not any(
            tokens.may_know(one)
            for one in (
                request(CONFIGURED),
                request(None),
                *(request(MADE, name) for name in ("quiet", "broken", "no")),
            )
        )


async def test_the_token_of_a_job_that_is_gone_is_still_ours(tmp_path: Path) -> None:
    """Late, so that what comes by it must be confirmed; never an unknown address."""
    async with kept_in(tmp_path / "store.db", Clock()) as store:
        jobs = Jobs(store)
        job = a_job(store.ids.next())
        await jobs.add(job)
        async with store.engine.transaction() as tx:
            await drop_jobs(tx, [job.id])
        tokens = JobTokens(jobs, {"studio": Studio("studio", settings()), "other": Studio("other", settings())})
        found = await tokens.looked_up(request(MADE))
        assert found.token == JobToken(encode(JOB, job.id), late=True)
        assert (LATE_HEADER, b"gone") in found.headers
        elsewhere = request(MADE, "other")
        assert await tokens.looked_up(elsewhere) is elsewhere


async def test_a_jobs_token_is_known_as_text_and_as_digest(tmp_path: Path) -> None:
    """And one of another source is not; what it stands for passes for a token of the source."""
    async with kept_in(tmp_path / "store.db", Clock()) as store:
        jobs = Jobs(store)
        job = a_job(store.ids.next())
        await jobs.add(job)
        tokens = JobTokens(jobs, {"studio": Studio("studio", settings()), "other": Studio("other", settings())})
        for token in (MADE, TokenDigest.of(MADE)):
            found = await tokens.looked_up(request(token))
            assert found.token == JobToken(encode(JOB, job.id))
            assert Tokens([Secret(CONFIGURED)]).refusal(found.token) is None
        for stays in (request(MADE, "other"), request("unknown-token-0123456789"), request(CONFIGURED)):
            assert await tokens.looked_up(stays) is stays
