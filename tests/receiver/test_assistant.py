"""What assistants get, asked with the SDK's own client: the tools, roles, masks, the audit trail, and a real process."""

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from audited_table import TOOLS
from command_on import Kept
from kept import ROUTES, kept_in, normalized, result
from mcp import StdioServerParameters
from mcp.client import Client

from receiver.assistant import Assistant
from receiver.cli.mcp import asking, served
from receiver.contract.errors import UsageError
from receiver.contract.model import DeliveryState, Segment
from receiver.contract.settings import RedactSettings
from receiver.pipeline.indexing import Indexing
from receiver.pipeline.operating.replay import Replay
from receiver.store.access import Role, Tokens, Who
from receiver.store.audit import Trail
from receiver.store.ids import DELIVERY, encode
from receiver.store.lists import Lists
from receiver.store.store import Store
from receiver.testing.store import MIB, Clock, a_tried

SAID = "please write to ann@example.com about the refund"


async def fill(store: Store) -> None:
    """Keep a transcript that is indexed, and a dead delivery of it."""
    said = (Segment(start=0.0, end=1.0, speaker="A", text=SAID),)
    await normalized(store, [result("job-1", "CA1", text=SAID, segments=said)])
    await Indexing(store).step()
    due = await store.due("archive", 9, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(one.id, DeliveryState.DEAD, detail="410") for one in due])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give a store with a transcript."""
    async with kept_in(tmp_path / "store.db", Clock()) as opened:
        await fill(opened)
        yield opened


async def some(role: Role) -> Who:
    """Return somebody with a role."""
    return Who(name="bot", role=role)


def client(
    store: Store, role: Role = Role.READ, *, writes: bool = False, redact: RedactSettings | None = None
) -> Client:
    """Return the SDK's client of a server in this process."""
    replay = Replay(store, ROUTES) if writes else None
    made = Assistant(store, lambda: some(role), host="calls.example.com", redact=redact, replay=replay)
    return Client(served(made, allow_write=writes))


async def asked(one: Client, tool: str, **arguments: Any) -> str:
    """Call a tool; return what it says."""
    said = await one.call_tool(tool, arguments)
    text: str = "".join(getattr(part, "text", "") for part in said.content)
    return f"error: {text}" if said.is_error else text


async def test_search_and_reading(store: Store) -> None:
    """What was said is found, read and exported, and each of these is in the trail."""
    async with client(store) as one:
        found = json.loads(await asked(one, "search", words="refund", role=None))["items"][0]
        number = found["transcript_id"]
        assert SAID in await asked(one, "read_transcript", transcript_id=number)
        assert SAID in await asked(one, "export", id=number, form="txt")
        assert json.loads(await asked(one, "export", id=found["call_id"], form="vcon"))["vcon"]
        assert json.loads(await asked(one, "read_call", call_id=found["call_id"]))["transcripts"][0]["id"] == number
        assert json.loads(await asked(one, "list_jobs")) == {"items": [], "next": None}
        for tool, wrong in (
            ("read_transcript", {"transcript_id": "x"}),
            ("job_status", {"job_id": "job_0000000000000"}),
        ):
            assert "error" in await asked(one, tool, **wrong)
        assert "quotation mark" in await asked(one, "search", words='"')
        tools = {tool.name for tool in (await one.list_tools()).tools}
    assert {*tools, "replay"} == {*TOOLS}
    trail = (await Trail(store).listed({})).items
    assert [(entry["who"], entry["via"], entry["what"]) for entry in trail] == [("bot", "mcp", "read")] * 5


async def test_what_it_is_shown_is_masked(store: Store) -> None:
    """Everywhere, ids but for; what would hold the provider's own callback is refused."""
    async with client(store, redact=RedactSettings(kinds=("email",))) as one:
        found = json.loads(await asked(one, "search", words="refund"))["items"][0]
        number = found["transcript_id"]
        shown = [
            json.dumps(found),
            await asked(one, "read_transcript", transcript_id=number),
            *[await asked(one, "export", id=number, form=form) for form in ("txt", "json", "vtt")],
        ]
        assert all("[email]" in text and "ann@" not in text for text in shown)
        assert "not masked" in await asked(one, "export", id=number, form="vcon")
        assert "not masked" in await asked(one, "export", id=found["call_id"], form="vcon")
        assert found["marks"] == []


async def test_replay_needs_the_flag_and_the_role(store: Store) -> None:
    """Both of them; done, it is in the trail."""
    page = await Lists(store.engine).deliveries({"sink": "archive"})
    number = page.items[0]["id"]
    async with client(store, Role.READ, writes=True) as one:
        assert "needs the role operate" in await asked(one, "replay", delivery_id=number)
    async with client(store, Role.OPERATE, writes=True) as one:
        assert json.loads(await asked(one, "replay", delivery_id=number))["changed"] == 1
        assert "error" in await asked(one, "replay", delivery_id=encode(DELIVERY, 1))
    assert (await Trail(store).listed({"what": "deliveries.replay"})).items[0]["thing"] == number
    made = Assistant(store, lambda: some(Role.ADMIN), host="x")
    with pytest.raises(UsageError, match="--allow-write"):
        await made.replay(number)


async def test_whose_token_it_is(store: Store) -> None:
    """Under a name, by the token itself, or by nobody's; one that is revoked ends it at the next question."""
    tokens = Tokens(store)
    _, token = await tokens.create("bot", Role.OPERATE)
    assert (await asking(tokens, "bot", None)()).role is Role.OPERATE
    by_token = asking(tokens, None, token.value)
    assert (await by_token()).name == "bot"
    nobody = await asking(tokens, None, None)()
    assert (nobody.name.startswith("command as "), nobody.role) == (True, Role.READ)
    await tokens.revoke("bot")
    for asks in (by_token, asking(tokens, "bot", None), asking(tokens, None, "")):
        with pytest.raises(UsageError, match="does not work"):
            await asks()


async def test_a_real_process_over_stdio(tmp_path: Path) -> None:
    """As assistants start it: with the token in its environment."""
    kept = Kept(tmp_path)
    async with kept_in(kept.store, Clock()) as store:
        await fill(store)
        _, token = await Tokens(store).create("bot", Role.READ)
    program = str(Path(sys.executable).with_name("hookscribe"))
    environment = {**os.environ, "HOOKSCRIBE_TOKEN": token.value}
    arguments = ["--config", str(kept.file), "mcp", "--allow-write"]
    async with Client(StdioServerParameters(command=program, args=arguments, env=environment)) as one:
        assert "refund" in await asked(one, "search", words="refund")
        assert "needs the role operate" in await asked(one, "replay", delivery_id="dlv_0000000000000")
