"""Recordings become jobs on disk before a provider can have them; what comes back finds them, whatever the order."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import msgspec
import pytest
from pipeline_fakes import until
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from studio_running import StudioWorld, studio_world

from receiver.contract.asking import Recording
from receiver.contract.errors import ProviderBusy, UsageError
from receiver.contract.model import Call
from receiver.pipeline.verify import admit
from receiver.store.jobs import JobRow, JobState, drop_jobs


async def became(one: StudioWorld, job: JobRow, state: JobState) -> JobRow:
    """Wait until a job is in a state."""
    found = job

    async def look() -> bool:
        nonlocal found
        found = await one.job(job.id)
        return found.state is state

    await eventually(look, f"{state}, it is {found.state}")
    return found


async def eventually(look: Callable[[], Awaitable[bool]], what: str) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(10):
        while not await look():
            await asyncio.sleep(0.01)


async def test_a_callback_before_the_answer_finds_its_job(tmp_path: Path, store_url: str) -> None:
    """The studio calls back first and answers late: the job is completed, and its answer changes nothing of that."""
    async with studio_world(tmp_path, store=store_url) as one:
        one.studio.hangs = asyncio.Event()
        made = await one.register(call=Call(external_id="C-7"), metadata={"team": "north"})
        sending = asyncio.create_task(one.run.asks.submit.send(made.job))
        done = await became(one, made.job, JobState.COMPLETED)
        one.studio.hangs.set()
        after = await sending
        assert (done.job_id, after.state, after.job_id) == ("j1", JobState.COMPLETED, "j1")
        assert one.events() == ["transcript.completed", "call.completed", "job.submitted"]


async def test_the_same_recording_is_not_submitted_twice(tmp_path: Path, store_url: str) -> None:
    """The job that there is comes back; another operation, or the operator's word, makes another."""
    async with studio_world(tmp_path, store=store_url) as one:
        job = await one.submit()
        again = await one.register("copy.wav")
        assert (again.known, again.job.id) == (True, job.id)
        assert not (await one.register(operation="summary")).known
        assert not (await one.register(again=True)).known
        assert len(one.studio.jobs) == 1


async def test_a_synchronous_answer_is_the_receipt(tmp_path: Path, store_url: str) -> None:
    """What the answer holds goes the way of a callback, with the verdict that we asked."""
    async with studio_world(tmp_path, store=store_url) as one:
        one.studio.calls_back = False
        one.studio.answers_at_once = True
        job = await became(one, await one.submit(), JobState.COMPLETED)
        assert one.sql("SELECT verdict FROM receipts") == [("fetched",)]
        assert job.result_at is not None


@pytest.mark.parametrize("first", ["callback", "poll"])
async def test_callback_and_poll_make_one_event_and_lose_nobody(tmp_path: Path, store_url: str, first: str) -> None:
    """The poll's body lacks the speakers: whichever comes first, the transcript has them at the end."""
    async with studio_world(tmp_path, store=store_url) as one:
        one.studio.calls_back = first == "callback"
        job = await one.submit()
        if first == "callback":
            await became(one, job, JobState.COMPLETED)
            assert await one.run.asks.reconcile.ask(await one.job(job.id))
        else:
            await one.run.asks.reconcile.ask(await one.job(job.id))
            await became(one, job, JobState.COMPLETED)
            one.studio.post(one.studio.jobs[0]["callback"], one.studio.body(one.studio.jobs[0]))
            await one.studio.posted()
        await until(lambda: one.sql("SELECT count(*) FROM receipts WHERE state = 'normalized'") == [(2,)])
        assert one.events("transcript.completed") == ["transcript.completed"]
        ((doc,),) = one.sql("SELECT doc FROM versions ORDER BY version DESC LIMIT 1")
        assert b'"speakers":["A","B"]' in doc


async def test_a_late_token_is_confirmed_and_an_unknown_one_is_not_found(tmp_path: Path, store_url: str) -> None:
    """After the job's end its token is still taken, and the studio itself is asked what is true."""
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        job = await became(one, await one.submit(), JobState.COMPLETED)
        url = one.studio.jobs[0]["callback"]
        async with httpx.AsyncClient(trust_env=False) as client:
            forged = await client.post(url, content=one.studio.body(one.studio.jobs[0], text="forged"))
            wrong = await client.post(url[:-4] + "zzzz", content=b"{}")
            broken = await client.post(url, content=b"{}", headers={"X-Seal": "broken"})
        assert (forged.status_code, wrong.status_code, broken.status_code) == (200, 404, 401)
        await until(lambda: one.sql("SELECT count(*) FROM receipts WHERE state <> 'normalized'") == [(0,)])
        assert {row[0] for row in one.sql("SELECT verdict FROM receipts")} == {"confirmed"}
        assert all(b"forged" not in row[0] for row in one.sql("SELECT doc FROM versions"))
        assert (await one.job(job.id)).state is JobState.COMPLETED


async def test_the_token_of_a_job_that_is_gone_is_confirmed(tmp_path: Path, store_url: str) -> None:
    """However long ago that was, the studio is asked what is true; its answer is a result of no job of ours."""
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        job = await became(one, await one.submit(), JobState.COMPLETED)
        made = one.studio.jobs[0]
        async with one.run.runtime.store.engine.transaction() as tx:
            await drop_jobs(tx, [job.id])
        async with httpx.AsyncClient(trust_env=False) as client:
            late = await client.post(made["callback"], content=one.studio.body(made, text="forged"))
        assert (late.status_code, late.json()["status"]) == (200, "accepted")
        await until(lambda: one.sql("SELECT count(*) FROM receipts WHERE state <> 'normalized'") == [(0,)])
        assert {row[0] for row in one.sql("SELECT verdict FROM receipts")} == {"confirmed"}
        assert all(b"forged" not in row[0] for row in one.sql("SELECT doc FROM versions"))


async def test_a_refused_callback_by_a_jobs_token_is_admitted_after_a_fix(tmp_path: Path, store_url: str) -> None:
    """Its seal was wrong: it is in the quarantine, by its token's digest, and that is known to be a job's."""
    async with studio_world(tmp_path, store=store_url) as one:
        one.studio.calls_back = False
        job = await one.submit()
        runtime = one.run.runtime
        body = one.studio.body(one.studio.jobs[0])
        one.studio.post(one.studio.jobs[0]["callback"], body, {"X-Seal": "broken"})
        await one.studio.posted()
        assert one.studio.answers == [401]
        await one.run.refusals.close()
        (row,) = await runtime.quarantine.newest(10)
        found = await runtime.quarantine.get(row.id)
        headers = tuple(pair for pair in found.request.headers if pair[0] != b"x-seal")
        mended = msgspec.structs.replace(found, request=msgspec.structs.replace(found.request, headers=headers))
        (admitted,) = await admit([mended], runtime.sources, runtime.store, runtime.quarantine)
        assert admitted.kept is not None
        assert one.run.worker is not None
        one.run.worker.wake()
        await became(one, job, JobState.COMPLETED)


async def test_a_lost_callback_is_a_delay(tmp_path: Path, store_url: str) -> None:
    """Nobody calls: the job is asked about when its time has come."""
    async with studio_world(tmp_path, store=store_url, poll_after=0.05) as one:
        one.studio.calls_back = False
        await became(one, await one.submit(), JobState.COMPLETED)
        assert one.studio.polls


async def test_a_job_without_result_is_overdue_then_lost_then_done_all_the_same(tmp_path: Path, store_url: str) -> None:
    """The studio stays at it: people are told, twice; what it says at last counts."""
    async with studio_world(tmp_path, store=store_url, poll_after=0.05, lost_after=2.0, confirms=True) as one:
        one.studio.calls_back = one.studio.done = False
        one.studio.seconds = 0.01
        job = await one.submit(call=Call(external_id="C-1"))
        await became(one, job, JobState.LOST)
        assert one.events() == ["job.submitted", "job.overdue", "job.lost", "call.completed"]
        one.studio.done = True
        one.studio.post(one.studio.jobs[0]["callback"], one.studio.body(one.studio.jobs[0]))
        await became(one, job, JobState.COMPLETED)


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (JSONResponse({"error": "too long"}, 422), JobState.FAILED, "422"),
        (JSONResponse({}, 403), JobState.FAILED, "403"),
        (RedirectResponse("https://elsewhere.example.com"), JobState.FAILED, "307"),
        (PlainTextResponse("thanks"), JobState.UNCERTAIN, "not JSON"),
        (PlainTextResponse("oops", 500), JobState.UNCERTAIN, "500"),
    ],
)
async def test_what_the_provider_says_decides(
    tmp_path: Path, store_url: str, answer: Response, state: JobState, said: str
) -> None:
    """A refusal is a failure that can be submitted again; what may have been taken is in doubt and cannot."""
    async with studio_world(tmp_path, store=store_url) as one:
        one.studio.refuses = answer
        job = await one.submit()
        assert job.state is state
        assert said in (job.detail or "")
        assert (job.next_poll is not None) is (state is JobState.UNCERTAIN)
        assert (await one.register()).known is (state is JobState.UNCERTAIN)


async def test_a_busy_provider_leaves_a_job_that_can_go_on(tmp_path: Path, store_url: str) -> None:
    """It says 429 for an hour: nothing was taken, and the job is sent when it can be."""
    async with studio_world(tmp_path, store=store_url) as one:
        one.studio.refuses = JSONResponse({}, 429, {"Retry-After": "3600"})
        made = await one.register()
        with pytest.raises(ProviderBusy):
            await one.run.asks.submit.send(made.job)
        job = await one.job(made.job.id)
        assert (job.state, job.sending) == (JobState.SUBMITTING, 0)


async def test_wrong_credentials_fail_the_job(tmp_path: Path, store_url: str) -> None:
    """The studio does not know the key."""
    async with studio_world(tmp_path, store=store_url, key="another-key-0123456789") as one:
        job = await one.submit()
        assert (job.state, "401" in (job.detail or "")) == (JobState.FAILED, True)


async def test_what_cannot_be_submitted_makes_no_job(tmp_path: Path, store_url: str) -> None:
    """An unknown operation, a file that is no audio, a source without credentials."""
    async with studio_world(tmp_path, store=store_url) as one:
        with pytest.raises(UsageError, match="transcription, summary"):
            await one.register(operation="dance")
        text = Recording(name="notes.txt", size=5, sha256="0" * 64, content_type="text/plain")
        with pytest.raises(UsageError, match=r"notes\.txt is text"):
            await one.register(recording=text)
        assert one.sql("SELECT count(*) FROM jobs") == [(0,)]


async def test_a_file_that_went_away_is_a_failure_that_names_it(tmp_path: Path, store_url: str) -> None:
    """Between looking at it and sending it."""
    async with studio_world(tmp_path, store=store_url) as one:
        made = await one.register()
        (tmp_path / "a.wav").unlink()
        job = await one.run.asks.submit.send(made.job)
        assert "a.wav" in (job.detail or "")


async def test_what_stays_in_doubt_is_lost_at_last(tmp_path: Path, store_url: str) -> None:
    """Nobody settles it: after `lost_after` it is given up, and people are told."""
    async with studio_world(tmp_path, store=store_url, lost_after=0.5) as one:
        one.studio.refuses = PlainTextResponse("thanks")
        job = await one.submit()
        assert job.state is JobState.UNCERTAIN
        await became(one, job, JobState.LOST)
        assert one.events() == ["job.lost", "call.completed"]
