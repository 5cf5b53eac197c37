"""Recordings that are sent to the admin API: checked as `hookscribe submit` does, kept with their job, within bounds."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pipeline_fakes import until
from recordings import a_wave
from starlette.responses import JSONResponse
from studio_running import ADMIN, StudioWorld, studio_world

from receiver.config import LimitSettings
from receiver.web.uploads import Uploads


def client(one: StudioWorld) -> httpx.AsyncClient:
    """Return a program with the token."""
    assert one.at.admin
    headers = {"Authorization": f"Bearer {ADMIN}"}
    return httpx.AsyncClient(base_url=f"{one.at.admin}/api/v1", headers=headers, trust_env=False, timeout=60)


def kept(one: StudioWorld) -> list[Path]:
    """Return the recordings that are kept."""
    folder = one.folder / "store.db-recordings"
    return sorted(folder.iterdir()) if folder.exists() else []


async def test_a_recording_that_is_sent_becomes_a_transcript(tmp_path: Path) -> None:
    """With everything that goes with it; sent again it shows the job that there is, and is kept once."""
    sent = a_wave(tmp_path / "visit.wav").read_bytes()
    fields = {
        "source": "studio",
        "call": "C-17",
        "metadata": '{"team": "north"}',
        "options": '{"speed": 2}',
        "operation": "transcription",
    }
    async with studio_world(tmp_path) as one, client(one) as api:
        file = {"file": ("C:\\recordings\\visit.wav", sent)}
        made = await api.post("/jobs", data=fields, files=file)
        assert (made.status_code, made.json()["file"], made.json()["size"]) == (201, "visit.wav", len(sent))
        assert made.json()["recording"] == hashlib.sha256(sent).hexdigest()
        assert made.json()["metadata"] == {"team": "north"}
        assert (made.json()["call"]["external_id"], made.json()["options"]) == ("C-17", {"speed": 2})
        again = await api.post("/jobs", data=fields, files=file)
        assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
        assert len(one.studio.jobs) == 1
        (path,) = kept(one)
        assert path.name == made.json()["id"]
        assert (path.read_bytes() == sent, path.stat().st_mode & 0o777) == (True, 0o600)
        await until(lambda: one.events("transcript.completed"), "the transcript")
        played = await api.get(f"{one.at.admin}/recordings/{made.json()['id']}", headers={"Range": "bytes=0-3"})
        assert (played.status_code, played.content) == (206, b"RIFF")


async def test_what_a_provider_fetches_is_served_to_it(tmp_path: Path) -> None:
    """Where the provider takes addresses, it gets one of ours for what was sent."""
    async with studio_world(tmp_path, fetches=True) as one, client(one) as api:
        sent = a_wave(tmp_path / "visit.wav").read_bytes()
        made = await api.post("/jobs", data={"source": "studio"}, files={"file": ("visit.wav", sent)})
        assert (made.status_code, made.json()["state"]) == (201, "submitted")
        async with httpx.AsyncClient(trust_env=False) as http:
            fetched = await http.get(one.studio.jobs[0]["url"])
        assert (fetched.content == sent, fetched.headers["content-type"]) == (True, "audio/wav")


@pytest.mark.parametrize(
    ("fields", "file", "said"),
    [
        ({"source": "studio"}, None, "no part file"),
        ({"source": "studio"}, ("empty.wav", b""), "empty.wav is empty"),
        ({"source": "studio"}, ("notes.txt", b"words"), "convert it to WAV"),
        ({"source": "nobody"}, ("a.wav", b"RIFF"), "no source nobody"),
        ({}, ("a.wav", b"RIFF"), "source"),
        ({"source": "studio", "colour": "red"}, ("a.wav", b"RIFF"), "colour"),
        ({"source": "studio", "metadata": "north"}, ("a.wav", b"RIFF"), "metadata: expected JSON"),
        ({"source": "studio", "metadata": '{"a": 1}'}, ("a.wav", b"RIFF"), "metadata"),
        ({"source": "studio", "again": "yes"}, ("a.wav", b"RIFF"), "again"),
        ({"source": "studio", "operation": "dance"}, ("a.wav", b"RIFF"), "transcription"),
        ({"source": "studio", "operation": ["summary", "summary"]}, ("a.wav", b"RIFF"), "stands twice"),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_stays(
    tmp_path: Path, fields: dict[str, Any], file: tuple[str, bytes] | None, said: str
) -> None:
    """A problem document names the file or the field; no job, and no recording on the disk."""
    async with studio_world(tmp_path) as one, client(one) as api:
        files = {"file": file} if file else {"again": (None, b"false")}
        answer = await api.post("/jobs", data=fields, files=files)
        assert (answer.status_code in {400, 404}, said in answer.json()["detail"]) == (True, True), answer.text
        assert str(tmp_path) not in answer.text
        assert (kept(one), one.sql("SELECT count(*) FROM jobs")) == ([], [(0,)])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no form", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF',
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_a_form_that_is_none_is_refused(tmp_path: Path, body: bytes, kind: str) -> None:
    """One that is cut, and one whose content type does not fit, leave nothing."""
    async with studio_world(tmp_path) as one, client(one) as api:
        answer = await api.post("/jobs", content=body, headers={"Content-Type": kind})
        assert (answer.status_code, kept(one)) == (400, [])


async def test_a_busy_provider_leaves_the_recording_for_later(tmp_path: Path) -> None:
    """503 names the job, and `submit --resume` finds what it needs."""
    async with studio_world(tmp_path) as one, client(one) as api:
        one.studio.refuses = JSONResponse({}, 429, {"Retry-After": "3600"})
        sent = a_wave(tmp_path / "visit.wav").read_bytes()
        answer = await api.post("/jobs", data={"source": "studio"}, files={"file": ("visit.wav", sent)})
        assert (answer.status_code, "--resume" in answer.json()["detail"]) == (503, True)
        assert [path.read_bytes() == sent for path in kept(one)] == [True]


def a_form(size: int) -> tuple[bytes, bytes]:
    """Return the beginning and the end of a form whose recording has a size."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
    return head + bytes(size - 4), b"\r\n--x--\r\n"


class Sender:
    """A request whose body comes in pieces, as its test says."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self.headers = {"content-type": "multipart/form-data; boundary=x"}
        self.stream = lambda: pieces


async def test_recordings_have_bounds(tmp_path: Path) -> None:
    """More than `spool` of all that come at once is 413, a full disk 503, one that stands still 408; nothing stays."""

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for piece in a_form(size):
            yield piece

    async def still() -> AsyncIterator[bytes]:
        yield a_form(10)[0]
        await asyncio.Event().wait()

    async def status(limits: LimitSettings, body: AsyncIterator[bytes]) -> str:
        uploads, sender = Uploads(tmp_path / "kept", limits), Sender(body)
        try:
            async with uploads.read(sender, 5) as upload:  # type: ignore[arg-type]
                return f"taken {upload.path.stat().st_size}"
        except Exception as error:  # noqa: BLE001 -- its kind is what is asked
            return f"{getattr(error, 'status_code', type(error).__name__)}"
        finally:
            assert (list((tmp_path / "kept").iterdir()), uploads._left) == ([], limits.spool)

    async def names() -> AsyncIterator[bytes]:
        for number in range(2000):
            yield b'--x\r\nContent-Disposition: form-data; name="%064d"\r\n\r\n\r\n' % number

    mib = 1 << 20
    small = LimitSettings(spool=mib, body_timeout=0.2)
    assert await status(small, pieces(mib - 1)) == f"taken {mib - 1}"
    assert await status(small, pieces(mib + 1)) == "413"
    assert await status(small, still()) == "408"
    assert await status(small, names()) == "413", "the names of fields count as well"
    assert await status(LimitSettings(free_disk=1 << 60), pieces(10)) == "Overloaded"


async def test_a_recording_is_on_disk_before_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is resumed after the power went is the whole recording: it is made durable as soon as it is there."""
    synced: list[int] = []
    made = os.fsync

    def fsync(number: int) -> None:
        synced.append(os.fstat(number).st_size)
        made(number)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in a_form(5000):
            yield piece

    monkeypatch.setattr(os, "fsync", fsync)
    uploads = Uploads(tmp_path / "kept", LimitSettings())
    async with uploads.read(Sender(pieces()), 5):  # type: ignore[arg-type]
        assert synced == [5000]


async def test_a_database_of_several_processes_needs_a_folder(tmp_path: Path, store_url: str) -> None:
    """With PostgreSQL a recording is taken once `recordings` names a folder; the message says so."""
    async with studio_world(tmp_path, store=store_url) as one, client(one) as api:
        sent = a_wave(tmp_path / "visit.wav").read_bytes()
        answer = await api.post("/jobs", data={"source": "studio"}, files={"file": ("visit.wav", sent)})
        if store_url.startswith("sqlite"):
            assert answer.status_code == 201
        else:
            assert (answer.status_code, "recordings" in answer.json()["detail"]) == (400, True)


async def test_the_description_has_the_form(tmp_path: Path) -> None:
    """OpenAPI shows both ways, and that the part `file` is bytes."""
    async with studio_world(tmp_path) as one, client(one) as api:
        document = (await api.get(f"{one.at.admin}/api/openapi.json")).json()
        sent = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]
        assert set(sent) == {"application/json", "multipart/form-data"}
        name = sent["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]
        form = document["components"]["schemas"][name]
        assert form["properties"]["file"]["format"] == "binary"
        assert json.dumps(sorted(form["required"])) == '["file", "source"]'
