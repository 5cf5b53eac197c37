"""The walk of somebody who has never seen Hookscribe: from a message in Slack to a replayed delivery, by the page alone."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from browser_pages import PATIENCE, REFUND, browsing, local, site
from playwright.async_api import Page

from receiver.testing.server import writes


async def saved(page: Page, name: str) -> bytes:
    """Follow a link of the exports, and return what was saved."""
    async with page.expect_download() as downloading:
        await page.locator("#exports").get_by_role("link", name=name).click()
    return Path(await (await downloading.value).path()).read_bytes()


async def test_from_slack_to_a_replayed_delivery(tmp_path: Path) -> None:
    """The link is followed, conversation and plot are seen, exported, another call is found, the dead letter goes out."""
    async with site(tmp_path) as made, browsing(made) as (_, page, faults):
        (message,) = [json.dumps(one) for one in made.slack if REFUND in json.dumps(one)]
        link = re.search(r"<(http[^|]+)\|Open in Hookscribe>", message)
        assert link is not None
        await page.goto(local(made, link[1]))
        assert await page.get_by_role("heading", name="Who talks when").is_visible()
        assert await page.locator("#timeline .said").count() >= 14
        assert await page.get_by_text("I would rather have a refund.").is_visible()
        assert (await saved(page, "VTT")).startswith(b"WEBVTT")
        assert json.loads(await saved(page, "vCon"))["dialog"] is not None

        await page.get_by_label("Search what was said").fill("suitcase")
        await page.keyboard.press("Enter")
        await page.get_by_label("Said by").select_option("customer")
        today = datetime.now(UTC).date()
        await page.get_by_label("From", exact=True).fill(str(today - timedelta(days=1)))
        await page.get_by_label("Before", exact=True).fill(str(today))
        await page.locator("main").get_by_role("button", name="Search").click()
        await page.locator(".hit").click()
        assert "suitcase" in await page.locator(".turn:target").inner_text()

        made.crm.answer = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await page.get_by_role("link", name="Overview").click()
        await page.get_by_role("link", name="4 dead deliveries to crm").click()
        await page.locator("#rows tbody th a").first.click()
        await page.get_by_role("button", name="Replay").click()
        assert await page.get_by_role("status").inner_text() == "1 delivery goes out again."
        async with asyncio.timeout(PATIENCE):
            await page.locator("#delivery .state-delivered").last.wait_for()
            assert len(await made.until("deliveries", 1, sink="crm", state="delivered")) == 1
    assert faults == []
