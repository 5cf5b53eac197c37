"""`hookscribe submit` beside a real `serve`: a recording goes out, its transcript comes back, whatever gets lost."""

import asyncio
import json
import signal
from pathlib import Path

from emulating import emulated
from recordings import a_wave
from studio import StudioEmulator

from system.harness import serving, until
from system.studio_site import StudioSite


async def test_a_file_is_submitted_and_its_transcript_delivered(tmp_path: Path) -> None:
    """The callback comes before the submission is answered, finds its job, and ends in the sink."""
    studio = StudioEmulator()
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url)
        async with serving(site):
            (job,) = await site.json(
                *("submit", "studio", str(a_wave(tmp_path / "a.wav")), "--wait"),
                *("--call", "C-1", "--meta", "team=north"),
            )
            await until(lambda: any(one["type"] == "transcript.completed" for one in site.lines()), "the transcript")
    assert studio.answers == [200]
    assert (job["state"], job["job_id"], job["file"]) == ("completed", "j1", "a.wav")
    (event,) = [one for one in site.lines() if one["type"] == "transcript.completed"]
    said = event["data"]
    assert said["text"] == "words of a.wav"
    assert said["job"] == {"id": job["id"], "recording": job["recording"], "metadata": {"team": "north"}}
    assert said["call"]["external_id"] == "C-1"
    assert said["provenance"]["verdict"] == "token"
    types = [one["type"] for one in site.lines()]
    assert sorted(types) == ["call.completed", "job.submitted", "transcript.completed"]
    assert "system-studio-token" not in json.dumps(site.lines())


async def test_a_lost_callback_is_a_delay(tmp_path: Path) -> None:
    """Nothing comes: the job is asked about, and the answer goes the way of a callback."""
    studio = StudioEmulator()
    studio.calls_back = False
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url, poll_after=0.2)
        async with serving(site):
            (job,) = await site.json("submit", "studio", str(a_wave(tmp_path / "a.wav")), "--wait")
            await until(lambda: any(one["type"] == "transcript.completed" for one in site.lines()), "the transcript")
    (event,) = [one for one in site.lines() if one["type"] == "transcript.completed"]
    assert job["state"] == "completed"
    assert event["data"]["provenance"]["verdict"] == "fetched"
    assert event["data"]["job"]["id"] == job["id"]


async def test_waiting_works_without_a_serve(tmp_path: Path) -> None:
    """Nobody serves: the command asks and delivers by itself, as long as it waits."""
    studio = StudioEmulator()
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url, poll_after=0.2, reachable=False)
        assert (await site.run("migrate"))[0] == 0
        (job,) = await site.json("submit", "studio", str(a_wave(tmp_path / "a.wav")), "--wait")
        assert (job["state"], studio.jobs[0]["callback"]) == ("completed", "")
        assert [one["type"] for one in site.lines() if one["type"].startswith("transcript")] == ["transcript.completed"]


async def test_control_c_leaves_a_job_in_doubt_that_its_callback_settles(tmp_path: Path) -> None:
    """The studio has the file and has not answered: the job is shown, not sent again, and its result ends it."""
    studio = StudioEmulator()
    studio.calls_back = False
    studio.hangs = asyncio.Event()
    file = str(a_wave(tmp_path / "a.wav"))
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url)
        async with serving(site):
            running = asyncio.create_task(
                site.run("submit", "studio", file, signal_after=(signal.SIGINT, studio.taken))
            )
            code, _, error = await running
            assert (code, "Traceback" in error) == (130, False), error
            (job,) = await site.json("jobs", "--state", "uncertain")
            assert await site.json("jobs", job["id"]) == [job]
            assert (await site.run("submit", "studio", file))[0] == 1
            assert (await site.run("submit", "studio", "--resume"))[0] == 0
            assert len(studio.jobs) == 1
            studio.post(studio.jobs[0]["callback"], studio.body(studio.jobs[0]))
            await studio.posted()
            await until(lambda: site.rows("SELECT state, job_id FROM jobs") == [("completed", "j1")], "the job's end")


async def test_one_bad_file_stops_one_file(tmp_path: Path) -> None:
    """What is wrong with it is in the table; the others go, and the exit code says that not all did."""
    studio = StudioEmulator()
    (tmp_path / "empty.wav").touch()
    good = a_wave(tmp_path / "a.wav")
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url, reachable=False)
        assert (await site.run("migrate"))[0] == 0
        names = [str(tmp_path / name) for name in ("none.wav", "empty.wav")]
        code, out, error = await site.run("submit", "studio", *names, str(good), "--json")
        said = [json.loads(line) for line in out.splitlines()]
        assert (code, error) == (1, "")
        assert [one["state"] for one in said] == ["refused", "refused", "submitted"]
        assert "no such file" in said[0]["detail"]
        for words, wrong in (
            (("submit", "nobody", str(good)), "no source nobody"),
            (("submit", "callcov", str(good)), "callcov"),
            (("submit", "studio"), "at least one file"),
            (("submit", "studio", str(good), "--resume"), "--resume"),
            (("jobs", "settle", said[2]["id"]), "--failed"),
            (("jobs", "adopt", "studio", "x", "--deadline", "soon"), "--deadline"),
        ):
            code, _, error = await site.run(*words)
            assert (code, wrong in error) == (2, True), error
        code, out, _ = await site.run("jobs", "--stats")
        assert (code, "transcription" in out) == (0, True)
        code, out, _ = await site.run("doctor")
        assert "callcov" in out


async def test_adopt_settle_and_list_from_the_command_line(tmp_path: Path) -> None:
    """Each prints what it did; a sweep counts."""
    studio = StudioEmulator()
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url, reachable=False)
        assert (await site.run("migrate"))[0] == 0
        (job,) = await site.json("jobs", "adopt", "studio", "x1", "--call", "C-1", "--meta", "a=b", "--deadline", "2h")
        assert (job["state"], job["call"]["external_id"], job["metadata"]) == ("submitted", "C-1", {"a": "b"})
        code, out, _ = await site.run("jobs", "--call", "C-1")
        assert (code, job["id"] in out) == (0, True)
        code, out, _ = await site.run("jobs", job["id"])
        assert (code, "x1" in out) == (0, True)
        code, out, _ = await site.run("sweep", "studio", "--since", "1d")
        assert (code, out) == (0, "0 found, 0 new, 0 jobs in doubt settled\n")
