"""What every source may be set to, and which recorded cases are of a source with settings of its own."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from receiver.config import build
from receiver.contract.errors import ConfigError
from receiver.registry import discover, fixtures
from receiver.simulate import fits
from receiver.testing.fixtures import load_case, load_cases

TOKEN = "t" * 40
GENERIC = fixtures(discover().provider("generic")) or Path()


def source(**table: Any) -> dict[str, Any]:
    """Return a configuration with one source."""
    return {"sources": {"calls": {"provider": "ringcentral", "token": TOKEN, **table}}, "event_prefix": "com.example"}


def test_globs_that_match_nothing_are_warned_of() -> None:
    """A misspelt type is said, with what there is; types with the prefix and a provider's own are known."""
    config = build(source(include=["transcript.*", "com.example.analysis.*"], ignore=["ringcentral.*"]), {}, discover())
    assert not [line for line in config.warnings if "[sources.calls]" in line]
    warned = build(source(ignore=["transcript.complete"]), {}, discover()).warnings
    (line,) = [line for line in warned if "[sources.calls] ignore" in line]
    assert "'transcript.complete' matches no type of event; did you mean transcript.completed?" in line
    assert "callcov" not in line


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"own_numbers": ["reception"]}, "[sources.calls] own_numbers: 'reception' is no telephone number"),
        ({"channels": ["agent", "boss"]}, '[sources.calls] channels: expected one of "agent", "customer"'),
    ],
)
def test_rules_that_cannot_be_meant_are_errors(table: dict[str, Any], why: str) -> None:
    """They name the key."""
    with pytest.raises(ConfigError) as caught:
        build(source(**table), {}, discover())
    assert why in str(caught.value)


def test_only_cases_of_its_own_fit_a_source_by_settings() -> None:
    """Of the recorded cases of a provider that knows nothing, a source has those that its settings read as expected."""
    registry = discover()
    table = tomllib.loads((GENERIC / "elevenlabs.toml").read_text())
    config = build(table, {"ELEVENLABS_WEBHOOK_SECRET": "another-secret"}, registry)
    provider: Any = registry.provider("generic")
    mine = provider("elevenlabs", config.sources["elevenlabs"])
    assert {case.name for case in load_cases(GENERIC) if fits(mine, case)} == {
        "elevenlabs-completed",
        "elevenlabs-other-event",
    }
    strange = {"provider": "generic", "token": TOKEN, "job_id": "nowhere"}
    other = provider("x", build({"sources": {"x": strange}}, {}, registry).sources["x"])
    assert not [case for case in load_cases(GENERIC) if fits(other, case)]


def test_a_case_by_a_file_needs_its_variables(tmp_path: Path) -> None:
    """A variable without a value, and a file with two sources, are errors that name the file."""
    case = tmp_path / "case"
    case.mkdir()
    (case / "request.json").write_text('{"about": "x", "token": null, "headers": {}, "config": "acme.toml", "now": 0}')
    (case / "expected.json").write_text("{}")
    (case / "body").write_bytes(b"")
    for text in ('[sources.a]\ntoken = "${NOT_SET}"', "[sources.a]\n[sources.b]"):
        (tmp_path / "acme.toml").write_text(text)
        with pytest.raises(ValueError, match=r"acme\.toml"):
            load_case(case)
