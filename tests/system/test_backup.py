"""Backup and restore with real processes: under load, killed, and an old backup put back behind live traffic."""

import asyncio
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from system.hostile_harness import ROOT, SIGNED, Answer, Serve, ask, flowing, genuine, http, serving, until

pytestmark = pytest.mark.system

HOOKSCRIBE = (sys.executable, "-c", "from receiver.cli import main; main()")
RECIPE = (ROOT / "docs" / "operating.md").read_text("utf-8").partition("### A backup put back")[2]


def hookscribe(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the page."""
    words = [*HOOKSCRIBE, *shlex.split(line.removeprefix("hookscribe "), comments=True)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def recipe() -> list[str]:
    """Return the commands of the recipe."""
    (block, *_) = re.findall(r"^```sh\n(.*?)^```$", RECIPE, re.MULTILINE | re.DOTALL)
    return [line for line in block.splitlines() if line.startswith("hookscribe ")]


async def send(serve: Serve, serial: str) -> Answer:
    """Send one callback."""
    return await ask(serve.port, http(SIGNED, genuine(SIGNED, serial), close=True), wait=30)


def delivered(folder: Path) -> set[str]:
    """Return the jobs whose events are in the file."""
    path = folder / "events.jsonl"
    return {json.loads(line)["data"]["job_id"] for line in path.read_bytes().splitlines()} if path.exists() else set()


def job(serial: str) -> str:
    """Return the job that a callback is about."""
    found: str = json.loads(genuine(SIGNED, serial).body)["id"]
    return found


async def test_under_load(tmp_path: Path) -> None:
    """Backups while callbacks come: none is turned away, and each backup has every callback answered before it began."""
    with serving(tmp_path, command=HOOKSCRIBE) as serve:
        load = asyncio.create_task(flowing(serve.port, "load", 300, 0.005))
        found = []
        for number in range(4):
            ((before,),) = serve.rows("SELECT count(*) FROM receipts")
            done = await asyncio.to_thread(hookscribe, tmp_path, f"hookscribe backup b{number}.db --json")
            assert done.returncode == 0, done.stderr
            found.append((before, json.loads(done.stdout)["receipts"]))
        flow = await load
        assert flow.statuses == {200: 300}
    assert all(kept >= before for before, kept in found)
    assert found[-1][1] > found[0][1]


async def test_a_backup_put_back_behind_live_traffic(tmp_path: Path) -> None:
    """The recipe: what the backup lacks is accepted when it is sent again, what it has is told apart; all arrives."""
    commands = recipe()
    with serving(tmp_path, command=HOOKSCRIBE) as serve:
        for number in range(20):
            assert (await send(serve, f"before-{number}")).status == 200
        (tmp_path / "backups").mkdir()
        done = hookscribe(tmp_path, commands[0])
        assert done.returncode == 0, done.stderr
        for number in range(20):
            assert (await send(serve, f"after-{number}")).status == 200
        done = hookscribe(tmp_path, commands[1])
        assert (done.returncode, "in use" in done.stderr) == (2, True)
        serve.process.send_signal(signal.SIGTERM)
        serve.process.wait(20)
    (made,) = (tmp_path / "backups").iterdir()
    done = hookscribe(tmp_path, commands[1].replace("backups/hookscribe.db", f"backups/{made.name}"))
    assert done.returncode == 0, done.stderr
    (tmp_path / "serve.log").unlink()
    with serving(tmp_path, command=HOOKSCRIBE) as serve:
        told = [json.loads((await send(serve, f"before-{number}")).body)["status"] for number in range(20)]
        assert told == ["duplicate"] * 20
        told = [json.loads((await send(serve, f"after-{number}")).body)["status"] for number in range(20)]
        assert told == ["accepted"] * 20
        wanted = {job(f"{when}-{number}") for when in ("before", "after") for number in range(20)}
        await until(lambda: delivered(tmp_path) >= wanted)
        await until(lambda: not serve.rows("SELECT 1 FROM deliveries WHERE state <> 'delivered'"))
        done = hookscribe(tmp_path, commands[2])
        assert done.returncode == 0, done.stdout + done.stderr
