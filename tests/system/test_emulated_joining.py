"""Callbacks and answers of every provider's emulator, in every order: one event, nothing lost, nothing unconfirmed goes out."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from flows import CALLS_BACK, Flow, flowing, until
from recordings import a_wave
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.store.ids import JOB, encode
from receiver.store.jobs import JobRow
from receiver.testing.emulators.posting import Sending
from receiver.testing.emulators.ringcentral import RingCentralEmulator, Switches

ENDS = ("transcript.completed", "transcript.failed", "transcript.updated")


async def submitted(flow: Flow) -> JobRow:
    """Submit a recording; return its job as it is then."""
    (job,) = await flow.submitted(a_wave(flow.folder / "call.wav"), wait=False)
    assert isinstance(job, JobRow), job.why
    return job


async def posted(flow: Flow, address: str, body: bytes) -> int:
    """Call back by hand; return the status."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(address, content=body, headers={"Content-Type": "application/json"})
    return answer.status_code


def result_of(flow: Flow, **changes: Any) -> bytes:
    """Return the body of a RingCentral callback for the only job, changed."""
    ((name, job),) = flow.emulator.jobs.items()
    job.done = True
    return json.dumps({**flow.emulator._body(name, job), **changes}).encode()


def address_of(flow: Flow, job: JobRow) -> str:
    """Return where a job's result is to be posted."""
    found = flow.run.asks.submit.places.callback(job.source, job.id)
    assert found
    return found


async def called_back(flow: Flow, job: JobRow) -> None:
    """Have the provider send the callback that it has not sent so far."""
    made = flow.emulator
    made.callbacks._how = Sending()
    if flow.source == "ringcentral":
        await made._work(job.job_id, address_of(flow, job))
    else:
        (work,) = (made.analyses if flow.source == "callcov" else made.requests).values()
        await made._work(work)
    assert made.callbacks.answers == [200]


TWO_ANSWERS = [
    ("callcov", {}),
    ("callcov", {"polled_speakers": False}),
    ("ringcentral", {}),
    ("ringcentral", {"polled": "poorer"}),
    ("invox", {}),
    ("invox", {"polled_speakers": True}),
    ("invox", {"polled_vtt": False}),
    ("invox", {"created_at": "text"}),
    ("invox", {"status_member": "transcriptionStatus"}),
    ("invox", {"status_member": "both"}),
]
"""Every provider whose results come both ways, and what changes how much each way says."""


def kept(flow: Flow) -> list[tuple[str, int]]:
    """Return the types of the events about results, each with the newest version of its transcript."""
    return [(one["type"], one["data"]["version"]) for one in flow.events(*ENDS)]


async def speakers(flow: Flow) -> list[int]:
    """Return how many speakers each transcript has, exported."""
    return [len(json.loads(one)["speakers"]) for one in await flow.exported()]


@pytest.mark.parametrize(("source", "switched"), TWO_ANSWERS)
async def test_the_callback_first_then_the_poll(tmp_path: Path, source: str, switched: dict[str, Any]) -> None:
    """The poll's answer makes no second event and no second version, and the speakers stay."""
    async with flowing(tmp_path, source, switched) as flow:
        job = await flow.one()
        await flow.quiet()
        await flow.run.asks.reconcile.ask(await flow.job(job.id))
        await flow.quiet()
        assert (kept(flow), await speakers(flow)) == ([("transcript.completed", 1)], [2])
        assert flow.rows("SELECT version FROM versions") == [(1,)]
        assert len(flow.events(*ENDS)[0]["data"]["speakers"]) == 2


@pytest.mark.parametrize(("source", "switched"), TWO_ANSWERS)
async def test_the_poll_first_then_the_callback(tmp_path: Path, source: str, switched: dict[str, Any]) -> None:
    """One event and one version; speakers that polling does not show come into it with the callback."""
    async with flowing(tmp_path, source, switched | {"callbacks": {"lost": True}}) as flow:
        job = await flow.one()
        await flow.quiet()
        assert str(job.state) == "completed"
        await called_back(flow, job)
        await flow.quiet()
        assert (kept(flow), await speakers(flow)) == ([("transcript.completed", 1)], [2])
        assert flow.rows("SELECT version FROM versions") == [(1,)]


@pytest.mark.parametrize("source", CALLS_BACK)
async def test_a_callback_before_the_answer_finds_its_job(tmp_path: Path, source: str) -> None:
    """It is posted while the submission still waits for its answer; copies of it change nothing."""
    async with flowing(tmp_path, source, {"callbacks": {"early": True, "copies": 3}}) as flow:
        job = await flow.one(metadata={"team": "north"})
        await flow.quiet()
        assert (await flow.job(job.id)).state == "completed"
        (event,) = flow.events(*ENDS)
        assert event["data"]["job"]["metadata"] == {"team": "north"}
        assert event["data"]["job_id"] == (await flow.job(job.id)).job_id
        assert flow.emulator.callbacks.answers == [200] * 3


async def test_nothing_goes_out_before_the_provider_confirmed(tmp_path: Path) -> None:
    """A forged result that only the job's token proves is asked for again: what RingCentral itself says is told."""
    async with flowing(tmp_path, "ringcentral", {"callbacks": {"lost": True}}, poll_after=600) as flow:
        job = await submitted(flow)
        forged = result_of(flow, response={"transcript": "You have won."})
        assert await posted(flow, address_of(flow, job), forged) == 200
        (event,) = await flow.delivered(*ENDS)
        assert event["data"]["text"] == "Good morning. My line is dead."
        assert event["data"]["provenance"]["verdict"] == "confirmed"


async def test_a_token_alone_is_confirmed_by_invox(tmp_path: Path) -> None:
    """A callback is asked for again with the application's credentials: same words, so its speakers stay, and `confirmed`."""
    async with flowing(tmp_path, "invox") as flow:
        job = await flow.one()
        await flow.quiet()
        (event,) = flow.events(*ENDS)
        assert (event["data"]["provenance"]["verdict"], len(event["data"]["speakers"])) == ("confirmed", 2)
        assert flow.rows("SELECT verdict, state FROM receipts") == [("confirmed", "normalized")]
        assert (await flow.job(job.id)).state == "completed"


@pytest.mark.parametrize("by", ["job", "source"])
async def test_what_a_token_brings_counts_as_invox_has_it(tmp_path: Path, by: str) -> None:
    """Forged words, under a job's address or the source's own, are told as INVOX itself says them."""
    async with flowing(tmp_path, "invox", {"callbacks": {"lost": True}}, poll_after=600) as flow:
        job = await submitted(flow)
        await flow.emulator.callbacks.settled()
        forged = {"requestId": job.job_id, "transcription": [{"text": "You have won.", "start": 0, "end": 1}]}
        own = f"{flow.run.runtime.config.root.public_url}/hooks/invox/emulator-token-0123456789"
        address = address_of(flow, job) if by == "job" else own
        assert await posted(flow, address, json.dumps(forged).encode()) == 200
        (event,) = await flow.delivered(*ENDS)
        assert event["data"]["provenance"]["verdict"] == "confirmed"
        assert event["data"]["text"].startswith("Buenas tardes")
        assert event["data"]["job"]["id"] == encode(JOB, job.id)


async def test_a_callback_of_a_job_that_runs_waits_for_its_end(tmp_path: Path) -> None:
    """While the provider says that it is still at it, the receipt is `confirming`, and no event is there."""
    emulator = RingCentralEmulator(Switches(polls=1000))
    async with flowing(tmp_path, "ringcentral", made=emulator, poll_after=600) as flow:
        job = await submitted(flow)
        forged = json.dumps({"jobId": job.job_id, "status": "Success", "response": {"transcript": "You have won."}})
        assert await posted(flow, address_of(flow, job), forged.encode()) == 200
        await until(lambda: any(one.polls for one in emulator.jobs.values()), "the question")
        assert flow.rows("SELECT state FROM receipts") == [("confirming",)]
        assert flow.events(*ENDS) == []


async def test_a_spent_token_is_taken_and_confirmed(tmp_path: Path) -> None:
    """After its result a job's address is not trusted any more, nor is it a 404."""
    async with flowing(tmp_path, "ringcentral") as flow:
        job = await flow.one()
        await flow.quiet()
        forged = result_of(flow, response={"transcript": "You have won."})
        assert await posted(flow, address_of(flow, job), forged) == 200
        await flow.quiet()
        assert [one["type"] for one in flow.events(*ENDS)] == ["transcript.completed"]
        assert b"You have won" not in b"".join(await flow.exported())


async def test_a_call_is_completed_when_all_its_parts_are(tmp_path: Path) -> None:
    """Two operations of one recording: the call's end is told once, after both."""
    async with flowing(tmp_path, "ringcentral") as flow:
        file = a_wave(tmp_path / "call.wav")
        code, rows, error = await flow.provided.submit(
            *(str(file), "--call", "C-1", "--wait"),
            *("--operation", "transcription", "--operation", "interaction-analysis"),
        )
        assert (code, [row["state"] for row in rows], error) == (0, ["completed"] * 2, "")
        await flow.delivered("call.completed")
        await flow.quiet()
        types = [one["type"] for one in flow.events() if not one["type"].startswith("job.")]
        assert types == ["transcript.completed", "transcript.completed", "call.completed"]
        assert len({one["data"]["call"]["id"] for one in flow.events("transcript.completed")}) == 1


async def test_a_call_is_completed_when_the_wait_for_a_part_is_over(tmp_path: Path) -> None:
    """One of the two results never comes: with `job.lost` the call has all that it will have."""
    async with flowing(tmp_path, "ringcentral", {"callbacks": {"lost": True}, "polls": 1}, lost_after=4) as flow:
        file = a_wave(tmp_path / "call.wav")
        given: Any = {"operations": ("transcription", "interaction-analysis")}
        jobs = await flow.submitted(file, wait=False, **given)
        gone = next(name for name, one in flow.emulator.jobs.items() if "insights" in one.path)
        flow.emulator.jobs[gone].polls = -1000  # so often it has to be asked about before it is done
        assert len(jobs) == 2
        await flow.delivered("call.completed")
        assert [one["data"]["job_id"] for one in flow.events("job.lost")] == [gone]
        assert len(flow.events(*ENDS)) == 1


async def test_a_result_after_the_job_was_lost_completes_it(tmp_path: Path) -> None:
    """Its callback is late by more than `lost_after`: it is taken, confirmed and told."""
    async with flowing(tmp_path, "callcov", {"processing": 4}, poll_after=0.2, lost_after=1) as flow:
        job = await submitted(flow)
        await flow.delivered("job.lost")
        assert (await flow.job(job.id)).state == "lost"
        (event,) = await flow.delivered(*ENDS)
        await flow.quiet()
        assert event["data"]["provenance"]["verdict"] == "confirmed"
        assert (await flow.job(job.id)).state == "completed"


async def test_addresses_of_uploads_cannot_be_read_in_the_store(tmp_path: Path) -> None:
    """INVOX's address for an upload opens it for whoever has it: it is kept sealed."""
    async with flowing(tmp_path, "invox") as flow:
        routes, taking = flow.emulator.app.router.routes, asyncio.Event()
        (at,) = (number for number, route in enumerate(routes) if route.path == "/storage/{id}")
        take = flow.emulator._put

        async def taken_late(request: Request) -> Response:
            await taking.wait()
            return cast("Response", await take(request))

        routes[at] = Route("/storage/{id}", taken_late, methods=["PUT"])
        sending = asyncio.create_task(submitted(flow))
        await until(lambda: flow.rows("SELECT 1 FROM jobs WHERE note IS NOT NULL"), "the note")
        ((note,),) = flow.rows("SELECT note FROM jobs")
        taking.set()
        await sending
        assert (b"X-Amz-Signature" in note, b"requestId" in note) == (False, False)
        await flow.quiet()
