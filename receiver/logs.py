"""Log lines: one a step, on stderr; text for terminals, JSON for programs. Secrets and what was said are never in one.

A step logs with `structlog.get_logger()` and an event name: `log.info("receipt.stored", receipt=id, source=name)`.
What may stand in a line is listed, not what may not: numbers, short texts, ids, names of types.
"""

import contextlib
import errno
import json
import logging
import os
import re
import sys
import time
import types
from collections.abc import Iterator, Mapping, MutableMapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal

import msgspec
import structlog

from receiver.contract.errors import HookscribeError
from receiver.contract.settings import Secret

Style = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]
_LEVELS = ("debug", "info", "warning", "error")

HIDDEN = "***"
LONGEST = 300
DEEPEST = 4
FRAMES = 12

_HIDDEN_WORDS = "token|secret|password|passwd|authorization|cookie|signature|api_?key|private_?key|secret_?key"
_HIDDEN_KEY = re.compile(
    rf"(.*[_-])?({_HIDDEN_WORDS})s?|body|text|headers?|payload|content|transcript_text|segments|words|data",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(r"(?<=://)[^/?#\s]*@|(?<=/hooks/)([^/\s?]+)/[^\s?#'\"]+")
_PLAIN = re.compile(r"[\w./:@+*%,-]+")
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_LIBRARIES = ("uvicorn", "uvicorn.error", "aiohttp", "nats", "aiormq", "botocore", "aiobotocore", "asyncio")

_processors: list[Any] = []
"""One list for the whole process: loggers keep it, `configure` changes what is in it."""
_dropped: set[str] = set()
"""Levels of which nothing is written; loggers that are at work go by the newest word, too."""


def configure(style: Style = "auto", level: Level = "info") -> None:
    """Set up log lines of this process, the libraries' own included (from warnings on, without their values)."""
    colour = sys.stderr.isatty()
    as_text = style == "text" or (style == "auto" and colour)
    _dropped.clear()
    _dropped.update(_LEVELS[: _LEVELS.index(level)])
    _processors[:] = [_pass_on, _line, _as_text if as_text else _as_json]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=True,
    )
    _route_libraries()


def shielded(key: str, value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 -- a case a type
    """Return what a log line may hold of a value: never a secret, never what was said."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if _HIDDEN_KEY.fullmatch(key):
        return HIDDEN
    if isinstance(value, Enum):
        return shielded(key, value.value, depth)
    if isinstance(value, str | PurePath):
        return _short(str(value))
    if isinstance(value, BaseException):
        return explained(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth < DEEPEST:
        return _inside(key, value, depth + 1)
    return HIDDEN if isinstance(value, Secret) else f"<{type(value).__name__}>"


def explained(error: BaseException) -> str:
    """Return an error as one text: its type and a code; its message only where it is ours, which holds no content."""
    name = type(error).__name__
    if isinstance(error, HookscribeError):
        return f"{name}: {_short(str(error))}"
    for code in (getattr(error, "sqlite_errorname", None), getattr(error, "sqlstate", None)):
        if isinstance(code, str):
            return f"{name} {code}"
    if isinstance(error, OSError) and error.errno:
        return f"{name} {errno.errorcode.get(error.errno, error.errno)}: {os.strerror(error.errno)}"
    return name


class LibraryHandler(logging.Handler):
    """Takes the log records of libraries into the same lines: their template and error, not the values filled in."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        fields: dict[str, Any] = {"logger": record.name}
        if isinstance(record.msg, BaseException):
            fields["error"] = record.msg
        elif isinstance(record.msg, str):
            fields["message"] = record.msg.partition("\n")[0]
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        logger = structlog.get_logger()
        (logger.error if record.levelno >= logging.ERROR else logger.warning)("library.logged", **fields)


class _StderrLogger:
    """Writes whole lines to whatever stderr is now; where that takes none (a full disk), work goes on without."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, line: str) -> None:
        stream = sys.stderr
        with contextlib.suppress(OSError):
            stream.write(line)
            stream.flush()

    debug = info = warning = warn = error = critical = exception = fatal = log = failure = msg


def is_on(level: Level) -> bool:
    """Say whether lines of a level are written, for who would make one for each of many things."""
    return level not in _dropped


def _pass_on(_: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if method in _dropped:
        raise structlog.DropEvent
    return fields


def _line(_: Any, method: str, fields: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put time, level and event first, shield every value."""
    raised = fields.pop("exc_info", None)
    line: dict[str, Any] = {"time": _now(), "level": "error" if method == "exception" else method}
    line["event"] = _short(str(fields.pop("event", "")))
    for key, value in fields.items():
        line[key] = shielded(key, value)
    if raised and (error := _error_of(raised)) is not None:
        line["exception"] = list(_causes(error))
    return line


def _as_json(_: Any, __: str, line: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(line).decode() + "\n"
    except UnicodeEncodeError:  # half a surrogate pair: the standard encoder writes it as an escape
        return json.dumps(line) + "\n"


def _as_text(_: Any, __: str, line: dict[str, Any]) -> str:
    colour = _COLOURS.get(line["level"], "") if sys.stderr.isatty() else ""
    end = "\x1b[0m" if colour else ""
    head = f"{line.pop('time')[11:23]} {line.pop('level'):<7} {_inert(line.pop('event'))}"
    causes = line.pop("exception", ())
    rest = "".join(f" {key}={_written(value)}" for key, value in line.items())
    lines = [line for cause in causes for line in (f"    {cause['error']}", *(f"      {at}" for at in cause["frames"]))]
    traces = "".join("\n" + _inert(one) for one in lines)
    return f"{colour}{head}{end}{rest}{traces}\n"


def _now() -> str:
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def _short(text: str) -> str:
    if "/" in text:
        text = _IN_TEXT.sub(lambda match: f"{match[1]}/{HIDDEN}" if match[1] else f"{HIDDEN}@", text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def _inside(key: str, value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {str(inner): shielded(str(inner), item, depth) for inner, item in value.items()}
    return [shielded(key, item, depth) for item in value]


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else _inert(msgspec.json.encode(value).decode())
    return _inert(msgspec.json.encode(value).decode())


def _inert(text: str) -> str:
    """Return a text that cannot steer a terminal or fake another line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _error_of(raised: Any) -> BaseException | None:
    if isinstance(raised, BaseException):
        return raised
    if isinstance(raised, tuple):
        return raised[1] if isinstance(raised[1], BaseException) else None
    return sys.exc_info()[1]


def _causes(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """Yield an error and what caused it, the members of groups included: what it is, and where it was raised."""
    for _ in range(DEEPEST):
        if error is None:
            return
        yield {"error": explained(error), "frames": _frames(error.__traceback__)}
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions[:DEEPEST]:
                yield {"error": explained(member), "frames": _frames(member.__traceback__)}
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _frames(trace: types.TracebackType | None) -> list[str]:
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        file = "/".join(PurePath(code.co_filename).parts[-3:])
        frames.append(f"{file}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames[-FRAMES:]


def _route_libraries() -> None:
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, LibraryHandler)]
    root.addHandler(LibraryHandler())
    root.setLevel(logging.WARNING)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate, access.disabled = [], False, True
