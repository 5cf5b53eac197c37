"""`hookscribe simulate --serve`: emulators as processes, and the settings that they print."""

import socket
import tomllib
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from programs import running

from receiver import cli
from receiver.config import build
from receiver.registry import discover
from receiver.testing.emulators import EMULATORS, emulator
from receiver.testing.emulators.callcov import CallCovEmulator
from receiver.testing.emulators.callcov_switches import Switches
from receiver.testing.emulators.posting import Sending
from receiver.testing.server import free_port


def simulate(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.hookscribe, ["simulate", *arguments])


@pytest.mark.parametrize("provider", sorted(EMULATORS))
def test_the_settings_are_those_of_a_source_that_can_be_asked(provider: str) -> None:
    """What is printed loads as it stands, and holds what asking needs."""
    table = tomllib.loads(emulator(provider).configuration("http://127.0.0.1:9"))
    registry = discover()
    config = build(table, {}, registry)
    settings = config.sources[provider]
    assert registry.provider(provider)(provider, settings).api() is not None
    assert settings.api_private


@pytest.mark.parametrize("provider", sorted(EMULATORS))
def test_it_runs_until_stopped(provider: str, tmp_path: Path) -> None:
    """Without any settings of its own; it answers, refuses who has no key, and ends without a trace."""
    port = free_port()
    with running("simulate", "--serve", provider, "--port", str(port), cwd=tmp_path) as program:
        program.until("[sources.")
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/none").status_code == 404
        program.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--serve", "acme"), f"there is no emulator of 'acme'; there are {', '.join(sorted(EMULATORS))}"),
        (("--serve", "callcov", "--switch", "signature"), "--switch 'signature': write it as name=value"),
        (("--serve", "callcov", "--switch", "colour=red"), "has no switch colour; it has key_header, json_create"),
        (("--serve", "callcov", "--switch", "signature=red"), "Invalid enum value 'red' - at `$.signature`"),
        (("--serve", "invox", "--switch", "callbacks.late=never"), "at `$.callbacks.late`"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], said: str) -> None:
    """Each names what there is."""
    ended = simulate(*arguments)
    assert said in str(ended.exception or ended.output) or said in ended.output
    assert ended.exit_code != 0


def test_a_port_that_is_taken() -> None:
    """The way out is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = simulate("--serve", "callcov", "--port", str(taken.getsockname()[1]))
    assert "give another with --port" in f"{ended.output}{ended.exception}"


def test_switches_are_text() -> None:
    """Each is read as what it is."""
    switches = {"signature": "hex", "json_create": "true", "calls_status": "202", "callbacks": {"copies": "2"}}
    made = emulator("callcov", switches)
    assert isinstance(made, CallCovEmulator)
    expected = Switches(signature="hex", json_create=True, calls_status=202, callbacks=Sending(copies=2))
    assert made.switches == expected
