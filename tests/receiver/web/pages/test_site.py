"""The pages over HTTP: forms of ours only, the way through the door, errors in words, an answer where nothing changed."""

import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from running_fakes import ADMIN, REGISTRY, TOKEN, configured

from receiver.store.search import SEGMENTS
from receiver.web.pages.frame import templates
from receiver.web.serve import serving
from receiver.web.shield import local_path

SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give the browser of somebody who is logged in, at a receiver with one callback in it."""
    config = configured(tmp_path, admin_token=ADMIN)
    async with serving(config, REGISTRY) as (_, addresses), httpx.AsyncClient(follow_redirects=True) as client:
        assert (await client.post(f"{addresses.public}/hooks/acme/{TOKEN}", content=b"hello")).status_code == 200
        client.base_url = httpx.URL(addresses.admin or "")
        client.headers["accept"] = "text/html"
        assert (await client.post("/login", data={"token": ADMIN}, headers=SAME)).status_code == 200
        yield client


async def form_token(person: httpx.AsyncClient) -> str:
    """Return the token of a page's forms."""
    found = re.search(r'name="form_token" value="([^"]+)"', (await person.get("/sinks/archive")).text)
    assert found
    return found[1]


async def test_forms_carry_a_token(person: httpx.AsyncClient) -> None:
    """Without it, or with another, nothing is done, even from a page of ours."""
    token = await form_token(person)
    for wrong in ({}, {"form_token": ""}, {"form_token": token[:-1]}, {"form_token": "é"}):
        answer = await person.post("/sinks/archive/pause", data=wrong, headers=SAME)
        assert (answer.status_code, "not one of ours" in answer.text) == (403, True)
    assert (await person.post("/sinks/archive/pause", data={"form_token": token})).status_code == 403
    many = {"form_token": token, **{f"x{number}": "1" for number in range(70)}}
    assert (await person.post("/sinks/archive/pause", data=many, headers=SAME)).status_code == 400
    done = await person.post("/sinks/archive/pause", data={"form_token": token}, headers=SAME)
    assert "The sink is paused" in done.text
    assert "paused" in (await person.get("/sinks/archive")).text


async def test_another_session_has_another_token(person: httpx.AsyncClient) -> None:
    """So a token that somebody saw opens no other session."""
    first = await form_token(person)
    cookie = dict(person.cookies)
    person.cookies.clear()
    person.headers["authorization"] = f"Bearer {ADMIN}"
    assert await form_token(person) != first
    assert cookie


async def test_what_is_the_same_is_a_304(person: httpx.AsyncClient) -> None:
    """The tag is that of the page as it stands."""
    first = await person.get("/receipts")
    again = await person.get("/receipts", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await person.get("/receipts", headers={"if-none-match": '"x"'})).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/receipts/rcp_0000000000000", 404, "there is no rcp_0000000000000"),
        ("/transcripts/nonsense", 404, "is no id of the form"),
        ("/receipts?state=odd", 400, "state: expected one of"),
        ("/deliveries?cursor=x", 400, "cursor"),
        ("/sinks/none", 404, "known are archive"),
        ("/deliveries/change?verb=burn", 400, "verb: expected one of replay, discard"),
        ("/deliveries/change?verb=discard&state=delivered", 400, "state: to discard"),
        ("/transcripts/trn_0000000000000?from=0", 404, "trn_"),
        ("/quarantine/qrn_0000000000000", 404, "not in the quarantine"),
        ("/jobs/job_0000000000000", 404, "there is no job_"),
    ],
)
async def test_errors_are_pages(person: httpx.AsyncClient, path: str, status: int, told: str) -> None:
    """With the reason, and the way on."""
    answer = await person.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert told in answer.text


async def test_only_our_own_sentences_are_said(person: httpx.AsyncClient) -> None:
    """A link cannot put words on the page."""
    assert "3 deliveries go out again." in (await person.get("/deliveries?done=replayed&n=3")).text
    for query in ("done=<b>&n=3", "done=replayed&n=x", "done=replayed&n=9999999999"):
        assert 'role="status"' not in (await person.get(f"/deliveries?{query}")).text


async def test_the_door_leads_to_the_page_of_the_link(person: httpx.AsyncClient) -> None:
    """And nowhere else; what programs ask for is refused instead."""
    person.cookies.clear()
    person.follow_redirects = False
    asked = await person.get("/deliveries?state=dead")
    assert asked.headers["location"] == "/login?next=%2Fdeliveries%3Fstate%3Ddead"
    opened = await person.post("/login", data={"token": ADMIN, "next": "/deliveries?state=dead"})
    assert opened.headers["location"] == "/deliveries?state=dead"
    person.cookies.clear()
    assert (await person.get("/api/v1/receipts")).status_code == 401
    assert (await person.get("/receipts", headers={"accept": "application/json"})).status_code == 401


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/calls/call_1?x=1", "/calls/call_1?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/api/v1/receipts", "/"),
        ("/login?next=/x", "/"),
        ("/a\r\nb", "/"),
        ("/é", "/"),
        ("", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_local_paths(text: str, path: str) -> None:
    """Only paths of ours."""
    assert local_path(text) == path


def test_every_template_can_be_read() -> None:
    """And has nothing of its own that the content security policy forbids."""
    made = templates()
    for name in made.list_templates(["html"]):
        assert made.get_template(name).name == name
        source = (Path(__file__).parents[4] / "receiver/web/templates" / name).read_text("utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:|\|\s*safe", source), name


async def test_a_receipt_that_waits_for_a_confirmation_is_admitted(tmp_path: Path) -> None:
    """The button is there while it waits; then it goes on, and the button is gone."""
    config = configured(tmp_path, admin_token=ADMIN)
    async with serving(config, REGISTRY, "web") as (_, where), httpx.AsyncClient(follow_redirects=True) as person:
        assert (await person.post(f"{where.public}/hooks/acme/{TOKEN}", content=b"hello")).status_code == 200
        with contextlib.closing(sqlite3.connect(tmp_path / "store.db", timeout=30)) as store, store:
            store.execute("UPDATE receipts SET state = 'confirming'")
        person.base_url = httpx.URL(where.admin or "")
        person.headers["accept"] = "text/html"
        await person.post("/login", data={"token": ADMIN}, headers=SAME)
        receipts = await person.get("/api/v1/receipts", headers={"accept": "application/json"})
        path = f"/receipts/{receipts.json()['items'][0]['id']}"
        assert "waits for a confirmation" in (await person.get(path)).text
        token = {"form_token": await form_token(person)}
        done = await person.post(f"{path}/admit", data=token, headers=SAME)
        assert "1 receipt was admitted." in done.text
        assert "waits for a confirmation" not in done.text
        again = await person.post(f"{path}/admit", data=token, headers=SAME)
        assert (again.status_code, "does not wait" in again.text) == (400, True)


async def test_the_search_has_every_filter(person: httpx.AsyncClient) -> None:
    """Each that search has can be put into the form, and stands in it again."""
    listing = {*SEGMENTS.parameters()} - {"limit", "cursor"}
    page = (await person.get("/search?q=hello&call=call_0000000000000")).text
    assert {name for name in listing if f'name="{name}"' in page} == listing
    assert 'value="call_0000000000000"' in page
    assert "Nothing was found" in page
