"""A normalizer bug over 10,000 receipts: shown, written and told by the recipe, as far as something changed."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from system.harness import Site, install_plugin, serving
from system.holds import kept_once, settled
from system.recipes import ran, recipe
from system.sender import Factory, Sender

pytestmark = pytest.mark.system

RECEIPTS = 10_000
MISREAD = 4
"""Every so many-th callback counts in milliseconds."""
CHANGED = RECEIPTS // MISREAD
LANES = 16
MEMORY = 32 * 1024 * 1024
"""Bytes that reading all of them again may take beyond what reading none takes; their bodies are 50 MB."""
WORDS = "said " * 1000


async def test_a_normalizer_bug_over_10000_receipts(tmp_path: Path) -> None:
    """The recipe makes new versions of what was misread, tells only the named sink, and does nothing when done again."""
    site = Site(tmp_path)
    site.add_settings(f'[sinks.crm]\nkind = "jsonl"\npath = "{tmp_path}/crm.jsonl"\n')
    install_plugin(tmp_path / "plugin", "1.0", "system.misread:Misreading")
    async with serving(site) as process:
        sender = Sender(site.address)
        factory = Factory(site)
        await asyncio.gather(*(sender.send(callbacks(factory, lane)) for lane in range(LANES)))
        await settled(site, process)
        await process.stop()
    kept_once(site, sender.acknowledged)
    before, told = site.events.read_bytes(), events(tmp_path / "crm.jsonl")
    assert len(told) == len(site.lines()) == RECEIPTS

    install_plugin(tmp_path / "plugin", "1.1", "system.misread:Fixed")
    async with serving(site) as process:
        (shown,) = await recipe(site, HEADING, callcov="calls")
        assert shown.count("  changed") == CHANGED
        assert summary(shown) == f"{COUNTED}; {MADE} deliveries with --write; nothing was written".replace("N", "0")
        assert versions(site) == {1: RECEIPTS}
        (written,) = await recipe(site, HEADING, block=1, callcov="calls")
        assert summary(written) == f"{COUNTED}; {MADE} deliveries written".replace("N", f"{CHANGED:,}")
        await settled(site, process)
        assert versions(site) == {1: RECEIPTS, 2: CHANGED}

        none, again = await ran(site, "reprocess", "--source", "callcov"), await ran(site, "reprocess", "--write")
        assert summary(none.output).startswith("0 receipts")
        assert summary(again.output).startswith(f"{RECEIPTS:,} receipts: {RECEIPTS:,} unchanged; 0 versions")
        assert again.memory - none.memory < MEMORY
        await settled(site, process)
        await process.stop()
    assert site.events.read_bytes() == before
    anew = events(tmp_path / "crm.jsonl")[len(told) :]
    assert len(anew) == CHANGED
    assert len({event["id"] for event in anew} | {event["id"] for event in told}) == RECEIPTS + CHANGED
    assert {(event["type"], event["data"]["version"]) for event in anew} == {("transcript.updated", 2)}
    assert {event["data"]["provenance"]["normalizer"] for event in anew} == {"calls/2"}
    read = {event["data"]["job_id"]: event["data"]["duration"] for event in anew}
    assert read == {f"job-{number}": (60_000 + number) / 1000 for number in range(0, RECEIPTS, MISREAD)}
    subjects = {event["data"]["job_id"]: event["subject"] for event in told}
    assert all(event["subject"] == subjects[event["data"]["job_id"]] for event in anew)


HEADING = "A normalizer bug"
COUNTED = f"{RECEIPTS:,} receipts: {RECEIPTS - CHANGED:,} unchanged, {CHANGED:,} changed"
MADE = f"{CHANGED:,} versions, {CHANGED:,} events, N"


def callbacks(factory: Factory, lane: int) -> Any:
    """Make the callbacks of one connection: calls of a minute and some, in seconds or milliseconds."""
    for number in range(lane, RECEIPTS, LANES):
        took = {"took": 60_000 + number, "unit": "ms"} if number % MISREAD == 0 else {"took": (60_000 + number) / 1000}
        yield factory.of_call(f"call-{number}", f"job-{number}", text=WORDS, **took)


def summary(output: str) -> str:
    """Return the last line that a command printed."""
    return output.splitlines()[-1]


def versions(site: Site) -> Counter[int]:
    """Return how many documents there are of each version."""
    return Counter(dict(site.rows("SELECT version, count(*) FROM versions GROUP BY version")))


def events(path: Path) -> list[dict[str, Any]]:
    """Return the events in a file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
