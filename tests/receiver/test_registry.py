"""The registry: found by entry point, loaded by name, one broken plugin stops no other."""

import sys
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

import pytest
from config_fakes import REGISTRY, Acme, Hose

from receiver.contract.errors import ConfigError
from receiver.contract.provider import Provider
from receiver.registry import Plugins, Registry, discover, fixtures


def point(tmp_path: Path, name: str, value: str, distribution: str = "acme-hooks") -> EntryPoint:
    """Make an entry point as an installed distribution has it."""
    folder = tmp_path / f"{distribution}-1.2.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (folder / "entry_points.txt").write_text(f"[hookscribe.providers]\n{name} = {value}\n")
    return next(iter(Distribution.at(folder).entry_points))


def plugins(*points: EntryPoint) -> Plugins[Provider[Any]]:
    """Make a mapping of providers from entry points."""
    return Plugins("provider", Provider, points)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Give a function that writes a module which can be imported for this test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_everything_of_ours_is_found() -> None:
    """The entry points of this distribution are there, by name."""
    registry = discover()
    assert set(registry.providers) >= {"invox", "callcov", "ringcentral"}
    assert set(registry.sinks) >= {"console", "jsonl", "webhook", "slack", "nats"}


def test_a_real_provider_loads() -> None:
    """An installed provider comes with its settings and its recorded cases."""
    provider = discover().provider("callcov")
    assert provider.name == "callcov"
    folder = fixtures(provider)
    assert folder is not None
    assert folder.parent.name == "fixtures"


def test_nothing_is_imported_before_it_is_asked_for(tmp_path: Path, module: Callable[[str, str], str]) -> None:
    """Listing and testing for a name import nothing; the class is loaded once."""
    name = module("lazy_acme", "from config_fakes import Acme\nLOADED = []\nLOADED.append(1)\n")
    found = plugins(point(tmp_path, "acme", f"{name}:Acme"))
    assert (list(found), len(found), "acme" in found, "other" in found) == (["acme"], 1, True, False)
    assert name not in sys.modules
    assert found["acme"] is found["acme"] is Acme
    assert sys.modules[name].LOADED == [1]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("Other = 1", "AttributeError: "),
        ("Acme = 5", ":Acme is not a subclass of receiver.contract.provider.Provider with its Settings"),
        ("Acme = dict", ":Acme is not a subclass of receiver.contract.provider.Provider with its Settings"),
        ("import config_fakes\nAcme = config_fakes.Hose", ":Acme is not a subclass of receiver.contract.provider."),
    ],
)
def test_a_broken_plugin_stops_no_other(
    tmp_path: Path, module: Callable[[str, str], str], code: str, reason: str
) -> None:
    """The error names the plugin, its distribution and the reason; the next one loads."""
    broken = point(tmp_path, "broken", f"{module('broken_acme', code)}:Acme", "broken-hooks")
    whole = point(tmp_path, "acme", "config_fakes:Acme")
    registry = Registry(plugins(broken, whole), {})
    with pytest.raises(ConfigError) as caught:
        registry.provider("broken")
    assert str(caught.value).startswith("provider 'broken' of broken-hooks 1.2 cannot be loaded: ")
    assert reason in str(caught.value)
    assert registry.provider("acme") is Acme


def test_two_distributions_with_one_name_are_an_error(tmp_path: Path) -> None:
    """Which of two is meant is not guessed; the same one seen twice is one."""
    first, second = point(tmp_path, "acme", "config_fakes:Acme"), point(tmp_path, "acme", "other:Acme", "other-hooks")
    with pytest.raises(ConfigError, match=r"'acme' is offered more than once, by acme-hooks 1.2 and other-hooks 1.2"):
        plugins(first, second)["acme"]
    assert plugins(first, first)["acme"] is Acme


def test_an_entry_point_without_distribution_is_named_so() -> None:
    """An entry point that nobody owns still gives a message."""
    with pytest.raises(ConfigError, match="of an unknown distribution cannot be loaded"):
        plugins(EntryPoint("x", "no_such_module_at_all:X", "hookscribe.providers"))["x"]


def test_an_unknown_name_lists_the_known() -> None:
    """The message has the close match and all that is known."""
    with pytest.raises(ConfigError, match=r"no provider has this name; did you mean acme\? known are acme"):
        REGISTRY.provider("acne")
    with pytest.raises(ConfigError, match="no kind of sink has this name; known are none"):
        Registry({}, {}).sink("x")
    assert REGISTRY.sink("hose") is Hose
    with pytest.raises(KeyError):
        plugins()["x"]


@pytest.mark.parametrize(
    ("top", "cases"),
    [
        ("wheel_acme/__init__.py", "wheel_acme/fixtures/acme"),
        ("checkout_acme/__init__.py", "fixtures/acme"),
        ("space_acme/providers/__init__.py", "space_acme/fixtures/acme"),
        ("single_acme.py", "fixtures/acme"),
    ],
)
def test_fixtures_lie_in_the_package_or_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str, cases: str
) -> None:
    """A wheel has them inside its top package, a checkout beside it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / top).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / top).write_text("")
    name = Path(top).parts[0].removesuffix(".py")
    provider = type("Other", (Acme,), {"__module__": name if top.endswith("acme.py") else f"{name}.providers.acme"})
    assert fixtures(provider) is None
    (tmp_path / cases).mkdir(parents=True)
    assert fixtures(provider) == tmp_path / cases
    sys.modules.pop(name)
