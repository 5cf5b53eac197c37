"""The command `mcp`: what is kept, for assistants, over the Model Context Protocol on stdin and stdout."""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from receiver import logs
from receiver.assistant import Asks, Assistant
from receiver.cli.actions import verbs
from receiver.cli.loading import loaded
from receiver.cli.noting import user
from receiver.contract.errors import ConfigError, HookscribeError, UsageError
from receiver.exporting import host_of
from receiver.runtime import opened
from receiver.store.access import Role, Tokens, Who

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

SINK = "mcp"
"""The sink whose redaction counts."""
_ABOUT = "Calls that were transcribed: find what was said, read and export transcripts, see how jobs stand."
P = ParamSpec("P")
ResultT = TypeVar("ResultT")


@click.command()
@click.option("--token-name", metavar="NAME", help="Act under this named token; default: that of HOOKSCRIBE_TOKEN.")
@click.option("--allow-write", is_flag=True, help="Let it replay deliveries, where the token's role allows that.")
@click.pass_obj
def mcp(path: Path | None, token_name: str | None, allow_write: bool) -> None:
    """Serve what is kept to an assistant, over stdio (MCP).

    By the Model Context Protocol, as assistants start it. It may look, as the token's role says; without a token it may look too, in
    the name of who runs it. What it is shown is masked as the redact table of a sink called mcp says, if there is one.
    """
    asyncio.run(_serve(path, token_name, os.environ.get("HOOKSCRIBE_TOKEN"), allow_write=allow_write))


async def _serve(path: Path | None, name: str | None, token: str | None, *, allow_write: bool) -> None:
    logs.configure("auto", "error")
    async with opened(*loaded(path)) as runtime:
        asks = asking(Tokens(runtime.store), name, token)
        await asks()
        config = runtime.config
        sink = config.sinks.get(SINK)
        assistant = Assistant(
            runtime.store,
            asks,
            host=host_of(config.root.public_url),
            redact=sink.redact if sink else None,
            replay=verbs(runtime) if allow_write else None,
        )
        await served(assistant, allow_write=allow_write).run_stdio_async()


def asking(tokens: Tokens, name: str | None, token: str | None) -> Asks:
    """Return what says who asks: under a token's name, by a token, or who runs this, who may look."""

    async def asks() -> Who:
        if name is None and token is None:
            return Who(name=f"command as {user()}", role=Role.READ)
        who = await (tokens.named(name) if name is not None else tokens.bearer(token or ""))
        if who is None:
            raise UsageError(
                f"the token {name or 'of HOOKSCRIBE_TOKEN'} does not work: `hookscribe tokens list` says more"
            )
        return who

    return asks


def served(assistant: Assistant, *, allow_write: bool) -> "MCPServer":
    """Return the server with its tools. Raises ConfigError where the SDK is not installed."""
    try:
        from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 -- 55 MB
    except ImportError:
        raise ConfigError("mcp: its package is not installed: pip install 'hookscribe[mcp]'") from None
    server = MCPServer("hookscribe", instructions=_ABOUT, log_level="WARNING")
    _looking(server, assistant)
    if allow_write:

        @server.tool(description="Deliver one delivery (dlv_...) to its sink again.")
        @_told
        async def replay(delivery_id: str) -> dict[str, Any]:
            return await assistant.replay(delivery_id)

    return server


def _looking(server: "MCPServer", assistant: Assistant) -> None:
    @server.tool(
        description=(
            'Find what was said: words, "phrases", begin*, -without. Role is agent or customer; since and until are times '
            "or days; speaker, source and call narrow it down. Newest first."
        )
    )
    @_told
    async def search(
        words: str,
        *,
        speaker: str | None = None,
        role: str | None = None,
        source: str | None = None,
        call: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 20,
    ) -> dict[str, Any]:
        narrowed = {"speaker": speaker, "role": role, "source": source, "call": call, "since": since, "until": until}
        return await assistant.search(words, limit, narrowed)

    @server.tool(description="Read a transcript (trn_...) whole: text, speakers, segments, analysis.")
    @_told
    async def read_transcript(transcript_id: str, version: int | None = None) -> dict[str, Any]:
        return await assistant.transcript(transcript_id, version)

    @server.tool(description="Show a call (call_...) and which transcripts there are of it.")
    @_told
    async def read_call(call_id: str) -> dict[str, Any]:
        return await assistant.call(call_id)

    @server.tool(description="A transcript as json, txt, csv, vtt, srt or vcon; a call as vcon.")
    @_told
    async def export(id: str, form: str = "txt") -> str:  # noqa: A002 -- the name that assistants see
        return await assistant.export(id, form)

    @server.tool(description="How a job (job_...) stands that a provider was asked to do.")
    @_told
    async def job_status(job_id: str) -> dict[str, Any]:
        return await assistant.job(job_id)

    @server.tool(description="Jobs, newest first, by source and state.")
    @_told
    async def list_jobs(source: str | None = None, state: str | None = None, limit: int = 20) -> dict[str, Any]:
        return await assistant.jobs({"source": source, "state": state}, limit)


def _told(tool: Callable[P, Awaitable[ResultT]]) -> Callable[P, Awaitable[ResultT]]:
    """Let a tool tell errors of ours in their own words."""
    from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415 -- 55 MB

    @functools.wraps(tool)
    async def told(*args: P.args, **kwargs: P.kwargs) -> ResultT:
        try:
            return await tool(*args, **kwargs)
        except HookscribeError as error:
            raise ToolError(str(error)) from None

    return told
