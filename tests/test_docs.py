"""The pages say what is there, and all of it: commands, settings, errors, events, states, and code that runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from asking_fakes import answered, played
from standardwebhooks.webhooks import WebhookVerificationError

from receiver import cli
from receiver.cli.new import skeleton
from receiver.config import build, reference_markdown
from receiver.config.checks import EVENT_TYPES
from receiver.contract import model
from receiver.contract.asking import Ask, Fetched, Missing, Pending, Recording, Submission
from receiver.contract.errors import ConfigError, HookscribeError, ProviderRefused, UsageError
from receiver.contract.proof import Reason
from receiver.contract.settings import Secret
from receiver.contract.webhooks import generate, read_key, sign
from receiver.registry import discover
from receiver.web.described import declared
from receiver.web.openapi import table
from receiver.web.problems import STATUS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
EVENTS = (ROOT / "docs" / "events.md").read_text("utf-8")
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
AUTHORS = (ROOT / "handlers" / "README.md").read_text("utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "handlers" / "README.md"])

MARKER = "<!-- hookscribe config --reference -->\n\n"
WORDS = (model.ReceiptState, model.DeliveryState, model.SinkState, model.Verdict, Reason)
SHAPES = (
    model.Transcript,
    model.Call,
    model.Speaker,
    model.Segment,
    model.Word,
    model.Analysis,
    model.Flag,
    model.Insight,
    model.ResultError,
    model.Provenance,
)


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where a program is not installed; CI has them all."""
    missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of all tables by the words in code in their first cell."""
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    return {word: row[1:] for row in cells for word in re.findall(r"`([^`]+)`", row[0])}


def errors(cls: type[HookscribeError] = HookscribeError) -> Iterator[type[HookscribeError]]:
    """Yield the tree of errors that the contract declares."""
    if cls.__module__ == HookscribeError.__module__:
        yield cls
        for sub in cls.__subclasses__():
            yield from errors(sub)


def emitted() -> set[str]:
    """Return the types that this release makes: of results, and those written out in the pipeline."""
    results = {f"{kind}.{end}" for kind in ("transcript", "analysis") for end in ("completed", "failed", "updated")}
    code = "".join(path.read_text("utf-8") for path in (ROOT / "receiver" / "pipeline").rglob("*.py"))
    return results | set(re.findall(r'"(ops\.[a-z_]+)"', code)) | {one for one in EVENT_TYPES if f'"{one}"' in code}


def commands() -> list[str]:
    """Return every command line of ours that README names."""
    whole = [line.partition("#")[0] for block in blocks(README, "sh") for line in block.splitlines()]
    lines = [*re.findall(r"`([^`\n]+)`", README), *whole]
    return sorted({match for line in lines for match in re.findall(r"\bhookscribe (?!\.)[^)\"]+", line)})


def environ(text: str) -> dict[str, str]:
    """Return values for the variables that a configuration names."""
    values = {"URL": "https://hooks.example.com/services/x", "WEBHOOK_SECRET": generate().secret.value}
    names = re.findall(r"\$\{(\w+)", text)
    return {name: next((values[end] for end in values if name.endswith(end)), "t" * 43) for name in names}


def test_an_api_is_written_as_the_page_for_authors_says() -> None:
    """Its example submits and polls, driven by recorded answers."""
    (code,) = (block for block in blocks(AUTHORS, "python") if "class AcmeApi" in block and "Api)" in block)
    made: dict[str, Any] = {}
    exec(compile(code, "handlers/README.md", "exec"), made)
    api = made["AcmeApi"]("https://api.acme.example/", Secret("a key"))
    recording = Recording(name="a.wav", size=9, sha256="00", content_type="audio/wav")
    wanted = Submission(recording=recording, operation="transcription", callback_url="https://us.example/x", serial="1")
    (sent,), done = played(api.submit(wanted, {}), answered(201, {"id": 42}))
    assert isinstance(sent, Ask)
    assert (sent.method, sent.url, sent.creates, done.job_id) == ("POST", "https://api.acme.example/jobs", True, "42")
    assert isinstance(played(api.poll("42", "transcription"), answered(200, {"state": "running"}))[1], Pending)
    assert isinstance(played(api.poll("42", "transcription"), answered(200, {"id": 42, "state": "done"}))[1], Fetched)
    assert isinstance(played(api.poll("42", "transcription"), answered(404))[1], Missing)
    for steps in (api.submit(wanted, {}), api.poll("42", "transcription")):
        with pytest.raises(ProviderRefused, match=": 400"):
            played(steps, answered(400))
    assert played(api.authorize())[1].headers == (("Authorization", "Bearer a key"),)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    """A command that nobody is told of is not there."""
    assert re.search(rf"`(?:hookscribe )?{name}\b[^`\n]*`", README)


@pytest.mark.parametrize("line", commands())
def test_commands_are_as_the_readme_says(line: str) -> None:
    """Every command line in README names a command and options that there are."""
    words = shlex.split(line)[1:]
    command: click.Command = cli.hookscribe
    given = [word.partition("=")[0] for word in words]
    while isinstance(command, click.Group) and (
        bare := [word for word in given if re.fullmatch(r"[a-z][a-z-]*", word)]
    ):
        name = bare[0]
        found = command.get_command(click.Context(command), name)
        if found is None and command.invoke_without_command:
            break  # a list with verbs: the word is an id, or belongs to an option
        assert found, f"{name} is no command"
        _check_options(command, given[: given.index(name)])
        command, given = found, given[given.index(name) + 1 :]
    _check_options(command, given)


def _check_options(command: click.Command, words: list[str]) -> None:
    known = {name for one in command.params for name in one.opts} | {"-h", "--help"}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_settings_page_is_current() -> None:
    """docs/settings.md holds what the code declares, after its marker: `hookscribe config --reference` prints it."""
    assert SETTINGS.partition(MARKER)[2] == reference_markdown(discover())


@pytest.mark.parametrize("block", blocks(README, "toml"))
def test_settings_in_the_readme_load(block: str) -> None:
    """Every configuration in README is one, with the variables that it names."""
    config = build(tomllib.loads(block), environ(block), discover())
    assert config.sources or config.sinks or config.root.store


def test_providers_and_sinks_are_in_the_readme() -> None:
    """Each has a configuration to copy."""
    tables = [tomllib.loads(block) for block in blocks(README, "toml")]
    shown = [entry for table in tables for group in ("sources", "sinks") for entry in table.get(group, {}).values()]
    registry = discover()
    assert {entry["provider"] for entry in shown if "provider" in entry} == set(registry.providers)
    assert {entry["kind"] for entry in shown if "kind" in entry} == set(registry.sinks)


@pytest.mark.parametrize("error", list(errors()))
def test_errors_are_in_the_table(error: type[HookscribeError]) -> None:
    """Each has its sentence, its exit code and its status, as code and page have them."""
    assert error.__doc__
    code = 2 if issubclass(error, ConfigError | UsageError) else 1
    assert rows(OPERATING)[error.__name__][:2] == [str(code), str(STATUS[error])]


@pytest.mark.parametrize("word", [word.value for words in WORDS for word in words])
def test_words_are_in_the_tables(word: str) -> None:
    """Each state, verdict and reason says what it means."""
    assert rows(OPERATING)[word]


def test_event_types_are_in_the_table() -> None:
    """Those that are made, and no others."""
    types = {word for word in rows(EVENTS) if re.fullmatch(r"[a-z]+\.[a-z_]+", word)}
    assert types == emitted()
    assert types <= set(EVENT_TYPES)
    assert all(f"`{one}`" in README for one in types)


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_are_in_the_tables(shape: type[msgspec.Struct]) -> None:
    """Each field of a transcript and what is in it."""
    names = {field.encode_name for field in msgspec.structs.fields(shape)}
    told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", EVENTS))))
    assert names <= told


def test_the_api_is_in_the_table() -> None:
    """docs/api.md holds what the code declares, after its marker; `hookscribe config --api` prints it."""
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert page.partition("<!-- described by the code -->\n\n")[2] == table(declared())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link is a file, and its anchor a heading of it."""
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve()
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}


def test_make_targets_are_there() -> None:
    """Every `make …` of README is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"demo", "test", "check"} <= set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_the_changelog_is_of_this_version() -> None:
    """Its newest version is the package's."""
    newest = re.search(r"^## (\S+)", CHANGELOG, re.MULTILINE)
    assert newest
    assert newest[1] == version("hookscribe")


def test_the_readme_has_a_place_for_speed() -> None:
    """The table of the benchmark goes there."""
    assert "## Speed\n\n<!-- bench -->\n" in README
    assert "\n\n<!-- bench-sinks -->\n" in README


def signed(secret: str) -> tuple[bytes, dict[str, str]]:
    """Return a webhook as our sink sends it: body and headers."""
    body, now = b'{"id":"evt_1","type":"transcript.completed"}', int(time.time())
    signature = sign([read_key(Secret(secret))], "evt_1", now, body)
    return body, {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": signature}


def test_the_python_receiver_works() -> None:
    """README's receiver takes our webhook, and refuses another's."""
    (code,) = blocks(README, "python")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    secret = generate().secret.value
    body, headers = signed(secret)
    assert names["received"](body, headers, secret)["id"] == "evt_1"
    with pytest.raises(WebhookVerificationError):
        names["received"](body, headers, generate().secret.value)


@needs("node")
def test_the_node_receiver_works(tmp_path: Path) -> None:
    """So does the one in JavaScript, in Node."""
    (code,) = blocks(README, "js")
    secret, other = generate().secret.value, generate().secret.value
    body, headers = signed(secret)
    old = {**headers, "webhook-timestamp": "1"}
    attempts = [[headers, secret], [headers, other], [old, secret], [{**headers, "webhook-signature": "v1,"}, secret]]
    tail = f"""
const said = {json.dumps(attempts)}.map(([headers, secret]) => {{
  try {{ return received({json.dumps(body.decode())}, headers, secret).id; }} catch (error) {{ return error.message; }}
}});
console.log(JSON.stringify(said));
"""
    script = tmp_path / "receiver.mjs"
    script.write_text(code + tail)
    done = subprocess.run(["node", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["evt_1", "not ours", "too old", "not ours"]


@needs("openssl")
def test_the_authors_case_is_signed_by_openssl(tmp_path: Path) -> None:
    """The signature on the page is the one that its command prints."""
    files = {path.rpartition("/")[2]: text for path, text in skeleton("provider", "acme").items()}
    (tmp_path / "body").write_text(files["body"])
    (command,) = re.findall(r"`(openssl [^`]+)`", AUTHORS)
    done = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, check=True)
    headers = json.loads(files["request.json"])["headers"]
    assert done.stdout.split()[-1] == headers["X-Acme-Signature"]
