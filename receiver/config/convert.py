"""From the tables of a file to Settings, by their declarations; every error is reported, not the first alone."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from msgspec import inspect

from receiver.config.declared import MATCHES, described, fields_of, is_secret, nested_of
from receiver.config.interpolate import FromEnvironment, Missing, Place
from receiver.config.words import Problems, shown, unknown
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, Settings

SettingsT = TypeVar("SettingsT", bound=Settings)

BAD: Any = Missing()
"""Stands where a value was wrong: the error is already reported."""


def read_table(cls: type[SettingsT], table: Any, place: Place, problems: Problems) -> SettingsT | None:
    """Return the Settings that a table holds, or None after reporting what is wrong with it."""
    if not isinstance(table, Mapping):
        problems.report(place, f"expected a table, found {shown(table)}")
        return None
    fields = fields_of(cls)
    before = len(problems.lines)
    for key in table:
        if key not in fields:
            problems.report((*place, key), unknown(key, fields))
    values = {}
    for key, field in fields.items():
        if key in table:
            reader = _Reader(problems, (*place, key), is_secret(field.kind), field.help)
            values[field.name] = reader.read(field.kind, table[key])
        elif field.required:
            problems.report((*place, key), f"is missing: {field.help}")
    if len(problems.lines) > before or any(value is BAD for value in values.values()):
        return None
    return checked(cls(**values), place, problems)


def checked(settings: SettingsT, place: Place, problems: Problems) -> SettingsT | None:
    """Return the settings where their own check passes, else None after reporting what it said."""
    try:
        settings.check()
    except ConfigError as error:
        problems.report_check(place, error)
        return None
    return settings


class _Reader:
    """Reads the value of one key."""

    def __init__(self, problems: Problems, place: Place, secret: bool, help_: str = "") -> None:
        self.problems = problems
        self.place = place
        self.secret = secret
        """What is found is not shown."""
        self.help = help_

    def read(self, kind: inspect.Type, value: Any) -> Any:
        if isinstance(value, Missing):
            return BAD
        if (cls := nested_of(kind)) is not None:
            settings = read_table(cls, value, self.place, self.problems)
            return BAD if settings is None else settings
        match kind:
            case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
                return self._several(kind, item, value)
            case inspect.DictType(value_type=item):
                return self._table(item, value)
            case inspect.UnionType(types=types):
                return self._any_of(kind, types, value)
        return self._secret(value) if is_secret(kind) else self._scalar(kind, value)

    def _several(self, kind: inspect.VarTupleType | inspect.ListType, item: inspect.Type, value: Any) -> Any:
        given = value if isinstance(value, list | tuple) else [value]
        items = [self.read(item, one) for one in given]
        if any(one is BAD for one in items):
            return BAD
        if len(items) < (kind.min_length or 0) or len(items) > (kind.max_length or math.inf):
            bounds = f"{kind.min_length or 0} to {kind.max_length or 'any number of'}"
            self.problems.report(self.place, f"expected {bounds} values, found {len(items)}")
            return BAD
        seen: dict[Any, int] = {}
        for number, one in enumerate(items, 1):
            if isinstance(one, Secret) and seen.setdefault(one, number) != number:
                self.problems.report(self.place, f"the values {seen[one]} and {number} are the same; leave one out")
                return BAD
        return items if isinstance(kind, inspect.ListType) else tuple(items)

    def _table(self, item: inspect.Type, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return self._bad("a table", value)
        read = {
            key: _Reader(self.problems, (*self.place, key), self.secret).read(item, one) for key, one in value.items()
        }
        return BAD if any(one is BAD for one in read.values()) else read

    def _any_of(self, kind: inspect.Type, types: Iterable[inspect.Type], value: Any) -> Any:
        for one in types:
            attempt = Problems()
            read = _Reader(attempt, self.place, self.secret).read(one, value)
            if not attempt.lines:
                self.problems.hidden |= attempt.hidden
                return read
        return self._bad(described(kind), value)

    def _secret(self, value: Any) -> Any:
        if not isinstance(value, str):
            return self._bad("text", value)
        if not value:
            names = getattr(value, "variables", ())
            asked = f"is the variable {' or '.join(names)} set?" if names else "is the variable set?"
            self.problems.report(self.place, f"is empty: {asked}")
            return BAD
        self.problems.hidden.add(str(value))
        return Secret(str(value))

    def _scalar(self, kind: inspect.Type, value: Any) -> Any:
        if isinstance(value, FromEnvironment):
            self.problems.hidden.add(str(value))
        reader: Callable[[Any, Any], Any] = _READERS.get(type(kind), _any)
        read = reader(kind, value)
        return self._bad(described(kind), value) if read is BAD else read

    def _bad(self, expected: str, value: Any) -> Any:
        found = "something else" if self.secret else shown(value)
        meant = f": {self.help}" if MATCHES in expected and self.help else ""  # few read regular expressions
        self.problems.report(self.place, f"expected {expected}, found {found}{meant}")
        return BAD


def _bool(_: inspect.Type, value: Any) -> Any:
    if isinstance(value, FromEnvironment):
        return {"true": True, "false": False}.get(value.lower(), BAD)
    return value if isinstance(value, bool) else BAD


def _number(kind: Any, value: Any) -> Any:
    whole = isinstance(kind, inspect.IntType)
    if isinstance(value, FromEnvironment):
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            return BAD
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not math.isfinite(value):
        return BAD
    held = (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )
    return (value if whole else float(value)) if held else BAD


def _str(kind: Any, value: Any) -> Any:
    if not isinstance(value, str) or not (kind.min_length or 0) <= len(value) <= (kind.max_length or math.inf):
        return BAD
    return BAD if kind.pattern and not re.search(kind.pattern, value) else str(value)


def _literal(kind: Any, value: Any) -> Any:
    text = str(value) if isinstance(value, FromEnvironment) else value
    return next((one for one in kind.values if type(one) is type(text) and one == text), BAD)


def _enum(kind: Any, value: Any) -> Any:
    return next((one for one in kind.cls if one.value == value), BAD)


def _any(_: inspect.Type, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _any(_, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_any(_, item) for item in value]
    return str(value) if isinstance(value, str) else value


_READERS: dict[type[inspect.Type], Callable[[Any, Any], Any]] = {
    inspect.BoolType: _bool,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.StrType: _str,
    inspect.LiteralType: _literal,
    inspect.EnumType: _enum,
}
