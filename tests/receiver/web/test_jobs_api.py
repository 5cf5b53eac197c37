"""Jobs over the admin API: submitted, adopted, listed, shown; and what is wrong is told."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pipeline_fakes import until
from starlette.responses import JSONResponse
from studio_running import ADMIN, StudioWorld, studio_world

from receiver.store.ids import encode


def client(one: StudioWorld) -> httpx.AsyncClient:
    """Return a program with the token."""
    assert one.at.admin
    headers = {"Authorization": f"Bearer {ADMIN}"}
    return httpx.AsyncClient(base_url=f"{one.at.admin}/api/v1", headers=headers, trust_env=False)


async def test_a_url_is_submitted_once(tmp_path: Path) -> None:
    """The first time makes a job, the second shows it; a list finds it by its call."""
    async with studio_world(tmp_path, fetches=True) as one, client(one) as api:
        order = {"source": "studio", "url": "https://files.example.com/a.wav?key=k", "call": {"external_id": "C-1"}}
        made = await api.post("/jobs", json=order)
        again = await api.post("/jobs", json=order)
        assert (made.status_code, again.status_code) == (201, 200)
        assert made.json()["id"] == again.json()["id"]
        assert one.studio.jobs[0]["url"] == order["url"]
        await until(lambda: one.events("transcript.%"), "the transcript")
        listed = (await api.get("/jobs", params={"call": "C-1"})).json()["items"]
        assert [job["state"] for job in listed] == ["completed"]
        assert (await api.get(f"/jobs/{made.json()['id']}")).json() == listed[0]
        assert "key=k" not in made.text


async def test_a_job_of_others_is_adopted(tmp_path: Path) -> None:
    """Its callback joins it; one whose result is here already is done at once."""
    async with studio_world(tmp_path, token="studio-token-0123456789") as one, client(one) as api:
        order = {"source": "studio", "job_id": "x1", "call": {"external_id": "C-2"}, "metadata": {"team": "north"}}
        made = await api.post("/jobs/adopt", json=order)
        assert (made.status_code, made.json()["state"], made.json()["adopted"]) == (201, "submitted", True)
        url = f"{one.config.root.public_url}/hooks/studio/studio-token-0123456789"
        for name in ("x1", "x2"):
            one.studio.post(url, one.studio.body({"id": name, "operation": "transcription", "file": "f"}))
        await one.studio.posted()
        await until(lambda: len(one.events("transcript.completed")) == 2, "the transcripts")
        assert (await api.get("/jobs", params={"job_id": "x1"})).json()["items"][0]["state"] == "completed"
        assert one.events("call.completed") == ["call.completed"]
        late = await api.post("/jobs/adopt", json={**order, "job_id": "x2"})
        assert late.json()["state"] == "completed"
        assert (await api.post("/jobs/adopt", json=order)).status_code == 400


@pytest.mark.parametrize(
    ("path", "order", "said"),
    [
        ("/jobs", {"source": "studio"}, "url or recording_id"),
        ("/jobs", {"source": "studio", "url": "file:///etc/passwd"}, "https"),
        ("/jobs", {"source": "nobody", "url": "https://example.com/a.wav"}, "no source nobody"),
        ("/jobs", {"source": "studio", "url": "https://example.com/a.wav", "operation": "dance"}, "transcription"),
        ("/jobs/adopt", {"source": "nobody", "job_id": "1"}, "no source"),
        ("/jobs/adopt", {"source": "studio", "job_id": ""}, "1 to 1000"),
        ("/jobs/adopt", {"source": "studio", "job_id": "1", "deadline": "soon"}, "deadline"),
        ("/jobs/adopt", {"source": "studio", "job_id": "1", "deadline": "2020-01-01"}, "is over"),
    ],
)
async def test_what_cannot_be_done_is_told(tmp_path: Path, path: str, order: dict[str, Any], said: str) -> None:
    """A problem document says what was expected, and nothing is made."""
    async with studio_world(tmp_path, fetches=True) as one, client(one) as api:
        answer = await api.post(path, json=order)
        assert answer.status_code in {400, 404}
        assert said in answer.json()["detail"]
        assert one.sql("SELECT count(*) FROM jobs") == [(0,)]


async def test_a_busy_provider_leaves_a_job_to_be_resumed(tmp_path: Path) -> None:
    """503 names it, and it belongs to nobody."""
    async with studio_world(tmp_path, fetches=True) as one, client(one) as api:
        one.studio.refuses = JSONResponse({}, 429, {"Retry-After": "3600"})
        answer = await api.post("/jobs", json={"source": "studio", "url": "https://files.example.com/a.wav"})
        assert (answer.status_code, "--resume" in answer.json()["detail"]) == (503, True)
        assert one.sql("SELECT state, owner FROM jobs") == [("submitting", 0)]


async def test_an_unknown_job_is_not_found(tmp_path: Path) -> None:
    """One that was never made, and a name that is none."""
    async with studio_world(tmp_path) as one, client(one) as api:
        assert (await api.get(f"/jobs/{encode('job_', 5)}")).status_code == 404
        assert (await api.get("/jobs/five")).status_code == 404
        assert (await api.get("/jobs", params={"colour": "red"})).status_code == 400


async def test_metrics_count_jobs(tmp_path: Path) -> None:
    """By source and state."""
    async with studio_world(tmp_path) as one, client(one) as api:
        one.studio.calls_back = False
        await one.submit()
        assert one.at.admin
        text = (await api.get(f"{one.at.admin}/metrics")).text
        assert 'hookscribe_jobs{source="studio",state="submitted"} 1.0' in text
