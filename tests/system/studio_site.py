"""A site with a source that can be submitted to: the studio of tests/studio.py."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

from studio import KEY, Studio

from system.harness import Site

_SETTINGS = """
[sources.studio]
provider = "studio"
token = "system-studio-token"
api = "{api}"
key = "{key}"
api_private = true
poll_after = {poll_after}
{more}
"""


class StudioSite(Site):
    """A site whose public address is known before it listens."""

    def __init__(
        self, folder: Path, api: str, *, poll_after: float = 600, more: str = "", reachable: bool = True
    ) -> None:
        super().__init__(folder)
        port = _free_port()
        address = f'public_url = "http://127.0.0.1:{port}"\n' if reachable else ""
        self.write(address + self.settings().replace('public = "127.0.0.1:0"', f'public = "127.0.0.1:{port}"'))
        self.add_settings(_SETTINGS.format(api=api, key=KEY, poll_after=poll_after, more=more))
        points = folder / "plugin" / "hookscribe_calls-1.0.dist-info" / "entry_points.txt"
        points.write_text(points.read_text() + f"studio = {Studio.__module__}:{Studio.__name__}\n")

    async def run(self, *arguments: str, point: str | None = None, signal_after: Any = None) -> tuple[int, str, str]:
        """Run one command to its end; return exit code, stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments, point=point),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(),
        )
        if signal_after is not None:
            number, event = signal_after
            await event.wait()
            process.send_signal(number)
        out, error = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()

    async def json(self, *arguments: str) -> list[dict[str, Any]]:
        """Run one command that prints JSON lines, and return them."""
        code, out, error = await self.run(*arguments, "--json")
        assert code == 0, error
        return [json.loads(line) for line in out.splitlines()]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port
