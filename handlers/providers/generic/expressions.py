"""JMESPath: expressions are checked when they are read, not when the first callback comes, and never show content."""

from collections.abc import Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from receiver.contract.errors import ConfigError, Unreadable

_SAMPLES: tuple[Any, ...] = ({}, None)
_LONGEST = 4096

_FUNCTIONS: dict[str, Any] = dict(Functions.FUNCTION_TABLE)


class Expression:
    """One JMESPath expression of the settings, by its key."""

    __slots__ = ("_field", "_parsed", "key", "text")

    def __init__(self, key: str, text: str) -> None:
        """Raise ConfigError for what is no expression, and for functions that there are not."""
        self.key = key
        self.text = text
        if len(text) > _LONGEST:
            raise ConfigError(f"{key}: {len(text)} characters are more than the {_LONGEST} that an expression may have")
        try:
            self._parsed = jmespath.compile(text)
        except JMESPathError as error:
            raise ConfigError(f"{key}: {text!r} is no JMESPath expression: {_first_line(error)}") from None
        tree: Any = self._parsed.parsed
        _check_functions(key, tree)
        self._field: str | None = tree["value"] if tree["type"] == "field" else None
        for sample in _SAMPLES:
            self._tried(sample)

    def of(self, value: Any) -> Any:
        """Evaluate on JSON; null where nothing is there. Raises Unreadable where a function meets another type."""
        if self._field is not None:
            return value.get(self._field) if isinstance(value, dict) else None
        try:
            return self._parsed.search(value)
        except Exception as error:  # noqa: BLE001 -- faults of Python's own functions on a value too
            raise Unreadable(
                f"{self.key}: the expression meets a value that it cannot take ({type(error).__name__})"
            ) from None

    def _tried(self, sample: Any) -> None:
        """Evaluate on a sample; what a function says to a value of another type is no fault of the expression."""
        try:
            self.of(sample)
        except Unreadable:
            return


def _check_functions(key: str, tree: dict[str, Any]) -> None:
    """Raise ConfigError for unknown functions and wrong numbers of arguments, wherever they stand in an expression."""
    for node in _nodes(tree):
        if node["type"] != "function_expression":
            continue
        name, given = node["value"], len(node["children"])
        if name not in _FUNCTIONS:
            raise ConfigError(f"{key}: there is no function {name}(); JMESPath has {', '.join(sorted(_FUNCTIONS))}")
        signature = _FUNCTIONS[name]["signature"]
        least, variadic = len(signature), bool(signature and signature[-1].get("variadic"))
        if given < least or (given > least and not variadic):
            wanted = f"{least} or more arguments" if variadic else f"{least} argument{'s' if least != 1 else ''}"
            raise ConfigError(f"{key}: {name}() takes {wanted}, and {given} are given")


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield tree
    for child in tree["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _first_line(error: JMESPathError) -> str:
    return str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
