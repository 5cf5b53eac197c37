"""Every page in Chromium: opened, used, judged by axe-core, and silent on the console."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browser_pages import ADMIN, PATIENCE, REFUND, SECRET, TOKEN, Site, axe, browsing, site
from playwright.async_api import Page, expect

from receiver.testing.server import writes

LOADED = (
    "() => new Promise((loaded) => { const one = document.getElementById('recording');"
    " one.addEventListener('loadedmetadata', loaded); one.preload = 'metadata'; one.load(); })"
)
"""Waits until the recording's length is known."""
BODIES = Path(__file__).parent
WORST = ("serious", "critical")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Site]:
    """Give a receiver with something in it."""
    async with site(tmp_path) as running:
        yield running


async def paths(made: Site) -> list[str]:
    """Return the path of every page, those of single things included."""
    transcripts = await made.rows("transcripts")
    deliveries = await made.rows("deliveries", state="dead")
    singles = [
        *(f"/transcripts/{one['id']}" for one in transcripts),
        *(f"/calls/{one['id']}" for one in await made.rows("calls")),
        *(f"/receipts/{one['id']}" for one in await made.rows("receipts")),
        *(f"/quarantine/{one['id']}" for one in await made.rows("quarantine")),
        *(f"/jobs/{one['id']}" for one in await made.rows("jobs")),
        f"/deliveries/{deliveries[0]['id']}",
    ]
    lists = [f"/{name}" for name in ("", "receipts", "quarantine", "calls", "transcripts", "deliveries", "jobs")]
    asked = ["/search?q=refund", "/search?q=%22", "/deliveries/change?verb=replay&state=dead", "/sinks/crm"]
    return [*lists, *asked, *singles, "/receipts/rcp_0000000000000"]


async def judged(page: Page) -> list[tuple[str, str]]:
    """Return what axe-core finds serious: the rule, and where."""
    found = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    bad = [one for one in found["violations"] if one["impact"] in WORST]
    return [(one["id"], node["html"][:120]) for one in bad for node in one["nodes"]]


@pytest.mark.parametrize(
    "look", [{"color_scheme": "light"}, {"color_scheme": "dark", "viewport": {"width": 375, "height": 700}}]
)
async def test_every_page_is_sound(made: Site, look: dict[str, Any]) -> None:
    """No serious fault by axe-core, no error on the console, nothing wider than the window, no secret, light and dark."""
    source = axe()
    async with browsing(made, **look) as (_, page, faults):
        for path in await paths(made):
            answer = await page.goto(made.admin + path)
            assert answer is not None
            expected = 404 if "0000000" in path else 400 if "%22" in path else 200
            assert answer.status == expected, path
            if answer.status != 200:
                faults.clear()  # the browser itself notes a status on its console
            await page.evaluate(source)
            assert await judged(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            content = await page.content()
            assert not any(secret in content for secret in (ADMIN, SECRET, TOKEN)), path
            assert faults == [], path


async def test_hostile_text_is_inert(made: Site) -> None:
    """HTML is text, marks that turn directions are named and turn nothing."""
    (hostile,) = [one for one in await made.rows("transcripts") if "<script>" in (one["text"] or "")]
    async with browsing(made) as (_, page, faults):
        for path in (f"/transcripts/{hostile['id']}", f"/calls/{hostile['call']['id']}", "/search?q=alert"):
            await page.goto(made.admin + path)
            assert "<script>alert('a')</script>" in await page.locator("main").inner_text()
            assert await page.locator("main script, main img, main b, main i").count() == 0
        await page.goto(f"{made.admin}/transcripts/{hostile['id']}")
        named = await page.locator(".hidden-character").all_inner_texts()
        assert {"U+202E", "U+0007", "U+2028"} <= set(named)
        assert "\u202e" not in await page.content()
    assert faults == []


async def test_what_comes_is_seen_within_a_second(made: Site) -> None:
    """A list that is open shows a callback by itself; a 304 says that nothing changed."""
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/receipts")
        before = await page.locator("#rows tbody tr").count()
        assert (await made.post(b'{"id":"live-1","status":"processing"}')).status_code == 200
        await expect(page.locator("#rows tbody tr")).to_have_count(before + 1, timeout=PATIENCE * 1000)
        async with page.expect_response(lambda answer: answer.status == 304):
            pass
    assert faults == []


async def test_the_stream_says_when_something_came(made: Site) -> None:
    """A list of transcripts is not asked for every second, and yet shows one as it comes."""
    async with browsing(made) as (_, page, faults):
        async with page.expect_response("**/api/v1/stream"):
            await page.goto(f"{made.admin}/transcripts")
        before = await page.locator("#rows tbody tr").count()
        async with page.expect_response("**/transcripts"):
            pass  # the look once the stream is open
        looks: list[str] = []
        page.on("request", lambda request: looks.append(request.url) if request.url.endswith("/transcripts") else None)
        await page.wait_for_timeout(3000)
        assert looks == []
        body = (BODIES / "refund.json").read_bytes().replace(REFUND.encode(), b"streamed-1")
        assert (await made.post(body)).status_code == 200
        await expect(page.locator("#rows tbody tr")).to_have_count(before + 1, timeout=PATIENCE * 1000)
        assert looks
    assert faults == []


async def test_without_the_stream_a_page_follows_all_the_same(made: Site) -> None:
    """It looks every second."""
    async with browsing(made) as (_, page, _):
        await page.route("**/api/v1/stream", lambda route: route.abort())
        await page.goto(f"{made.admin}/transcripts")
        before = await page.locator("#rows tbody tr").count()
        body = (BODIES / "refund.json").read_bytes().replace(REFUND.encode(), b"polled-1")
        assert (await made.post(body)).status_code == 200
        await expect(page.locator("#rows tbody tr")).to_have_count(before + 1, timeout=PATIENCE * 1000)


async def test_a_refused_request_is_admitted_once_it_proves(made: Site) -> None:
    """The secret is put right in the settings; then *Admit* makes a receipt of it, whose page says so."""
    (one,) = await made.rows("quarantine")
    await made.prove_with("another-secret")
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/quarantine/{one['id']}")
        await page.get_by_role("button", name="Admit").click()
        await expect(page.get_by_role("status")).to_have_text("1 receipt was admitted.")
        receipts = await made.rows("receipts")
        assert page.url.partition("?")[0] == f"{made.admin}/receipts/{receipts[0]['id']}"
        assert (receipts[0]["size"], receipts[0]["verdict"]) == (len(b'{"id":"x"}'), "signature")
        await page.goto(f"{made.admin}/quarantine")
        assert await page.locator("#rows tbody tr").count() == 0
    assert faults == []


async def test_a_refused_request_is_checked_with_another_secret(made: Site) -> None:
    """The right secret proves, a wrong one does not; neither is shown again; what does not prove is not admitted."""
    (one,) = await made.rows("quarantine")
    async with browsing(made) as (_, page, faults):
        for secret, told in (("wrong-secret", "refused"), ("another-secret", "proven")):
            await page.goto(f"{made.admin}/quarantine/{one['id']}")
            await page.get_by_label("Setting").select_option("secrets")
            await page.get_by_label("Another secret").fill(secret)
            await page.get_by_role("button", name="Check").click()
            assert await page.locator(".state", has_text=told).count() >= 1
            assert secret not in await page.content()
        assert faults == []
        await page.get_by_role("button", name="Admit").click()
        assert "does not prove with today's settings" in await page.get_by_role("alert").inner_text()


async def test_receipts_are_read_again(made: Site) -> None:
    """What it would come to is shown first; where nothing changes, there is nothing to write."""
    (one,) = await made.rows("transcripts", job_id=REFUND)
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/receipts/{one['provenance']['receipt_id']}")
        await page.get_by_role("button", name="Read again …").click()
        assert "unchanged" in await page.locator("#again").inner_text()
        assert await page.get_by_text("There is nothing to write.").is_visible()
    assert faults == []


async def test_all_that_a_filter_finds_is_counted_first(made: Site) -> None:
    """The count is shown before anything happens; then all of them go out, and discarded ones are given up."""
    made.crm.answer = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/deliveries?sink=crm&state=dead")
        await page.get_by_role("button", name="Discard all of these …").click()
        assert await page.get_by_role("heading", name="Discard 4 deliveries?").is_visible()
        assert len(await made.rows("deliveries", state="dead")) == 4
        await page.get_by_role("link", name="Back to the list").click()
        await page.get_by_role("button", name="Replay all of these …").click()
        await page.get_by_role("button", name="Replay 4 deliveries").click()
        assert await page.get_by_role("status").inner_text() == "4 deliveries go out again."
        await made.until("deliveries", 4, sink="crm", state="delivered")
    assert faults == []


async def test_sinks_are_paused_and_resumed(made: Site) -> None:
    """A paused sink needs attention, and the button there mends it."""
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/sinks/crm")
        await page.get_by_role("button", name="Pause").click()
        await page.goto(made.admin)
        await page.get_by_role("button", name="Resume").click()
        assert await page.locator("h1 .state").inner_text() == "running"
    assert faults == []


async def test_the_recording_and_the_words_go_together(made: Site) -> None:
    """The plot jumps in the recording, and the turn that plays is marked."""
    (one,) = await made.rows("transcripts", job_id=REFUND)
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/transcripts/{one['id']}")
        await page.evaluate(LOADED)
        await page.locator("#timeline a[href='#turn-6']").click()
        await expect(page.locator("#turn-6")).to_have_class("turn v1 right playing", timeout=PATIENCE * 1000)
        assert await page.evaluate("document.getElementById('recording').currentTime") >= 33.9
        (spoken,) = await made.rows("transcripts", source="harbour")
        await page.goto(f"{made.admin}/transcripts/{spoken['id']}")
        await page.evaluate(LOADED)
        await page.evaluate("document.getElementById('recording').currentTime = 1.6")
        await expect(page.locator(".word.playing")).to_have_text("Harbour", timeout=PATIENCE * 1000)
    assert faults == []


async def test_keys(made: Site) -> None:
    """A slash searches, j and k go from row to row, g and a letter go to a page, Tab finds the way past the head."""
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/transcripts")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        second = await page.locator("#rows tbody th a").nth(1).get_attribute("href")
        assert await page.evaluate("document.activeElement.getAttribute('href')") == second
        await page.keyboard.press("k")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/transcripts/trn_*")
        await page.keyboard.press("g")
        await page.keyboard.press("d")
        await page.wait_for_url("**/deliveries")
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "find"
        await page.goto(made.admin)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
    assert faults == []


async def test_it_works_without_javascript(made: Site) -> None:
    """Links and forms do everything; the page stands still."""
    async with browsing(made, java_script_enabled=False) as (_, page, _faults):
        await page.goto(f"{made.admin}/deliveries?sink=crm&state=dead")
        await page.locator("#rows tbody th a").first.click()
        await page.get_by_role("button", name="Discard").click()
        assert await page.get_by_role("status").inner_text() == "1 delivery was given up."
        (one,) = await made.rows("transcripts", job_id=REFUND)
        await page.goto(f"{made.admin}/transcripts/{one['id']}")
        await page.locator("#timeline a[href='#turn-3']").click()
        assert await page.locator("#turn-3:target").count() == 1


async def test_a_link_leads_through_the_door(made: Site) -> None:
    """Who is not logged in gets to the page of the link after giving the token."""
    (one,) = await made.rows("transcripts", job_id=REFUND)
    async with browsing(made) as (context, page, _):
        await context.clear_cookies()
        await page.goto(f"{made.admin}/transcripts/{one['id']}?version=1")
        await page.get_by_label("Token").fill(ADMIN)
        async with asyncio.timeout(PATIENCE):
            await page.get_by_role("button", name="Log in").click()
        assert page.url == f"{made.admin}/transcripts/{one['id']}?version=1"
        await page.get_by_role("button", name="Log out").click()
        assert page.url.endswith("/login")


async def test_versions_are_compared(made: Site) -> None:
    """A second result of the same job is a second version; what is different stands beside what was there."""
    (one,) = await made.rows("transcripts", job_id=REFUND)
    later = (BODIES / "refund.json").read_bytes().replace(b"Goodbye!", b"Goodbye, Rosa!")
    assert (await made.post(later)).status_code == 200
    async with asyncio.timeout(PATIENCE):
        while len(await made.rows(f"transcripts/{one['id']}/versions")) < 2:
            await asyncio.sleep(0.05)
    async with browsing(made) as (_, page, faults):
        await page.goto(f"{made.admin}/transcripts/{one['id']}")
        await page.get_by_role("link", name="with 1").click()
        told = page.get_by_role("row", name="segments[14].text")
        assert await told.locator("del").inner_text() == "Goodbye!"
        assert await told.locator("ins").inner_text() == "Goodbye, Rosa!"
        await page.get_by_role("link", name="1", exact=True).click()
        assert "the newest is 2" in await page.locator(".note").inner_text()
    assert faults == []


async def test_unreadable_receipts_are_read_again_from_the_overview(made: Site) -> None:
    """What still cannot be read stays, and that is said."""
    async with browsing(made) as (_, page, faults):
        await page.get_by_role("button", name="Read again").click()
        assert await page.get_by_role("status").inner_text() == "0 receipts were read again."
        await page.goto(f"{made.admin}/receipts?state=unreadable")
        await page.locator("#rows tbody th a").first.click()
        assert "not UTF-8 text" in await page.locator("main").inner_text()
    assert faults == []
