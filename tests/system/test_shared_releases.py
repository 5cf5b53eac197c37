"""During an update the release before works on the new schema, beside this one: nothing is lost between them."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_cluster import Cluster, cluster, needs_cluster
from postgres_server import database

from receiver.store.postgres.migrations import newest
from system.harness import HERE, Process, until
from system.holds import everything_holds, settled
from system.hook import hooking
from system.sender import load
from system.test_shared import SharedSite

ROOT = HERE.parent.parent
STEPS = "receiver/store/postgres/migrations"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
_SCHEMA = "SELECT max(number) FROM hookscribe_schema"


def git(*arguments: str) -> bytes | None:
    """Return what git says; None where it cannot, as in a shallow clone or without one."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def commit(which: str) -> str:
    """Return the commit that stands for the release before; skip the test where git does not know one."""
    changed = (git("log", "-1", "--format=%H", "--", STEPS) or b"HEAD").decode().strip()
    asked = {"commit": os.environ.get("HOOKSCRIBE_TEST_PREVIOUS", "HEAD^"), "schema": f"{changed}^"}
    found = {name: git("rev-parse", "--verify", f"{one}^{{commit}}") for name, one in asked.items()}
    if found[which] is None:
        pytest.skip(f"git does not know {asked[which]} here: a shallow clone, or none")
    if which == "schema" and found["schema"] == found["commit"]:
        pytest.skip("the commit before is the last that knew an earlier schema")
    if git("cat-file", "-e", f"{asked[which]}:{STEPS}") is None:
        pytest.skip(f"{asked[which]} knows no PostgreSQL")
    return asked[which]


def install(revision: str, folder: Path) -> Path:
    """Build the wheel of a commit and install it, without what it needs, which is here; return where."""
    packed = git("archive", revision)
    assert packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder / "sources", filter="data")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "sources"))
    subprocess.run([*PIP, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(folder / "before"), str(wheel)], check=True)
    return folder / "before"


class Releases(SharedSite):
    """A site whose next processes may be of the release before."""

    before: Path | None = None
    """Where that release lies, while its processes are started."""

    def environment(self) -> dict[str, str]:
        """Put the packages of a release before those that are installed."""
        found = super().environment()
        return found if self.before is None else {**found, "PYTHONPATH": f"{self.before}:{found['PYTHONPATH']}"}

    def runs_from(self) -> Path:
        """Return where the processes take their code from."""
        told = [sys.executable, "-P", "-c", "import receiver; print(receiver.__file__)"]
        ran = subprocess.run(told, check=True, capture_output=True, text=True, env=self.environment())
        return Path(ran.stdout).parents[1]

    async def migrate(self) -> None:
        """Run `hookscribe migrate`."""
        ran = await asyncio.create_subprocess_exec(*self.command("migrate"), env=self.environment())
        assert await ran.wait() == 0


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """Give a private server."""
    with cluster() as made:
        yield made


@pytest.mark.system
@needs_cluster
@pytest.mark.parametrize("which", ["commit", "schema"])
async def test_the_release_before_works_beside_this_one(tmp_path: Path, server: Cluster, which: str) -> None:
    """A rolling update: under load this release migrates, its processes join the old ones, and these are ended."""
    before = install(commit(which), tmp_path)
    known = len(list((before / STEPS).glob("*.sql")))
    assert known < newest() if which == "schema" else known <= newest()
    processes: list[Process] = []
    async with hooking() as hook:
        with database(server.server) as url:
            site = Releases(tmp_path, url, hook)
            site.before = before
            assert site.runs_from() == before
            try:
                await site.migrate()
                assert site.rows(_SCHEMA) == [(known,)]
                processes += [await Process.start(site, role) for role in ("web", "worker")]
                site.webs = processes[:1]
                await until(site.address, "one that receives")
                async with load(site) as sender:
                    await sender.goes_on(100)
                    site.before = None
                    await site.migrate()
                    assert site.rows(_SCHEMA) == [(newest(),)]
                    processes += [await Process.start(site, role) for role in ("web", "worker")]
                    site.webs = processes[::2]
                    await until(processes[2].address, "another one that receives")
                    site.before = before
                    await site.migrate()
                    await sender.goes_on(200)
                    site.webs = processes[2:3]
                    for one in processes[:2]:
                        await one.stop()
                    await sender.goes_on(100)
                await settled(site, processes[-1], 120)
                everything_holds(site, sender.acknowledged, hook)
                await until(lambda: not site.rows("SELECT 1 FROM unindexed LIMIT 1"), "the index")
                ((said,),) = site.rows("SELECT count(DISTINCT transcript_id) FROM segments")
                assert said == len(site.rows("SELECT 1 FROM transcripts"))
                assert not sender.refused
            finally:
                for process in processes:
                    await process.kill()
