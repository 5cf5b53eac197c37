"""The command line: help, settings, keys, and how failures end."""

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from receiver import cli
from receiver.contract import errors, webhooks
from receiver.contract.settings import Secret

CONFIG = """
store = "postgresql://user:canary@db/calls"

[sources.callcov]
provider = "callcov"
token = "${TOKEN}"

[sinks.archive]
kind = "jsonl"
path = "events.jsonl"
"""


def run(*arguments: str, **environ: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli.hookscribe, arguments, env={"HOOKSCRIBE_CONFIG": None, "DYNO": None, **environ})


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    program = Path(sys.executable).with_name("hookscribe")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, env=os.environ | environ)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a configuration in a file."""
    path = tmp_path / "hookscribe.toml"
    path.write_text(CONFIG)
    return path


def _processor_seconds() -> float:
    """Return what the commands that ended took so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_help_names_every_command_and_is_quick() -> None:
    """The list of commands imports none of them; the best of three takes below a quarter of a second of a processor."""
    took = []
    for _ in range(3):
        start = _processor_seconds()
        done = command("--help")
        took.append(_processor_seconds() - start)
        assert done.returncode == 0
        assert all(
            re.search(rf"^  {name} +{re.escape(line)}", done.stdout, re.MULTILINE)
            for name, (_, line) in cli.COMMANDS.items()
        )
    assert min(took) < 0.25


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_lines_are_those_of_the_commands(name: str) -> None:
    """The table's line is the first of the command's own help."""
    found = cli.hookscribe.get_command(click.Context(cli.hookscribe), name)
    assert found is not None
    assert found.name == name
    assert (found.help or "").partition("\n")[0] == cli.COMMANDS[name][1]


def test_the_version_is_printed() -> None:
    """`--version` is the distribution's."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").output)


def test_config_prints_what_is_in_force(file: Path) -> None:
    """The output is TOML again, secrets masked, with what is not set as comments."""
    result = run("--config", str(file), "config", TOKEN="canary-0123456789")
    assert result.exit_code == 0
    assert "canary" not in result.output
    data = tomllib.loads(result.stdout)
    assert data["sources"]["callcov"]["token"] == ["***"]
    assert data["store"] == "postgresql://***@db/calls"
    assert data["limits"]["body_timeout"] == 60
    assert "# public_url is not set" in result.stdout


def test_config_as_json_and_by_environment(file: Path) -> None:
    """`--json` prints one object; the file may be named by HOOKSCRIBE_CONFIG."""
    result = run("config", "--json", HOOKSCRIBE_CONFIG=str(file), TOKEN="canary-0123456789")
    assert json.loads(result.stdout)["sources"]["callcov"]["provider"] == "callcov"
    assert "canary" not in result.output


def test_config_warns_on_stderr(file: Path) -> None:
    """Warnings are shown apart from the output."""
    file.write_text("store = 'sqlite:x.db'")
    result = run("--config", str(file), "config")
    assert result.stderr.startswith("warning: no [sources.NAME]")
    assert "warning" not in result.stdout


def test_config_prints_the_reference() -> None:
    """Every setting there is, for people and for programs; no file is needed."""
    assert "| `public_url` |" in run("config", "--reference").stdout
    rows = [json.loads(line) for line in run("config", "--reference", "--json").stdout.splitlines()]
    assert {"table", "key", "type", "default", "help", "secret", "inferred"} == set(rows[0])


def test_wrong_settings_end_with_2(file: Path) -> None:
    """Errors of settings are on stderr, one a line, without a traceback."""
    done = command("--config", str(file), "config", TOKEN="canary")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {file}: [sources.callcov] token: 6 characters")
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("nonsense",), ("--nonsense",), ("keygen", "nonsense"), ("config", "x")])
def test_wrong_use_ends_with_2(arguments: tuple[str, ...]) -> None:
    """What the command line does not know is wrong use."""
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.ConfigError("said"), 2),
        (errors.UsageError("said"), 2),
        (errors.NotFound("said"), 2),
        (errors.StoreUnavailable("said"), 1),
        (errors.HookscribeError("said"), 1),
        (click.ClickException("said"), 1),
        (click.UsageError("said"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_failures_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: BaseException, code: int
) -> None:
    """Errors of ours are one message and 1 or 2; Ctrl-C is 130."""

    def fail() -> None:
        raise raised

    monkeypatch.setattr(cli.hookscribe, "get_command", lambda *_: click.Command("fail", callback=fail))
    assert cli.run(["fail"]) == code
    assert ("said" in capsys.readouterr().err) == (code != 130)


def test_a_command_may_choose_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ctx.exit(3)` ends with 3, a plain return with 0; `main` ends the process with it."""

    def leave() -> None:
        click.get_current_context().exit(3)

    monkeypatch.setattr(cli.hookscribe, "get_command", lambda *_: click.Command("leave", callback=leave))
    monkeypatch.setattr(sys, "argv", ["hookscribe", "leave"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 3


def test_a_reader_that_leaves_is_no_traceback() -> None:
    """`hookscribe config --reference | head -1` ends quietly."""
    program = Path(sys.executable).with_name("hookscribe")
    script = "import sys; from receiver import cli; sys.exit(cli.run(['config', '--reference', '--json']))"
    assert program.exists()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        process.wait()
    assert process.returncode == 1


def test_keygen_makes_a_token() -> None:
    """A token fits into a URL, and no two are the same."""
    tokens = {run("keygen").stdout.strip() for _ in range(3)}
    assert len(tokens) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_keygen_makes_keys_that_sign() -> None:
    """A shared key and an Ed25519 pair are read by the code that signs with them."""
    webhooks.read_key(Secret(run("keygen", "webhook").stdout.strip()))
    pair: dict[str, Any] = json.loads(run("keygen", "ed25519", "--json").stdout)
    webhooks.read_key(Secret(pair["secret"]))
    assert pair["public"].startswith("whpk_")
    assert re.search(r"^public +whpk_", run("keygen", "ed25519").stdout, re.MULTILINE)
