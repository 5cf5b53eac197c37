"""Every provider's whole flow against its emulator, under every switch: submitted, stored, delivered, exported."""

from pathlib import Path
from typing import Any

import pytest
from flows import every_switch, flowing

from receiver.store.jobs import JobRow
from receiver.testing.emulators import EMULATORS

EVERY = [one for source in EMULATORS for one in every_switch(source)]
REFUSED = {"permitted": "BATCH-TRANSCRIBE"}
"""Switches under which a provider takes nothing, and what the job says then."""


@pytest.mark.parametrize(("source", "switched"), EVERY)
async def test_a_recording_becomes_a_transcript(tmp_path: Path, source: str, switched: dict[str, Any]) -> None:
    """One recording, one job, one result, one event in the sink, and an export; whatever the provider is like."""
    async with flowing(tmp_path, source, switched) as flow:
        job = await flow.one(metadata={"team": "north"})
        refusal = next((REFUSED[name] for name in switched if name in REFUSED), None)
        if refusal:
            assert (str(job.state), refusal in str(job.detail)) == ("failed", True)
            return
        fails = switched.get("outcome") not in (None, "completed")
        await flow.quiet()
        job = await flow.job(job.id)
        assert str(job.state) == ("failed" if fails else "completed")
        (event,) = flow.events("transcript.completed", "transcript.failed")
        assert event["type"] == ("transcript.failed" if fails else "transcript.completed")
        assert event["data"]["job"]["metadata"] == {"team": "north"}
        assert event["data"]["job_id"] == job.job_id
        assert len(await flow.exported()) == 1
        if not fails:
            (text,) = await flow.exported("txt")
            assert event["data"]["segments"][0]["text"].encode() in text
            assert len(event["data"]["speakers"]) == speakers(source, switched)
        assert [one["type"] for one in flow.events("call.completed")] == ["call.completed"]
        assert flow.rows("SELECT count(*) FROM receipts WHERE state = 'unreadable'") == [(0,)]


HEADS = {"mp3": b"ID3\x04", "flac": b"fLaC", "ogg": b"OggS", "m4a": b"\0\0\0 ftypM4A ", "webm": b"\x1aE\xdf\xa3"}
"""The first bytes of recordings in other formats than WAV."""
TAKEN = {
    "callcov": ("mp3", "flac", "ogg", "m4a", "webm"),
    "invox": ("mp3", "flac", "ogg", "m4a", "webm"),
    "ringcentral": ("mp3", "ogg", "m4a", "webm"),
    "callmissed": ("mp3", "flac", "ogg", "m4a", "webm"),
    "rythmex": ("mp3", "flac", "ogg", "m4a", "webm"),
}


@pytest.mark.parametrize("source", EMULATORS)
async def test_every_format_that_is_taken(tmp_path: Path, source: str) -> None:
    """By its first bytes and its name; each becomes a transcript."""
    files = [tmp_path / f"call.{ending}" for ending in TAKEN[source]]
    for path in files:
        path.write_bytes(HEADS[path.suffix[1:]] + bytes(range(200)))
    plan = {"submissions_per_minute": 50} if source == "callcov" else {}
    async with flowing(tmp_path, source, plan) as flow:
        jobs = await flow.submitted(*files)
        assert [str(job.state) for job in jobs if isinstance(job, JobRow)] == ["completed"] * len(files)
        await flow.quiet()
        assert len(flow.events("transcript.completed")) == len(files)


@pytest.mark.parametrize("upload", ["file", "url"])
async def test_the_other_generation_of_callcov(tmp_path: Path, upload: str) -> None:
    """It is sent the file, or fetches it by our link, and gets the call's own members."""
    async with flowing(tmp_path, "callcov", {}, generation="calls", upload=upload) as flow:
        options = {"direction": "inbound", "timestamp": "2026-01-15T10:30:00Z"}
        job = await flow.one(options=options, metadata={"team": "north"})
        await flow.quiet()
        (analysis,) = flow.emulator.analyses.values()
        assert (analysis.generation, analysis.members["call_direction"]) == ("calls", "inbound")
        assert analysis.size == (tmp_path / "call.wav").stat().st_size
        assert (await flow.job(job.id)).state == "completed"
        (event,) = flow.events("transcript.completed")
        assert event["data"]["job"]["metadata"] == {"team": "north"}


def speakers(source: str, switched: dict[str, Any]) -> int:
    """Return how many speakers a result has: polling INVOX never shows them."""
    return 0 if source == "invox" and switched.get("callbacks") == {"lost": True} else 2
