"""Settings as they are declared: key, type, default, help, read from the classes once."""

import types
import typing
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import inspect

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, Settings

MATCHES = "that matches"
"""Goes before a regular expression where a kind of value is described."""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as a class declares it."""

    name: str
    key: str
    kind: inspect.Type
    """Without None, which no file can hold."""
    required: bool
    default: Any
    help: str
    inferred: bool


@cache
def fields_of(cls: type[Settings]) -> dict[str, Declared]:
    """Return the settings of a table by key, in their order. Raises ConfigError for a declaration that says nothing."""
    return {field.encode_name: _declared(cls, field) for field in msgspec.structs.fields(cls)}


def nested_of(kind: inspect.Type) -> type[Settings] | None:
    """Return the class of a table inside a table, or None for a plain value."""
    return kind.cls if isinstance(kind, inspect.StructType) and issubclass(kind.cls, Settings) else None


def is_secret(kind: inspect.Type) -> bool:
    """Say whether a setting holds secrets, alone, in a list or in a table."""
    match kind:
        case (
            inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item) | inspect.DictType(value_type=item)
        ):
            return is_secret(item)
        case inspect.UnionType(types=kinds):
            return any(is_secret(one) for one in kinds)
    return isinstance(kind, inspect.CustomType) and kind.cls is Secret


def described(kind: inspect.Type) -> str:  # noqa: PLR0911 -- a case a type
    """Return what a setting's value looks like, in words."""
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            return f"a {'whole ' if isinstance(kind, inspect.IntType) else ''}number{_bounds(kind)}"
        case inspect.StrType():
            return f"text{_text_bounds(kind)}"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(quoted(value) for value in values)
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(quoted(member.value) for member in cls)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"{described(item)}, or a list of such"
        case inspect.UnionType(types=kinds):
            return ", or ".join(described(item) for item in kinds)
        case inspect.DictType(value_type=item):
            return f"a table of {described(item)}"
        case inspect.StructType():
            return "a table"
    return "text" if is_secret(kind) else "a value"


def quoted(value: object) -> str:
    """Write a value as a file would hold it."""
    return msgspec.json.encode(value).decode()


def _declared(cls: type[Settings], field: msgspec.structs.FieldInfo) -> Declared:
    meta = field.type.__metadata__[-1] if get_origin(field.type) is Annotated else msgspec.Meta()
    try:
        kind = _kind(field.type)
    except TypeError as error:
        raise ConfigError(
            f"{cls.__module__}.{cls.__qualname__} declares {field.encode_name} wrongly: {error}"
        ) from error
    return Declared(
        name=field.name,
        key=field.encode_name,
        kind=kind,
        required=field.required,
        default=_default(field),
        help=meta.description or "",
        inferred=bool((meta.extra or {}).get("inferred")),
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def _kind(hint: Any, meta: tuple[msgspec.Meta, ...] = ()) -> inspect.Type:
    """Translate a type; bounds on `X | None` are those of X, which msgspec's own reading refuses."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _kind(arguments[0], tuple(hint.__metadata__))
    if origin in (typing.Union, types.UnionType):
        kinds = tuple(_kind(item, meta) for item in arguments if item is not type(None))
        return kinds[0] if len(kinds) == 1 else inspect.UnionType(kinds)
    if isinstance(hint, type) and issubclass(hint, Settings):
        return inspect.StructType(hint, ())
    if origin is tuple and arguments[1:] == (...,):
        return inspect.VarTupleType(_kind(arguments[0]), *_lengths(meta))
    if origin is dict:
        return inspect.DictType(inspect.StrType(), _kind(arguments[1]), *_lengths(meta))
    for one in meta:
        hint = Annotated[hint, one]
    known = inspect.type_info(hint)
    return known.type if isinstance(known, inspect.Metadata) else known


def _lengths(meta: tuple[msgspec.Meta, ...]) -> tuple[int | None, int | None]:
    return next(((one.min_length, one.max_length) for one in meta), (None, None))


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    words = (("of at least", kind.ge), ("above", kind.gt), ("up to", kind.le), ("below", kind.lt))
    said = [f"{word} {_number(bound)}" for word, bound in words if bound is not None]
    return " " + " and ".join(said) if said else ""


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _text_bounds(kind: inspect.StrType) -> str:
    if kind.pattern:
        return f" {MATCHES} {kind.pattern}"
    if kind.min_length == 1:
        return " that is not empty"
    return f" of at least {kind.min_length} characters" if kind.min_length else ""
