"""Two hundred recordings and a crash at every await, against emulators of providers: none is submitted twice."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flows import OPTIONS, Provided, provided
from recordings import a_wave

CRASHING = Path(__file__).with_name("crashing.py")
FILES = 200
UNHURRIED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "callcov": (
        {"submissions_per_minute": 100_000, "requests_per_minute": 200_000, "callbacks": {"lost": True}},
        {"requests_per_minute": 200_000},
    ),
    "rythmex": ({}, {}),
}
"""Switches and settings of an account whose limits do not slow this test down."""


@pytest.mark.parametrize("source", UNHURRIED)
async def test_no_crash_makes_a_second_submission(tmp_path: Path, source: str) -> None:
    """What was interrupted goes on, what is in doubt is shown and settled, and the provider got each file once."""
    files = [str(a_wave(tmp_path / f"{number:03d}.wav", 1, 0.02 + number / 1000)) for number in range(FILES)]
    switches, settings = UNHURRIED[source]
    async with provided(tmp_path, source, switches, **settings) as ours:
        assert (await ours.cli("migrate")).exit_code == 0
        died = await crashed(ours, files)
        assert 20 < died < FILES
        assert max(sent(ours).values()) == 1
        doubtful = await jobs_in_doubt(ours)
        assert doubtful
        assert (await ours.submit("--resume"))[0] == 0
        await ours.submit(*files)
        assert max(sent(ours).values()) == 1
        assert await jobs_in_doubt(ours) == doubtful
        if source == "callcov":
            there = sum(sent(ours)[size] for size in doubtful.values())
            assert there > 0
            assert f" {there} jobs in doubt settled" in (await ours.cli("sweep", source)).stdout
        for job, size in (await jobs_in_doubt(ours)).items():
            way = ("--job-id", name_of(ours, size)) if sent(ours)[size] else ("--failed",)
            assert (await ours.cli("jobs", "settle", job, *way)).exit_code == 0
        assert (await ours.submit(*files))[0] == 0
        assert sent(ours) == {Path(file).stat().st_size: 1 for file in files}


async def crashed(ours: Provided, files: list[str]) -> int:
    """Submit file after file, each in a process that dies at another await; return how many died."""
    options = [f"--option={name}={value}" for name, value in OPTIONS.get(ours.source, {}).items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(CRASHING), str(ours.settings), ours.source, *options, *files),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return int(output.splitlines()[-1])


async def jobs_in_doubt(ours: Provided) -> dict[str, int]:
    """Return the jobs that the operator is shown as uncertain, with the sizes of their files."""
    done = await ours.cli("jobs", "--state", "uncertain", "--limit", "1000", "--json")
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["id"]: (ours.folder / row["file"]).stat().st_size for row in rows}


def taken(ours: Provided) -> dict[str, int]:
    """Return what the provider calls each analysis that it has, with the size of its file."""
    if ours.source == "callcov":
        return {name: one.size for name, one in ours.emulator.analyses.items()}
    return {name: ours.emulator.uploads[one.name].size for name, one in ours.emulator.analyses.items()}


def sent(ours: Provided) -> Counter[int]:
    """Return how often the provider has each file; no two are of one size."""
    return Counter(taken(ours).values())


def name_of(ours: Provided, size: int) -> str:
    """Return what the provider calls the analysis of a file."""
    return next(name for name, one in taken(ours).items() if one == size)
