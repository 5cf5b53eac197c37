"""A web and a worker process on one PostgreSQL: what is submitted comes back and joins its job, and is found by its words."""

from pathlib import Path

import psycopg
import pytest
from both_engines import address_on
from emulating import emulated
from postgres_server import needs_postgres
from recordings import a_wave
from studio import StudioEmulator

from system.harness import serving, until
from system.studio_site import StudioSite

pytestmark = [pytest.mark.system, needs_postgres]

SETTINGS = 'store = "{url}"\nadmin_token = "system-admin-token-4Xw9"\nseal_key = "system-seal-key-0123456789"'


def unindexed(url: str) -> int:
    """Return how many transcripts wait to be indexed."""
    with psycopg.connect(url) as connection:
        return len(connection.execute("SELECT 1 FROM unindexed").fetchall())


async def test_a_job_is_joined_and_its_words_are_found(tmp_path: Path) -> None:
    """The callback reaches one process, is normalized and indexed in the other; the command line sees all of it."""
    studio = StudioEmulator()
    async with emulated(studio) as api, address_on("postgresql", tmp_path) as url:
        site = StudioSite(tmp_path, api)
        site.change(f'store = "sqlite:{tmp_path}/store.db"', SETTINGS.format(url=url))
        async with serving(site, "web") as web, serving(site, "worker") as worker:
            file = str(a_wave(tmp_path / "a.wav"))
            (job,) = await site.json("submit", "studio", file, "--wait", "--call", "C-1")
            await until(lambda: any(one["type"] == "transcript.completed" for one in site.lines()), "the transcript")
            (event,) = [one for one in site.lines() if one["type"] == "transcript.completed"]
            assert (event["data"]["job"]["id"], event["data"]["provenance"]["verdict"]) == (job["id"], "token")
            await until(lambda: not unindexed(url), "the index")
            (found,) = await site.json("search", "wor*", '"of a"')
            assert (found["job_id"], found["call_id"]) == (job["job_id"], event["data"]["call"]["id"])
            assert [row["state"] for row in await site.json("jobs", "--call", "C-1")] == ["completed"]
            await web.stop()
            await worker.stop()
            assert "Traceback" not in web.output() + worker.output()
