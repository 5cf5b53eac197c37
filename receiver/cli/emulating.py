"""`hookscribe simulate --serve`: a provider on this machine, for users without an account."""

import asyncio
import signal
import socket
from typing import Any

import click
import uvloop

from receiver.contract.errors import UsageError
from receiver.testing.emulators import Emulator, emulator
from receiver.testing.emulators.serving import serving

PORT = 9321
"""Where an emulator listens unless told otherwise: settings that were pasted once stay good."""


def emulate(provider: str, port: int, switches: tuple[str, ...]) -> None:
    """Run a provider's emulator until stopped, after printing the settings of a source for it."""
    made = emulator(provider, parsed(switches))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UsageError(f"port {port} is taken: give another with --port") from None
    uvloop.run(_serve(made, provider, port))


def parsed(switches: tuple[str, ...]) -> dict[str, Any]:
    """Read `name=value` and `table.name=value`. Raises UsageError."""
    found: dict[str, Any] = {}
    for switch in switches:
        path, equals, value = switch.partition("=")
        if not equals:
            raise UsageError(f"--switch {switch[:60]!r}: write it as name=value")
        *tables, name = path.split(".")
        into = found
        for table in tables:
            into = into.setdefault(table, {})
        into[name] = value
    return found


async def _serve(made: Emulator, provider: str, port: int) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with serving(made.app, port) as base:
        click.echo(f"# An emulator of {provider} listens at {base} until Ctrl-C. Settings for it, hookscribe.toml:\n")
        click.echo('public_url = "http://127.0.0.1:8080"   # where it calls back: the public listener of `serve`\n')
        click.echo(made.configuration(base))
        await stop.wait()
