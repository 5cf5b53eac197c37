"""JMESPath: expressions are checked when they are read, not when the first callback comes, and never show content."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from receiver.contract.errors import ConfigError, Unreadable

_SAMPLES: tuple[Any, ...] = ({}, None)
_LONGEST = 4096

_ORDERS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_EMPTY = {"string": '""', "array": "[]", "array-string": "[]", "array-number": "[]", "object": "{}"}
"""What stands for nothing, by the type that a function takes."""
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
        except RecursionError:
            raise ConfigError(f"{key}: the expression is nested too deeply") from None
        tree: Any = self._parsed.parsed
        _check_functions(key, tree)
        self._field: str | None = tree["value"] if tree["type"] == "field" else None
        for sample in _SAMPLES:
            self._tried(sample)

    @property
    def parsed(self) -> Any:
        """Return the expression as a tree of nodes."""
        return self._parsed.parsed

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

    def holds(self, value: Any) -> bool:
        """Say whether this is so of a value, as JMESPath has it: not false, null or empty. Raises Unreadable."""
        found = self.of(value)
        return found is not None and found is not False and found not in ("", [], {})

    def check_on(self, sample: Any, name: str) -> None:
        """Evaluate on a value without secrets; raise ConfigError where a function cannot take what it meets there."""
        try:
            self._parsed.search(sample)
        except JMESPathTypeError as error:
            wanted = " or ".join(dict.fromkeys(error.expected_types))
            raise ConfigError(
                f"{self.key}: {error.function_name}() takes {wanted} and gets {error.actual_type} in {name}; "
                f"say what counts there, as in {error.function_name}(a.b || `{_EMPTY.get(wanted.split()[0], '0')}`)"
            ) from None
        except Exception as error:  # faults of Python's own functions on a value too
            raise ConfigError(f"{self.key}: it cannot be evaluated on {name} ({type(error).__name__})") from error

    def unknown(self, samples: Iterable[Any]) -> dict[str, frozenset[str]]:
        """Return the names that none of these values has where they are asked for, each with those that are there.

        An empty object may hold anything.
        """
        asking = _Asking()
        for sample in samples:
            with contextlib.suppress(Exception):  # `check_on` tells
                asking.visit(self._parsed.parsed, sample)
        return {name: there for node, (name, there) in asking.missed.items() if node not in asking.found}

    def _tried(self, sample: Any) -> None:
        """Evaluate on a sample; what a function says to a value of another type is no fault of the expression."""
        try:
            self.of(sample)
        except Unreadable:
            return


class _Asking(TreeInterpreter):
    """Evaluates, and notes of each place of an expression that names a member whether it was there."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[int] = set()
        self.missed: dict[int, tuple[str, frozenset[str]]] = {}

    def visit_field(self, node: Any, value: Any) -> Any:
        if isinstance(value, dict) and value:
            name, place = node["value"], id(node)
            if name in value:
                self.found.add(place)
            else:
                there = self.missed.get(place, (name, frozenset()))[1]
                self.missed[place] = (name, there | value.keys())
        return super().visit_field(node, value)


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


def check_comparisons(key: str, expression: Expression) -> None:
    """Raise ConfigError where what is no number is compared by order: JMESPath says null to that, always."""
    tree: Any = expression.parsed
    for node in _nodes(tree):
        if node["type"] == "comparator" and node["value"] in _ORDERS:
            for child in node["children"]:
                if child["type"] == "literal" and (
                    isinstance(child["value"], bool) or not isinstance(child["value"], int | float)
                ):
                    raise ConfigError(
                        f"{key}: {_ORDERS[node['value']]} compares numbers, and {child['value']!r} is none; "
                        "a number is written `600`"
                    )


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in reversed(node["children"]) if isinstance(child, dict)]


def _first_line(error: JMESPathError) -> str:
    return str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
