"""Generic: the recorded callbacks of four vendors, each read by one configuration file that is whole as it is."""

import re
import tomllib
from pathlib import Path

import pytest

from handlers.providers.generic import Generic
from receiver.config import build
from receiver.contract.webhooks import generate
from receiver.registry import discover
from receiver.testing.fixtures import load_cases
from receiver.testing.provider import ProviderContract

FIXTURES = Path(__file__).parents[3] / "fixtures" / "generic"
FILES = sorted(FIXTURES.glob("*.toml"))


class TestGeneric(ProviderContract):
    """Every vendor's cases hold what every provider must hold, with the settings of that vendor's file."""

    provider = Generic
    fixtures = FIXTURES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_a_configuration(file: Path) -> None:
    """A file is taken as it stands, with the variables that it names, and warns of nothing but the missing sink."""
    text = file.read_text("utf-8")
    names = re.findall(r"\$\{(\w+)\}", text)
    values = {name: generate().secret.value if "RECALL" in name else "t" * 43 for name in names}
    config = build(tomllib.loads(text), values, discover(), file)
    assert set(config.sources) == {file.stem}
    assert config.warnings == ("no [sinks.NAME]: events are kept, and go nowhere",)


def test_each_file_has_its_cases() -> None:
    """Every vendor has a result, and a request that is refused."""
    cases = load_cases(FIXTURES)
    for file in FILES:
        mine = [case for case in cases if case.config == file.name]
        assert any("refused" in case.expected for case in mine)
        assert any("result" in one for case in mine for one in case.expected.get("outcomes", ()))
