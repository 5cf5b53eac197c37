"""A recording under a signed link: whole, in stretches, ours or the provider's; and nothing for who has no link."""

from pathlib import Path

import httpx
import pytest
from recordings import a_wave
from studio_running import StudioWorld, studio_world

from receiver.contract.asking import Recording
from receiver.contract.errors import UsageError
from receiver.making import links
from receiver.pipeline.jobs.submit import Order
from receiver.store.audit import Trail
from receiver.store.ids import encode
from receiver.store.jobs import JobState

THEIRS = Order(
    source="studio", recording=Recording(name="r1", size=None, sha256=None, content_type="audio/mpeg", id="r1")
)


async def get(link: str, **headers: str) -> httpx.Response:
    """Fetch as a provider would."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(link, headers=headers)


def link_of(one: StudioWorld) -> str:
    """Return the address that the studio was given."""
    url: str = one.studio.jobs[-1]["url"]
    return url


async def test_a_recording_is_fetched_under_a_signed_link(tmp_path: Path) -> None:
    """The studio is given a link; it gives the recording, whole and in stretches, as audio, and nothing else."""
    async with studio_world(tmp_path, fetches=True) as one:
        await one.submit()
        link = one.studio.jobs[0]["url"]
        async with httpx.AsyncClient(trust_env=False) as client:
            whole = await client.get(link)
            part = await client.get(link, headers={"Range": "bytes=4-7"})
            other = await client.get(link[:-3] + "abc")
        file = (tmp_path / "a.wav").read_bytes()
        assert (whole.content, whole.headers["content-type"]) == (file, "audio/wav")
        assert (part.status_code, part.content) == (206, file[4:8])
        assert other.status_code == 404


async def test_what_a_link_gave_is_written_down(tmp_path: Path) -> None:
    """The job, and whose link it was; never the link."""
    async with studio_world(tmp_path, fetches=True) as one:
        job = await one.submit()
        assert (await get(link_of(one))).status_code == 200
        trail = Trail(one.run.runtime.store)

        async def written() -> bool:
            return bool((await trail.listed({})).items)

        await one.until(written)
        found = (await trail.listed({})).items
        assert {(row["who"], row["via"], row["what"], row["thing"]) for row in found} == {
            ("link of source studio", "link", "read", encode("job_", job.id))
        }


async def test_a_file_that_was_changed_or_moved_is_not_given(tmp_path: Path) -> None:
    """The link is for the recording that was looked at."""
    async with studio_world(tmp_path, fetches=True) as one:
        await one.submit()
        (tmp_path / "a.wav").write_bytes(b"another")
        assert (await get(link_of(one))).status_code == 404
        (tmp_path / "a.wav").unlink()
        assert (await get(link_of(one))).status_code == 404


async def test_a_link_expires_and_opens_one_thing(tmp_path: Path) -> None:
    """After its time it is gone; one of another kind, or of no job, is not found."""
    async with studio_world(tmp_path, fetches=True) as one:
        job = await one.submit()
        place = link_of(one).rpartition("/")[0]
        signs = links(one.config)
        for kind, name, seconds, status in (
            ("media", encode("job_", job.id), -5, 410),
            ("payload", encode("job_", job.id), 60, 404),
            ("media", encode("job_", 5), 60, 404),
            ("media", "five", 60, 404),
        ):
            assert (await get(f"{place}/{signs.sign(kind, name, seconds)}")).status_code == status


async def test_a_recording_at_the_provider_is_passed_on(tmp_path: Path) -> None:
    """With our credentials in the header of our own request, none of them in the link; stretches too."""
    async with studio_world(tmp_path, fetches=True) as one:
        one.studio.recording = a_wave(tmp_path / "theirs.wav")
        made = await one.run.asks.submit.register(THEIRS)
        job = await one.run.asks.submit.send(made.job)
        assert job.state in {JobState.SUBMITTED, JobState.COMPLETED}, job.detail
        whole, part = await get(link_of(one)), await get(link_of(one), range="bytes=4-7")
        file = one.studio.recording.read_bytes()
        assert (whole.content, whole.headers["content-type"]) == (file, "audio/mpeg")
        assert (part.status_code, part.content) == (206, file[4:8])
        assert "studio-key" not in link_of(one)


async def test_a_recording_that_the_provider_does_not_give_is_told(tmp_path: Path) -> None:
    """Before anything is submitted."""
    async with studio_world(tmp_path, fetches=True) as one:
        made = await one.run.asks.submit.register(THEIRS)
        job = await one.run.asks.submit.send(made.job)
        assert (job.state, "answers 404" in (job.detail or "")) == (JobState.FAILED, True)
        assert one.studio.jobs == []


async def test_without_a_public_address_nothing_can_be_fetched(tmp_path: Path) -> None:
    """There is no job."""
    async with studio_world(tmp_path, fetches=True, reachable=False) as one:
        with pytest.raises(UsageError, match="public_url"):
            await one.register()
