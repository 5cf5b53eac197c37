"""Console: one readable line an event on standard output, for trying things out and for logs."""

import asyncio
import contextlib
import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec

from receiver.contract.model import Delivery, Event
from receiver.contract.settings import SinkSettings, about
from receiver.contract.sink import Delivered, SendOutcome, Sink, SinkPorts, TryLater

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # titles, links and other strings
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = 40
_EXCERPT = 200


class ConsoleSettings(SinkSettings, frozen=True, kw_only=True):
    """Settings of the console."""

    include_text: Annotated[bool, about("show the beginning of what was said; off: no words of a call")] = False


class _Seen(msgspec.Struct, frozen=True):
    """What a line shows of an event's data; everything else is skipped unread."""

    status: Any = None
    state: Any = None
    operation: Any = None
    duration: Any = None
    call: Any = None
    error: Any = None
    text: Any = None
    analysis: Any = None


_DECODER = msgspec.json.Decoder(_Seen)


class Console(Sink[ConsoleSettings]):
    """Prints from a thread of its own: a terminal or pipe that stands still does not hold up the loop."""

    Settings = ConsoleSettings
    concurrency = 1
    batch = 64

    def __init__(self, name: str, settings: ConsoleSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        self._thread = ThreadPoolExecutor(1, f"console-{name}")

    async def send(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        """Print the batch; Delivered once standard output has taken it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._print, deliveries)

    def _print(self, deliveries: Sequence[Delivery]) -> list[SendOutcome]:
        lines = [line_of(delivery.event, include_text=self.settings.include_text) for delivery in deliveries]
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        text = "".join(f"{line}\n" for line in lines).encode(encoding, "replace").decode(encoding)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError) as error:  # a closed file is a ValueError, none at all the last
            return [TryLater(reason=f"standard output takes nothing: {type(error).__name__}")] * len(lines)
        return [Delivered()] * len(lines)


def line_of(event: Event, *, include_text: bool = False) -> str:
    """Return one line for people: time, type, source, call, who, how long, what came of it, subject; perhaps words."""
    seen = _seen(event.data)
    parts = [plain(event.time), plain(event.type), plain(event.source_name), plain(event.call_id or "-")]
    parts += [part for part in _details(seen) if part]
    parts.append(plain(event.subject))
    if include_text and (words := _words(seen)):
        parts.append(f'"{words}"')
    return "  ".join(parts)


def _seen(data: bytes) -> _Seen:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        return _DECODER.decode(data)
    with contextlib.suppress(ValueError, RecursionError):  # lone surrogates are JSON, but not to msgspec
        loose = json.loads(data)
        if isinstance(loose, dict):
            return _Seen(**{key: loose.get(key) for key in _Seen.__struct_fields__})
    return _Seen()


def _details(seen: _Seen) -> Iterator[str]:
    call = _table(seen.call)
    ends = [plain(call[end]) if isinstance(call.get(end), str) else "?" for end in ("from", "to")]
    if ends != ["?", "?"]:
        yield " > ".join(ends)
    if isinstance(agent := call.get("agent_id"), str):
        yield f"agent {plain(agent)}"
    yield _clock(seen.duration)
    yield from (plain(value) for value in (seen.operation, seen.status or seen.state) if isinstance(value, str))
    if isinstance(code := _table(seen.error).get("code"), str):
        yield f"error {plain(code)}"


def _words(seen: _Seen) -> str:
    said = (seen.text, _table(seen.analysis).get("summary"))
    return next((plain(text, _EXCERPT) for text in said if isinstance(text, str) and text), "")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _clock(seconds: Any) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def plain(text: str, limit: int = _SHORT) -> str:
    """Return text as a terminal may have it: no escape sequences, control, bidi or invisible characters, cut short."""
    cut = _ESCAPES.sub(" ", text[: limit * 8])
    visible = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in cut)
    words = " ".join(visible.split())
    return words if len(words) <= limit and len(text) <= limit * 8 else words[: limit - 1] + "…"
