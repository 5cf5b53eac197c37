"""`hookscribe simulate` against a receiver that runs, and against others."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from programs import run, running

from receiver import cli
from receiver.testing.server import free_port

TOKEN = "canary-token-0123456789"
SETTINGS = """
log = "json"

[listen]
public = "127.0.0.1:{port}"
admin = "127.0.0.1:0"

[sources.signed]
provider = "callcov"
secrets = ["{secret}"]
signature = {{ header = "X-Sig", signed = "{{timestamp}}.{{body}}", timestamp_header = "X-Time" }}

[sources.ringcentral]
provider = "ringcentral"
token = "{token}"

[sinks.file]
kind = "jsonl"
path = "events.jsonl"
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the settings of a receiver that runs."""
    folder = tmp_path_factory.mktemp("simulate")
    file = folder / "hookscribe.toml"
    file.write_text(SETTINGS.format(port=free_port(), secret="canary-secret-0123456789", token=TOKEN))
    with running("serve", cwd=folder) as receiver:
        receiver.until("serve.started")
        yield file
        receiver.stop()


def simulate(settings: Path, *arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.hookscribe, ["--config", str(settings), "simulate", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("signed",), ['200 {"status":"accepted","id":"rcp_', "as expected: 200 accepted"]),
        (("signed", "failed"), ["made of the recorded case failed-"]),
        (("signed", "duplicate"), ['"status":"duplicate"', "2 of 2 as expected"]),
        (("signed", "stale"), ['401 {"error":"not proven"}', "as expected: 401"]),
        (("signed", "wrong-signature"), ["as expected: 401"]),
        (("signed", "changed-body"), ["as expected: 401"]),
        (("signed", "large"), ["5,0", "as expected: 200 accepted"]),
        (("signed", "generation-a-failed"), ["generation-a-failed, "]),
        (("ringcentral", "wrong-signature"), ["as expected: 404", "/hooks/ringcentral/***"]),
        (("ringcentral", "changed-body"), ["note: nothing signs the bodies"]),
    ],
)
def test_cases_get_the_answer_to_expect(settings: Path, arguments: tuple[str, ...], said: list[str]) -> None:
    """Each case is sent, and its answer is the one that was said; no token and no secret is shown."""
    result = simulate(settings, *arguments)
    assert result.exit_code == 0, result.output
    assert all(text in result.output for text in said), result.output
    assert "canary" not in result.output


def test_many_are_counted(settings: Path) -> None:
    """Of many, one line sums up; as a process of its own."""
    done = run("simulate", "ringcentral", "--count", "30", cwd=settings.parent)
    assert done.returncode == 0, done.stderr
    assert re.search(r"30 of 30 as expected; median \d+ ms, slowest \d+ ms", done.stdout)
    assert len(done.stdout.splitlines()) == 2


def test_another_answer_is_a_failure(settings: Path, tmp_path: Path) -> None:
    """With secrets that the receiver does not have, the answer is not the expected one: 1, and why that may be."""
    port = re.search(r"127\.0\.0\.1:(\d+)", settings.read_text())
    assert port is not None
    other = tmp_path / "other.toml"
    other.write_text(SETTINGS.format(port=port[1], secret="another-secret-0123456789", token=TOKEN))
    result = simulate(other, "signed")
    assert result.exit_code == 1
    assert "NOT as expected: 200 accepted" in result.output
    assert "other secrets or tokens" in result.output


def test_any_address_will_do(settings: Path) -> None:
    """A bare address gets source and token; a whole one stays as it is, but for the token that is to be wrong."""
    port = settings.read_text().partition("127.0.0.1:")[2].partition('"')[0]
    assert simulate(settings, "ringcentral", "--to", f"http://localhost:{port}").exit_code == 0
    assert simulate(settings, "ringcentral", "--to", f"localhost:{port}/").exit_code == 0
    whole = f"http://127.0.0.1:{port}/hooks/ringcentral/{TOKEN}"
    for case in ("completed", "wrong-signature"):
        result = simulate(settings, "ringcentral", case, "--to", whole)
        assert result.exit_code == 0, result.output
        assert "canary" not in result.output
    elsewhere = simulate(settings, "ringcentral", "--to", f"http://127.0.0.1:{port}/healthz")
    assert (elsewhere.exit_code, "405" in elsewhere.output) == (1, True)


def test_nobody_listening_is_said(settings: Path) -> None:
    """No answer at all is a failure of its own, with what may be missing."""
    done = run("simulate", "ringcentral", "--to", f"http://127.0.0.1:{free_port()}", cwd=settings.parent)
    assert done.returncode == 1
    assert "gave no answer (ConnectError); is `hookscribe serve` or `hookscribe dev` running?" in done.stderr
    assert "canary" not in done.stderr


def test_lists(settings: Path) -> None:
    """Sources without a source, cases with one."""
    assert re.search(r"^signed +callcov", simulate(settings, "--list").output, re.MULTILINE)
    cases = simulate(settings, "signed", "--list").output
    assert re.search(r"^wrong-signature +signed with another secret", cases, re.MULTILINE)
    assert re.search(r"^sloppy-json +\w", cases, re.MULTILINE)
    assert "refused-stale" not in cases


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which source; there are signed, ringcentral"),
        (("nobody",), "no source is called 'nobody'"),
        (("ringcentral", "stale"), "holds no time"),
        (("ringcentral", "nonsense"), "no case is called"),
        (("ringcentral", "--to", "ftp://x"), "is no http:// or https:// address"),
        (("ringcentral", "--count", "0"), "is not in the range"),
    ],
)
def test_wrong_use(settings: Path, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be sent is said, and nothing is."""
    result = simulate(settings, *arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ('public = "127.0.0.1:0"', "port 0"),
        ('public = "0.0.0.0:{port}"', "http://127.0.0.1:{port}/"),
        ('public = "[::]:{port}"', "http://[::1]:{port}/"),
    ],
)
def test_the_listener_of_the_settings_is_the_default(tmp_path: Path, listen: str, said: str) -> None:
    """An address that stands for all of this machine's is reached at its own."""
    port = free_port()
    file = tmp_path / "hookscribe.toml"
    file.write_text(
        f'[listen]\n{listen.format(port=port)}\n[sources.rc]\nprovider = "ringcentral"\ntoken = "{TOKEN}"\n'
    )
    result = simulate(file, "rc")
    assert result.exit_code in (1, 2)
    assert said.format(port=port) in result.output
