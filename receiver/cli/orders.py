"""What `submit` is asked to submit: files, addresses, options, the rows of a manifest."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from receiver.asking.recording import Progress, content_type, recording_of
from receiver.contract.asking import Found, Recording
from receiver.contract.errors import UsageError
from receiver.contract.model import Call
from receiver.pipeline.jobs.submit import Order

_ROWS = 100_000
_CALL = ("started_at", "direction", "from", "to", "agent_id", "contact_id", "recording_id")
_COLUMNS = ("recording", "call", "language", "operation", *_CALL)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One recording by its name, and what is asked for it; `operations` empty: the provider's first."""

    where: str
    operations: tuple[str, ...] = ()
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, str] = {}
    options: dict[str, Any] = {}
    known: Recording | None = None
    """What the provider told of a recording that lies there."""

    @property
    def is_address(self) -> bool:
        """Whether only the provider reaches it."""
        return urlsplit(self.where).scheme in ("http", "https")

    @property
    def recording_id(self) -> str | None:
        """The provider's name for a recording that lies there: `recording:ID`."""
        return self.where.removeprefix("recording:") if self.where.startswith("recording:") else None

    @property
    def shown(self) -> str:
        """The name without what could open it."""
        return self.where.partition("?")[0] if self.is_address else self.where

    @property
    def size(self) -> int:
        """Bytes of a file, 0 where there is none to look at."""
        try:
            return 0 if self.is_address or self.recording_id else Path(self.where).stat().st_size
        except OSError:
            return 0

    def recording(self, progress: Progress | None = None) -> Recording:
        """Look at the recording, and tell `progress` the bytes that were read. Raises UsageError, which names it."""
        if self.known:
            return self.known
        if self.recording_id:
            return Recording(
                name=self.recording_id, size=None, sha256=None, content_type="audio/mpeg", id=self.recording_id
            )
        if not self.is_address:
            return recording_of(Path(self.where), progress)
        name = Path(urlsplit(self.where).path).name or "recording"
        return Recording(name=name, size=None, sha256=None, content_type=content_type(name, b""), url=self.where)

    def orders(self, source: str, *, again: bool, progress: Progress | None = None) -> list[Order]:
        """Return one order for each operation. Raises UsageError, which names the recording."""
        recording = self.recording(progress)
        return [
            Order(
                source=source,
                recording=recording,
                path=None if self.is_address or self.recording_id else Path(self.where),
                operation=operation,
                call=self.call,
                language=self.language,
                metadata=self.metadata,
                options=self.options,
                again=again,
            )
            for operation in self.operations or (None,)
        ]


def items(names: Sequence[str], manifest: Path | None, given: Mapping[str, Any]) -> list[Item]:
    """Return the files and addresses that a command line names. Raises UsageError."""
    base = template(given)
    found = [msgspec.structs.replace(base, where=name) for name in names]
    if manifest is not None:
        rows = [*_rows(manifest, base)]
        if not rows:
            raise UsageError(f"{manifest} names no recording: below its first line it needs one for each")
        found += rows
    return found


def template(given: Mapping[str, Any]) -> Item:
    """Return what a command line says of every recording. Raises UsageError."""
    return Item(
        where="",
        operations=tuple(given["operation"]),
        call=Call(external_id=given["call"]) if given["call"] else None,
        language=given["language"],
        metadata=pairs("--meta", given["meta"]),
        options={name: _value(text) for name, text in pairs("--option", given["option"]).items()},
    )


def lying_there(base: Item, found: Found) -> Item:
    """Return an item for a recording that lies at the provider: it gets it by a link of ours, so that its address is dropped."""
    known = msgspec.structs.replace(found.recording, url=None)
    said = found.call or Call()
    call = msgspec.structs.replace(said, **_members(base.call)) if found.call or base.call else None
    return msgspec.structs.replace(base, where=f"recording:{known.id}", call=call, known=known)


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Read `name=value` several times. Raises UsageError."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option}: expected NAME=VALUE, such as {option} team=north")
        found[name.strip()] = value
    return found


def _value(text: str) -> Any:
    """Read a value as JSON, where it is some; else it is text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _rows(manifest: Path, base: Item) -> Iterator[Item]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames is None:
                raise UsageError(
                    f"{manifest} is empty: its first line names the columns, such as recording,call,language"
                )
            _check(manifest, reader.fieldnames or ())
            for number, row in enumerate(reader, 2):
                if number > _ROWS:
                    raise UsageError(f"{manifest}: more than {_ROWS} rows; split it")
                yield _item(f"{manifest}, row {number}", manifest.parent, row, base)
    except OSError as error:
        raise UsageError(f"{manifest} cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{manifest} is not CSV in UTF-8: {error}") from None


def _check(manifest: Path, columns: Sequence[str]) -> None:
    unknown = [name for name in columns if name not in _COLUMNS and not name.startswith(("meta.", "option."))]
    if "recording" not in columns or unknown:
        wrong = f"no column {unknown[0][:40]!r} is known" if unknown else "the column recording is missing"
        raise UsageError(f"{manifest}: {wrong}; columns are {', '.join(_COLUMNS)}, meta.NAME and option.NAME")


def _item(place: str, folder: Path, row: Mapping[str, Any], base: Item) -> Item:
    given = {name: value for name, value in row.items() if isinstance(value, str) and value}
    if None in row or "recording" not in given:
        raise UsageError(f"{place}: it has no recording, or more values than there are columns")
    named = {name: given[name] for name in _CALL if name in given}
    if "call" in given:
        named["external_id"] = given["call"]
    try:
        call = msgspec.convert({**_members(base.call), **named}, Call) if named else base.call
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {error}") from None
    options = {name[7:]: _value(value) for name, value in given.items() if name.startswith("option.")}
    item = msgspec.structs.replace(base, where=given["recording"])
    return msgspec.structs.replace(
        item,
        where=item.where if item.is_address or item.recording_id else str(folder / item.where),
        operations=(given["operation"],) if "operation" in given else base.operations,
        call=call,
        language=given.get("language", base.language),
        metadata=base.metadata | {name[5:]: value for name, value in given.items() if name.startswith("meta.")},
        options=base.options | options,
    )


def _members(call: Call | None) -> dict[str, Any]:
    return {"external_id": call.external_id} if call is not None else {}
