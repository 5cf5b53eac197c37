"""Writes the pages as pictures into docs/images: `make screenshots`."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Literal

from browser_pages import REFUND, Site, browsing, site
from playwright.async_api import Page

WIDE = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 760}


async def paths(made: Site) -> list[tuple[str, str, Literal["light", "dark"], dict[str, int]]]:
    """Return name, path, colours and window of each picture."""
    (refund,) = await made.rows("transcripts", job_id=REFUND)
    (harbour,) = await made.rows("transcripts", source="harbour")
    (refused,) = await made.rows("quarantine")
    return [
        ("overview", "/", "light", WIDE),
        ("transcript", f"/transcripts/{harbour['id']}", "light", WIDE),
        ("transcript-dark", f"/calls/{refund['call']['id']}", "dark", WIDE),
        ("transcript-phone", f"/transcripts/{harbour['id']}", "light", PHONE),
        ("search", "/search?q=refund&role=customer", "light", WIDE),
        ("quarantine", f"/quarantine/{refused['id']}", "light", WIDE),
        ("deliveries", "/deliveries?sink=crm&state=dead", "light", WIDE),
    ]


async def picture(page: Page, url: str, file: Path) -> None:
    """Write one page as a picture."""
    await page.goto(url)
    await page.screenshot(path=file)
    print(f"{file}: {file.stat().st_size:,} bytes")


async def main(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as store:
        async with site(Path(store)) as made:
            for name, path, colours, window in await paths(made):
                async with browsing(made, color_scheme=colours, viewport=window) as (_, page, _faults):
                    await picture(page, made.admin + path, folder / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
