"""What is in doubt is settled: by the provider's list, by an operator; and nothing else than that."""

from pathlib import Path

import msgspec
import pytest
from starlette.responses import PlainTextResponse
from studio_running import StudioWorld, studio_world

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import Call
from receiver.pipeline.jobs.adopt import Adopt, Adoption
from receiver.pipeline.jobs.sweep import Sweep
from receiver.store.ids import JOB, TRANSCRIPT, encode
from receiver.store.jobs import JobRow, JobState
from receiver.store.lists import Lists


def verbs(one: StudioWorld) -> Adopt:
    """Return what adopts and settles."""
    asks = one.run.asks
    return Adopt(one.run.runtime.store, asks.callers, asks.fates, asks.reconcile)


async def doubtful(one: StudioWorld) -> JobRow:
    """Return a job whose answer made no sense."""
    one.studio.refuses = PlainTextResponse("thanks")
    job = await one.submit()
    assert job.state is JobState.UNCERTAIN
    one.studio.refuses = None
    return job


async def test_what_the_provider_does_not_have_can_be_submitted_again(tmp_path: Path, store_url: str) -> None:
    """Not before an operator said so, and only once."""
    async with studio_world(tmp_path, store=store_url) as one:
        job = await doubtful(one)
        assert (await one.register()).known
        settled = await verbs(one).settle(job.id, job_id=None)
        assert settled.state is JobState.FAILED
        assert not (await one.register()).known
        with pytest.raises(UsageError, match="nothing to settle"):
            await verbs(one).settle(job.id, job_id=None)
        with pytest.raises(NotFound):
            await verbs(one).settle(5, job_id=None)


async def test_what_the_provider_has_is_asked_about_under_its_name(tmp_path: Path, store_url: str) -> None:
    """The operator read the name from the provider's page."""
    async with studio_world(tmp_path, store=store_url) as one:
        job = await doubtful(one)
        one.studio.jobs.append({"id": "j9", "operation": "transcription", "file": "a.wav", "serial": ""})
        settled = await verbs(one).settle(job.id, job_id="j9")
        assert (settled.state, settled.job_id) == (JobState.SUBMITTED, "j9")


async def test_a_sweep_finds_jobs_in_doubt_and_what_is_no_job(tmp_path: Path, store_url: str) -> None:
    """By the serial that the submission carried; a second sweep finds nothing new."""
    async with studio_world(tmp_path, store=store_url) as one:
        job = await doubtful(one)
        serial = one.sql("SELECT id FROM jobs")[0][0]
        assert serial == job.id
        from_us = {"id": "j1", "operation": "transcription", "file": "a.wav", "serial": ""}
        one.studio.jobs += [from_us, {**from_us, "id": "j2"}]
        submission = one.run.asks.submit._submission(one.run.asks.callers.of("studio").api, job)
        from_us["serial"] = submission.serial
        sweep = Sweep(one.run.runtime.store, one.run.asks.callers, one.run.asks.fates)
        swept = await sweep.run("studio", 0)
        assert (swept.found, swept.new, swept.settled) == (2, 2, 1)
        again = await sweep.run("studio", 0)
        assert (again.new, again.settled) == (0, 0)


async def test_what_a_spent_token_brings_is_held_where_nothing_can_be_read_again(
    tmp_path: Path, store_url: str
) -> None:
    """It is kept and answered 200, and goes on when an operator says so."""
    async with studio_world(tmp_path, store=store_url) as one:
        job = await one.submit()

        async def settled() -> bool:
            return (await one.job(job.id)).state is JobState.COMPLETED

        await one.until(settled)
        one.studio.post(one.studio.jobs[0]["callback"], one.studio.body(one.studio.jobs[0], text="later words"))
        await one.studio.posted()
        assert one.studio.answers == [200, 200]
        rows = one.sql("SELECT id, state FROM receipts ORDER BY id")
        assert [state for _, state in rows] == ["normalized", "confirming"]
        assert await one.run.runtime.store.unconfirmed([rows[1][0]]) == 1
        await one.until(lambda: _is_updated(one))


async def test_a_result_before_its_job_names_it_once_it_is_adopted(tmp_path: Path, store_url: str) -> None:
    """The transcript says its job and joins the call that was given; that is no version and no event about it."""
    async with studio_world(tmp_path, store=store_url, token="right-token-0123456789") as one:
        address = f"http://{one.config.root.listen.public}/hooks/studio/right-token-0123456789"
        one.studio.post(address, one.studio.body({"id": "x1", "operation": "transcription", "file": ""}, text="hello"))
        await one.studio.posted()

        async def told() -> bool:
            return one.events("transcript.%") == ["transcript.completed"]

        await one.until(told)
        order = Adoption(source="studio", job_id="x1", call=Call(external_id="C-1"), metadata={"team": "north"})
        job = await verbs(one).adopt(order)
        assert job.state is JobState.COMPLETED
        lists = Lists(one.run.runtime.store.engine)
        ((number,),) = one.sql("SELECT id FROM transcripts")
        said = msgspec.json.decode(await lists.transcript(encode(TRANSCRIPT, number)))
        assert said["job"] == {"id": encode(JOB, job.id), "recording": None, "metadata": {"team": "north"}}
        assert (said["call"]["external_id"], said["version"], said["text"]) == ("C-1", 1, "hello")
        assert one.events("transcript.%") == ["transcript.completed"]
        assert one.sql("SELECT key FROM calls") == [(":C-1",)]


async def _is_updated(one: StudioWorld) -> bool:
    return "transcript.updated" in one.events()
