"""`${NAME}`, `${NAME:-default}` and the escape `$${` in the texts of a configuration file."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

_PLACE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{")


class FromEnvironment(str):
    """A text that holds values of variables: its content is never shown, and it may stand for a number."""

    __slots__ = ("variables",)
    variables: tuple[str, ...]

    def __new__(cls, value: str, variables: tuple[str, ...]) -> Self:
        made = super().__new__(cls, value)
        made.variables = variables
        return made


class Missing:
    """Stands where a variable was missing: the error is already reported."""


Place = tuple[str, ...]
"""Where a value stands: the names of its tables, then its key."""


def interpolate(value: Any, environ: Mapping[str, str], report: Callable[[Place, str], None], place: Place = ()) -> Any:
    """Return `value` with its variables filled in, at any depth; `report(place, message)` is told what is wrong."""
    if isinstance(value, str):
        return _text(value, environ, lambda message: report(place, message))
    if isinstance(value, Mapping):
        return {key: interpolate(item, environ, report, (*place, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [interpolate(item, environ, report, place) for item in value]
    return value


def _text(text: str, environ: Mapping[str, str], report: Callable[[str], None]) -> "str | Missing":
    if "${" not in text:
        return text
    used: list[str] = []
    faults: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            if match[0] == "${":
                faults.append('"${" must go on with a NAME and "}"; write $${ for the two characters themselves')
            return "${"
        used.append(name)
        value = environ.get(name)
        if value is None and default is None:
            faults.append(f"the variable {name} is not set; set it, or give a default: ${{{name}:-…}}")
        return value or (default or ":-")[2:]

    filled = _PLACE.sub(fill, text)
    for fault in dict.fromkeys(faults):
        report(fault)
    if faults:
        return Missing()
    return FromEnvironment(filled, tuple(used)) if used else filled
