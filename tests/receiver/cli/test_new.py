"""Packages of one's own: written by a command, installed in an environment of their own, found, tested and run."""

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from receiver import cli
from receiver.cli.new import skeleton

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Give the command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli.hookscribe, arguments)

    return invoke


class Environment:
    """A virtual environment of its own that sees this one's packages, and Hookscribe as it is here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "env", with_pip=False, symlinks=True)
        self.python = folder / "env" / "bin" / "python"
        (site,) = (folder / "env" / "lib").glob("python*/site-packages")
        seen = [path for path in sys.path if path.endswith("site-packages")]
        (site / "seen.pth").write_text("\n".join([str(ROOT), *seen]))
        self.site = site

    def install(self, package: Path) -> None:
        """Install a package with pip, as anybody would, from its folder."""
        self.run("-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps", str(package))

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run this environment's Python; return what it printed."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
        done = subprocess.run(
            [self.python, *arguments],
            cwd=cwd or self.folder,
            env={**environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def hookscribe(self, *arguments: str) -> str:
        """Run the command in this environment."""
        return self.run("-c", "from receiver.cli import main; main()", *arguments)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment."""
    return Environment(tmp_path)


@pytest.mark.parametrize("name", ["acme", "big_crm2"])
def test_what_is_written_is_installed_found_and_holds_what_the_kits_ask(
    run: Callable[..., Result], environment: Environment, tmp_path: Path, name: str
) -> None:
    """Both packages, as the commands write them: built, installed, found by entry point, and their tests pass."""
    dashed = name.replace("_", "-")
    for kind in ("provider", "sink"):
        done = run(f"new-{kind}", name)
        assert done.exit_code == 0, done.output
        folder = tmp_path / f"hookscribe-{dashed}-{kind}"
        assert (folder / "pyproject.toml").exists()
        environment.install(folder)
        tests = ("-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", ".")
        assert " passed" in environment.run(*tests, cwd=folder)
    reference = environment.hookscribe("config", "--reference")
    assert f'### `[sources.NAME, provider = "{name}"]`' in reference
    assert f'### `[sinks.NAME, kind = "{name}"]`' in reference


@pytest.mark.parametrize(("kind", "needed"), [("provider", {"pytest"}), ("sink", {"pytest", "pytest-asyncio"})])
def test_what_the_command_says_next_installs_what_the_tests_need(
    run: Callable[..., Result], tmp_path: Path, kind: str, needed: set[str]
) -> None:
    """Who has installed Hookscribe alone has no pytest: the package's own extra brings it."""
    said = run(f"new-{kind}", "acme").stderr
    project = tomllib.loads((tmp_path / f"hookscribe-acme-{kind}" / "pyproject.toml").read_text())["project"]

    assert f"cd hookscribe-acme-{kind} && pip install -e '.[test]' && pytest" in said
    assert {one.partition(">")[0] for one in project["optional-dependencies"]["test"]} == needed


def test_an_installed_package_works(run: Callable[..., Result], environment: Environment, tmp_path: Path) -> None:
    """A recorded callback of a third party's provider is received, read and delivered by Hookscribe as it is."""
    run("new-provider", "acme")
    environment.install(tmp_path / "hookscribe-acme-provider")
    (tmp_path / "hookscribe.toml").write_text(
        '[sources.calls]\nprovider = "acme"\nsecrets = ["fixture-secret"]\n'
        f'[sinks.archive]\nkind = "jsonl"\npath = "{tmp_path}/events.jsonl"\n'
        '[listen]\npublic = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
    )
    program = """
import asyncio, json, sys, time, urllib.request
from pathlib import Path
from receiver.config import load
from receiver.registry import discover, fixtures
from receiver.testing.fixtures import load_cases
from receiver.web.serve import serving

async def main():
    registry = discover()
    config = load(Path("hookscribe.toml"), {}, registry)
    (case,) = load_cases(fixtures(registry.provider("acme")))
    made = registry.provider("acme")("calls", config.sources["calls"]).sign(case.body, time.time())
    async with serving(config, registry) as (run, where):
        request = urllib.request.Request(f"{where.public}/hooks/calls", made.body, dict(made.headers), method="POST")
        await asyncio.to_thread(urllib.request.urlopen, request)
        async with asyncio.timeout(20):
            while not Path("events.jsonl").exists() or not Path("events.jsonl").read_text():
                await asyncio.sleep(0.05)

asyncio.run(main())
"""
    environment.run("-c", program)
    event: dict[str, Any] = json.loads((tmp_path / "events.jsonl").read_text())
    assert (event["type"], event["data"]["provider"], event["data"]["text"]) == (
        "transcript.completed",
        "acme",
        "Good morning.",
    )


@pytest.mark.parametrize("command", ["new-provider", "new-sink"])
@pytest.mark.parametrize("name", ["Acme", "1a", "a-b", "class", "../up", "", "a" * 42, "é"])
def test_a_name_must_be_one(run: Callable[..., Result], tmp_path: Path, command: str, name: str) -> None:
    """It becomes a module; nothing is written for any other."""
    assert run(command, "--", name).exit_code != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "name"), [("new-sink", "room"), ("new-provider", "call"), ("new-sink", "delivered")]
)
def test_a_name_that_the_skeleton_needs_itself_is_refused(
    run: Callable[..., Result], tmp_path: Path, command: str, name: str
) -> None:
    """Its class would stand in the way of what is imported or defined beside it, and the tests would not pass."""
    assert f"its class would be {name.capitalize()}" in run(command, name).stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(run: Callable[..., Result], tmp_path: Path) -> None:
    """A name that is taken, and a folder that exists."""
    assert "there is a provider 'invox' already" in run("new-provider", "invox").stderr
    assert "there is a sink 'slack' already" in run("new-sink", "slack").stderr
    (tmp_path / "hookscribe-acme-sink").mkdir()
    assert "is there already" in run("new-sink", "acme").stderr
    assert list((tmp_path / "hookscribe-acme-sink").iterdir()) == []


def test_nothing_of_the_page_is_left_in_another_name() -> None:
    """Every file has the name that was given."""
    for kind in ("provider", "sink"):
        files = skeleton(kind, "big_crm")
        assert len(files) >= 3
        assert not [path for path, text in files.items() if re.search("acme", path + text, re.IGNORECASE)]
