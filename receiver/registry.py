"""Which providers and sinks there are: found by entry point, loaded by name when first asked for."""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.provider import Provider
from receiver.contract.sink import Sink

PROVIDERS = "hookscribe.providers"
SINKS = "hookscribe.sinks"

ClassT = TypeVar("ClassT")


class Registry(msgspec.Struct, frozen=True):
    """The providers and sinks of this installation, or of a test."""

    providers: Mapping[str, type[Provider[Any]]]
    sinks: Mapping[str, type[Sink[Any]]]

    def provider(self, name: str) -> type[Provider[Any]]:
        """Return a provider by name. Raises ConfigError where it is not known or cannot be loaded."""
        return _named(self.providers, name, "provider")

    def sink(self, kind: str) -> type[Sink[Any]]:
        """Return a sink by its kind. Raises ConfigError where it is not known or cannot be loaded."""
        return _named(self.sinks, kind, "kind of sink")


def discover() -> Registry:
    """Return what is installed; nothing is imported before it is asked for by name."""
    return Registry(
        Plugins("provider", Provider, entry_points(group=PROVIDERS)),
        Plugins("sink", Sink, entry_points(group=SINKS)),
    )


class Plugins(Mapping[str, type[ClassT]], Generic[ClassT]):
    """Classes by name, loaded when looked up; one that is broken raises ConfigError and stops no other."""

    def __init__(self, word: str, base: type[ClassT], points: Iterable[EntryPoint]) -> None:
        self._word = word
        self._base = base
        self._points: dict[str, dict[str, EntryPoint]] = {}
        self._loaded: dict[str, type[ClassT]] = {}
        for point in points:
            self._points.setdefault(point.name, {}).setdefault(point.value, point)

    def __getitem__(self, name: str) -> type[ClassT]:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, [*self._points[name].values()])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._points

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __len__(self) -> int:
        return len(self._points)

    def _load(self, name: str, points: list[EntryPoint]) -> type[ClassT]:
        if len(points) > 1:
            owners = " and ".join(sorted({_owner(point) for point in points}))
            raise ConfigError(f"{self._word} {name!r} is offered more than once, by {owners}: uninstall all but one")
        point = points[0]
        try:
            loaded = point.load()
        except Exception as error:
            raise ConfigError(f"{self._word} {name!r} of {_owner(point)} cannot be loaded: {_why(error)}") from error
        if isinstance(loaded, type) and issubclass(loaded, self._base) and hasattr(loaded, "Settings"):
            return loaded
        needed = f"a subclass of {self._base.__module__}.{self._base.__name__} with its Settings"
        raise ConfigError(f"{self._word} {name!r} of {_owner(point)} cannot be loaded: {point.value} is not {needed}")


def fixtures(provider_class: type[Provider[Any]]) -> Path | None:
    """Return the folder of a provider's recorded cases, or None where its distribution brings none.

    A wheel holds them inside the top package, a checkout beside it.
    """
    package = importlib.import_module(provider_class.__module__.partition(".")[0])
    top = Path(package.__file__).parent if package.__file__ else Path(package.__path__[0])
    for folder in (top / "fixtures", top.parent / "fixtures"):
        if (folder / provider_class.name).is_dir():
            return folder / provider_class.name
    return None


def close_match(name: str, known: Iterable[str]) -> str:
    """Return `did you mean …? ` where a known name is near, else nothing."""
    matches = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {matches[0]}? " if matches else ""


def _named(classes: Mapping[str, type[ClassT]], name: str, word: str) -> type[ClassT]:
    if name in classes:
        return classes[name]
    raise ConfigError(f"no {word} has this name; {close_match(name, classes)}known are {', '.join(classes) or 'none'}")


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
