"""Tunnels: what the ngrok agent on this machine leads to us, and an agent of our own where ngrok is installed.

Only a tunnel to the public listener is taken. One that leads to the admin listener stops everything: a tunnel arrives
from this machine, so that listening on loopback alone protects nothing.
"""

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import IO
from urllib.parse import urlsplit

import httpx
import msgspec

from receiver.contract.errors import ConfigError

AGENT = "http://127.0.0.1:4040"
"""Where the ngrok agent answers unless it is told otherwise."""
HOW_TO = "install ngrok (https://ngrok.com/download) or run another tunnel, and give its address with --public-url"

_HERE = re.compile(r"|localhost|127(\.\d+){3}|::1|::|0\.0\.0\.0")
_ANSWER = 2.0
"""Seconds that the agent may take to answer."""
_START = 15.0
"""Seconds that a new agent may take to have its tunnel."""
_STOP = 3.0
_LOOK = 0.1
_SAID = re.compile(r"^ERROR:?\s+(\S.{0,200})", re.MULTILINE)
_CODE = re.compile(r"ERR_NGROK_\d+")


class Tunnel(msgspec.Struct, frozen=True, kw_only=True):
    """One tunnel of the agent: the address it has outside, and the port on this machine that it leads to."""

    url: str
    port: int | None
    """None where it leads elsewhere."""


class _Config(msgspec.Struct):
    addr: str = ""


class _Listed(msgspec.Struct):
    public_url: str
    config: _Config = msgspec.field(default_factory=_Config)


class _List(msgspec.Struct):
    tunnels: list[_Listed]


class Agent:
    """The ngrok agent, asked for the one tunnel that is ours."""

    def __init__(self, address: str, port: int, forbidden: Mapping[int, str]) -> None:
        """`port` is the public listener's; `forbidden` says by port what no tunnel may lead to."""
        self.address = address.rstrip("/")
        self._port = port
        self._forbidden = forbidden

    async def tunnels(self) -> list[Tunnel] | None:
        """Return every tunnel, or None where no agent answers."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER) as client:
                answer = await client.get(f"{self.address}/api/tunnels")
            listed = msgspec.json.decode(answer.content, type=_List).tunnels
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError):
            return None
        return [Tunnel(url=one.public_url.rstrip("/"), port=local_port(one.config.addr)) for one in listed]

    async def look(self) -> str | None:
        """Return the address outside of the tunnel to the public listener, if there is one.

        Raises ConfigError where any tunnel leads to what must not be reached from outside.
        """
        return chosen(await self.tunnels() or (), self._port, self._forbidden)

    async def wait(self, running: asyncio.Event) -> str | None:
        """Return our tunnel once it is there; None where it does not come in time, or what it waits for has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START):
                while (found := await self.look()) is None and not running.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(running.wait(), _LOOK)
                return found
        return None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The tunnel's address, or None; `how` it was found, or why there is none."""

    url: str | None
    how: str


def chosen(tunnels: Sequence[Tunnel], port: int, forbidden: Mapping[int, str]) -> str | None:
    """Return the address of the tunnel to `port`, https before http. Raises ConfigError for a forbidden one."""
    for tunnel in tunnels:
        if tunnel.port is not None and tunnel.port in forbidden:
            raise ConfigError(
                f"a tunnel, {tunnel.url}, leads to {forbidden[tunnel.port]} (port {tunnel.port}), which must not be "
                f"reached from outside: end it, and start `ngrok http {port}`"
            )
    urls = [tunnel.url for tunnel in tunnels if tunnel.port == port and tunnel.url.startswith(("https://", "http://"))]
    return min(urls, key=lambda url: not url.startswith("https://"), default=None)


def local_port(target: str) -> int | None:
    """Return the port of a tunnel's target on this machine: `http://localhost:8080`, `127.0.0.1:8080`, `8080`."""
    if target.isascii() and target.isdigit():
        return int(target)
    try:
        parts = urlsplit(target if "://" in target else f"//{target}")
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return port if _HERE.fullmatch(parts.hostname or "") else None


@contextlib.asynccontextmanager
async def tunnel(agent: Agent, port: int) -> AsyncIterator[Found]:
    """Give the tunnel to the public listener: one that runs, else one of our own, which ends with the block.

    Raises ConfigError where a tunnel leads to the admin listener.
    """
    if (url := await agent.look()) is not None:
        yield Found(url=url, how="the running ngrok agent")
        return
    program = shutil.which("ngrok")
    if program is None:
        yield Found(url=None, how=f"no ngrok agent has a tunnel to port {port}, and ngrok is not installed; {HOW_TO}")
        return
    with tempfile.TemporaryFile() as said:
        async with _started(program, port, said) as ended:
            url = await agent.wait(ended)
            how = f"`ngrok http {port}`, which ends with this command" if url else _why(said, ended=ended.is_set())
            yield Found(url=url, how=how)


@contextlib.asynccontextmanager
async def _started(program: str, port: int, said: IO[bytes]) -> AsyncIterator[asyncio.Event]:
    """Run ngrok as long as the block runs; give what tells that it ended by itself."""
    process = await asyncio.create_subprocess_exec(
        program, "http", str(port), stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said
    )
    ended = asyncio.Event()
    waiting = asyncio.create_task(process.wait())
    waiting.add_done_callback(lambda _: ended.set())
    try:
        yield ended
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        done, _ = await asyncio.wait([waiting], timeout=_STOP)
        if not done:
            process.kill()
            await waiting


def _why(said: IO[bytes], *, ended: bool) -> str:
    """Say why ngrok gave no tunnel: its first error and its code; the rest of what it says may hold its token."""
    said.seek(0)
    text = said.read(64 * 1024).decode("utf-8", "replace")
    error, code = _SAID.search(text), _CODE.search(text)
    reasons = [error[1].rstrip(" .:")] if error else []
    reasons += [code[0]] if code else []
    word = "ngrok ended" if ended else "ngrok gave no tunnel in time"
    return f"{word}{': ' if reasons else ''}{', '.join(reasons)}; {HOW_TO}"
