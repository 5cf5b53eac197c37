"""Hostile orders and filters: what no program means is told what is wrong with it on both engines, and is no fault of ours."""

import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from recordings import a_wave
from studio_running import ADMIN, StudioWorld, studio_world

DEEP = "[" * 30_000
LONG = random.Random(1).randbytes(5000).hex()


def client(one: StudioWorld) -> httpx.AsyncClient:
    """Return a program with the token."""
    assert one.at.admin
    headers = {"Authorization": f"Bearer {ADMIN}"}
    return httpx.AsyncClient(base_url=f"{one.at.admin}/api/v1", headers=headers, trust_env=False, timeout=60)


async def test_orders_that_no_store_can_keep_are_refused(tmp_path: Path, store_url: str) -> None:
    """A NUL, a name longer than an index takes, arrays without end: 400 each, with the same words on both engines."""
    wrong: list[dict[str, Any]] = [
        {"call": {"external_id": "a\0b"}},
        {"call": {"external_id": LONG}},
        {"operation": "a\0b"},
        {"operation": LONG},
        {"metadata": {"a\0b": "\\\0"}},
        {"language": "\0"},
    ]
    async with studio_world(tmp_path, store=store_url, fetches=True) as one, client(one) as api:
        doors = {"/jobs": {"url": "https://files.example.com/a.wav"}, "/jobs/adopt": {"job_id": "x"}}
        for door, plain in doors.items():
            order = {"source": "studio", **plain}
            for change in wrong:
                answer = await api.post(door, json={**order, **change})
                assert answer.status_code == 400, (door, [*change], answer.text)
            deep = f'{{"source": "studio", "metadata": {{"a": {DEEP}'
            assert "deep" in (await api.post(door, content=deep)).json()["detail"]
            kept = {**order, "call": {"external_id": "c" * 1000}, "language": "\\u0000 [[[[ \\"}
            assert (await api.post(door, json=kept)).status_code == 201
        assert one.sql("SELECT count(*) FROM jobs") == [(2,)]


async def test_filters_that_fit_nothing_are_no_fault(tmp_path: Path, store_url: str) -> None:
    """Every parameter of every list, with a NUL, broken UTF-8, and numbers of any size."""
    values = ("%00", "a%00b", "%ff", "%ed%a0%80", "9" * 30, "-1", "1e9")
    async with studio_world(tmp_path, store=store_url) as one, client(one) as api:
        described = (await api.get(f"{one.at.admin}/api/openapi.json")).json()["paths"]
        lists = {path.replace("{form}", "csv"): verbs["get"] for path, verbs in described.items() if "get" in verbs}
        asked = 0
        for path, get in lists.items():
            if "{" in path or path.endswith("stream"):
                continue
            names = [one["name"] for one in get.get("parameters", ()) if one["in"] == "query"]
            for name, value in ((name, value) for name in names for value in values):
                words = "&q=hello" if path.endswith("/search") and name != "q" else ""
                answer = await api.get(f"{path.removeprefix('/api/v1')}?{name}={value}{words}")
                assert answer.status_code < 500, (path, name, value, answer.text)
                asked += 1
        assert asked > 200


@pytest.mark.parametrize(
    "fields", [{"metadata": DEEP}, {"options": '{"a":' + DEEP}, {"call": '{"a":' + DEEP}, {"language": "\0"}]
)
async def test_forms_that_cannot_be_kept_are_refused(tmp_path: Path, fields: dict[str, str]) -> None:
    """As orders in JSON are; nothing stays."""
    async with studio_world(tmp_path) as one, client(one) as api:
        sent = a_wave(tmp_path / "visit.wav").read_bytes()
        answer = await api.post("/jobs", data={"source": "studio", **fields}, files={"file": ("a.wav", sent)})
        assert answer.status_code == 400, answer.text
        assert ([*(one.folder / "store.db-recordings").iterdir()], one.sql("SELECT id FROM jobs")) == ([], [])
