"""`hookscribe submit` where something is wrong: the exit code, what is wrong with which file, and the way out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flows import REGISTRY, Provided, flowing, provided
from recordings import a_wave

from receiver.config import load
from receiver.pipeline.jobs import patience
from receiver.testing.emulators.callcov import CallCovEmulator
from receiver.web.serve import serving as listening

UNREADABLE = "/proc/self/mem"
"""A file that opens and cannot be read, by root neither."""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--manifest", "none.csv"), "none.csv cannot be read: No such file"),
        (("--manifest", "."), "cannot be read: Is a directory"),
        (("--manifest", UNREADABLE), f"{UNREADABLE} cannot be read"),
        (("--manifest", "empty.csv"), "empty.csv is empty: its first line names the columns, such as recording"),
        (("--manifest", "bare.csv"), "bare.csv names no recording"),
        (("--manifest", "binary.csv"), "binary.csv is not CSV in UTF-8"),
        (("--manifest", "colour.csv"), "no column 'colour' is known; columns are recording, call"),
        (("--manifest", "late.csv"), "late.csv, row 3: it has no recording"),
        (("call.wav", "--timeout", "2h"), "--timeout says how long --wait waits"),
        (("call.wav", "--wait", "--timeout", "soon"), "--timeout"),
        (("call.wav", "--operation", "dance"), "--operation: callmissed has call-analysis"),
        (("call.wav", "--meta", "north"), "--meta: expected NAME=VALUE"),
    ],
)
async def test_wrong_use_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    """Exit code 2, or 1 with a row for the recording; nothing is made, nothing is sent."""
    monkeypatch.chdir(tmp_path)
    a_wave(tmp_path / "call.wav")
    for name, content in {
        "empty": b"",
        "bare": b"recording,call\r\n",
        "binary": b"recording\n\xff\xfe",
        "colour": b"recording,colour\ncall.wav,red\n",
        "late": b"recording,call\ncall.wav,C-1\n,C-2\n",
    }.items():
        Path(f"{name}.csv").write_bytes(content)
    async with provided(tmp_path, "callmissed") as ours:
        assert (await ours.cli("migrate")).exit_code == 0
        code, rows, error = await ours.submit(*arguments)
        told = error + "".join(row["detail"] for row in rows)
        assert (code in (1, 2), code == 1, said in told) == (True, bool(rows), True), told
        assert (await ours.cli("jobs", "--json")).stdout == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.wav", "none.wav: there is no such file; check the name"),
        ("folder", "folder is a folder: name the files in it, such as folder/*.wav"),
        ("empty.wav", "empty.wav is empty: was the recording still being written?"),
        (UNREADABLE, f"{UNREADABLE} cannot be read: Input/output error"),
        ("notes.txt", "notes.txt"),
    ],
)
async def test_one_file_that_cannot_be_sent_stops_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    """Its row says why and what to do, the other recording of the manifest is submitted, and the exit code is 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "notes.txt").write_text("words")
    good = a_wave(tmp_path / "call.wav")
    Path("calls.csv").write_text(f"recording,call\n{name},C-1\n{good},C-2\n")
    async with flowing(tmp_path, "callmissed") as flow:
        code, rows, error = await flow.provided.submit("--manifest", "calls.csv", "--wait")
        assert (code, [row["state"] for row in rows], error) == (1, ["refused", "completed"], "")
        assert said in rows[0]["detail"]
        assert flow.rows("SELECT count(*) FROM jobs") == [(1,)]
        table = await flow.provided.cli("submit", "callmissed", name)
        assert (table.exit_code, name in table.stdout) == (1, True)


async def test_a_wait_that_runs_out(tmp_path: Path) -> None:
    """The job is there, named, and goes on; the exit code says that its result is not here. A second wait finds it."""
    file = str(a_wave(tmp_path / "call.wav"))
    async with flowing(tmp_path, "callcov", {"processing": 600, "callbacks": {"lost": True}}) as flow:
        code, (job,), error = await flow.provided.submit(file, "--wait", "--timeout", "1s")
        assert (code, job["state"]) == (1, "submitted")
        assert (f"{job['id']} (call.wav): its result did not come in time" in error, "hookscribe jobs" in error) == (
            True,
            True,
        )
        for analysis in flow.emulator.analyses.values():
            analysis.status, analysis.ended = "completed", analysis.created
        code, (again,), error = await flow.provided.submit(file, "--wait", "--timeout", "60s")
        assert (code, again["id"], again["state"], error) == (0, job["id"], "completed", "")


async def test_a_wait_that_ends_with_a_lost_job(tmp_path: Path) -> None:
    """It was given up: the exit code is 1, and the row says why."""
    file = str(a_wave(tmp_path / "call.wav"))
    silent = {"processing": 600, "callbacks": {"lost": True}}
    async with flowing(tmp_path, "callcov", silent, lost_after=1, poll_after=0.2) as flow:
        code, (job,), _ = await flow.provided.submit(file, "--wait")
        assert (code, job["state"], "lost_after" in job["detail"]) == (1, "lost", True)


def without(ours: Provided, setting: str) -> None:
    """Take a number out of the settings: its default counts."""
    settings = ours.settings.read_text()
    ours.settings.write_text(re.sub(rf'(, )?"{setting}" = [0-9.]+', "", settings))
    assert setting not in ours.settings.read_text() != settings


@pytest.mark.parametrize("source", ["rythmex", "callmissed"])
async def test_who_never_calls_back_is_asked_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """`serve` runs and `public_url` is set, and yet nobody waits minutes for a callback that this provider does not have."""
    monkeypatch.setattr(patience, "FIRST_ALONE", 0.2)
    async with provided(tmp_path, source) as ours:
        without(ours, "poll_after")
        async with listening(load(ours.settings, {}, REGISTRY), REGISTRY):
            code, (job,), error = await ours.submit(str(a_wave(tmp_path / "call.wav")), "--wait", "--timeout", "60s")
        assert (code, job["state"], error) == (0, "completed", "")
        (stats,) = (json.loads(line) for line in (await ours.cli("jobs", "--stats", "--json")).stdout.splitlines())
        assert stats["median"] >= 0


async def test_a_wait_without_serve_asks_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`public_url` is set and nobody listens there: the command asks as where no callback can come, and ends."""
    monkeypatch.setattr(patience, "FIRST_ALONE", 0.2)
    made: Any = CallCovEmulator()
    async with provided(tmp_path, "callcov", made=made) as ours:
        without(ours, "poll_after")
        assert (await ours.cli("migrate")).exit_code == 0
        code, (job,), error = await ours.submit(str(a_wave(tmp_path / "call.wav")), "--wait", "--timeout", "60s")
        assert (code, job["state"], error) == (0, "completed", "")
        lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert [one["type"] for one in lines if one["type"].startswith("transcript")] == ["transcript.completed"]
