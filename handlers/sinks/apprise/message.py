"""An event as a few lines of plain text, for any of a hundred services: what others wrote arrives inert.

Some services read Markdown, some HTML, some look for mentions, and Apprise does not say which. So what could be any of
these is replaced by a character that looks the same.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from receiver.contract.model import Event

_BODY = 1_900
"""Characters of a message that every larger service takes; Discord's limit is 2,000."""
_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    "\ufff0-\uffff\U000e0000-\U000e007f\ud800-\udfff]"
)
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_ALIKE = str.maketrans(
    {"<": "‹", ">": "›", "@": "＠", "#": "＃", "*": "∗", "`": "ˋ", "_": "＿", "~": "∼", "[": "［", "]": "］", "&": "＆"}  # noqa: RUF001
)
_TITLES = {
    "transcript.completed": "✅ Call transcribed",
    "transcript.updated": "✏️ Transcript updated",
    "transcript.failed": "❌ Transcription failed",
    "analysis.completed": "✅ Call analyzed",
    "analysis.updated": "✏️ Analysis updated",
    "analysis.failed": "❌ Analysis failed",
    "call.completed": "✅ Call complete",
}
_PAGES = {"trn": "transcripts", "call": "calls", "job": "jobs", "dlv": "deliveries", "rcp": "receipts"}
_OURS = re.compile(r"(.*\.)?(job|ops)\.[a-z_]+")


class Message(NamedTuple):
    """What people read; `kind` is Apprise's: info, success, warning or failure."""

    title: str
    body: str
    kind: str


def message(event: Event, *, links: str | None, include_text: bool) -> Message:
    """Return the message of an event; without `include_text` no words of the call are in it."""
    data = _read(event.data)
    lines = [*_facts(event, data, include_text=include_text), *(_said(data) if include_text else ())]
    text = "\n".join(filter(None, lines))
    link = _link(event.subject, links)
    room = _BODY - len(link) - 1
    body = text if len(text) <= room else text[: room - 1].rstrip() + "…"
    return Message(_title(event), f"{body}\n{link}".strip() or inert(event.id), _kind(event))


def _title(event: Event) -> str:
    known = [title for name, title in _TITLES.items() if event.type.endswith(name)]
    words = known[0] if known else event.type.replace("_", " ")
    return inert(f"{words} · {event.source_name}" if event.source_name else words, 200)


def _kind(event: Event) -> str:
    word = event.type.rpartition(".")[2]
    if word in ("failed", "lost", "delivery_dead"):
        return "failure"
    if ".ops." in f".{event.type}" or word == "overdue":
        return "warning"
    return "success" if word == "completed" else "info"


def _facts(event: Event, data: dict[str, Any], *, include_text: bool) -> Iterator[str]:
    call, error, analysis = (_table(data.get(name)) for name in ("call", "error", "analysis"))
    yield _named("Error", inert(": ".join(filter(None, (_text(error.get("code")), _text(error.get("message")))))))
    caller, callee = inert(_text(call.get("from"))), inert(_text(call.get("to")))
    yield f"{caller or 'unknown'} → {callee or 'unknown'}" if caller or callee else ""
    yield _named("Agent", inert(_text(call.get("agent_id"))))
    yield _named("When", inert(_text(call.get("started_at")) or event.time, 40))
    yield _named("Length", _span(data.get("duration")))
    yield _named("Status", inert(_text(data.get("status")), 40))
    yield _named("Sentiment", inert(_text(analysis.get("sentiment")), 40))
    flags = [_table(flag) for flag in _items(analysis.get("flags"))]
    yield _named(
        "Failed checks", inert(", ".join(_text(flag.get("name")) for flag in flags if flag.get("ok") is False))
    )
    yield _named("Summary", inert(_text(analysis.get("summary")), 1_000))
    if include_text or _OURS.fullmatch(event.type):
        yield from (_named(inert(name, 40), inert(_text(data[name]))) for name in ("sink", "reason") if name in data)


def _said(data: dict[str, Any]) -> Iterator[str]:
    for segment in map(_table, _items(data.get("segments"))[:200]):
        speaker, text = inert(_text(segment.get("speaker")), 60), inert(_text(segment.get("text")), 1_000)
        yield f"{speaker}: {text}" if speaker and text else text
    if not data.get("segments"):
        yield inert(_text(data.get("text")), _BODY)


def _link(subject: str, links: str | None) -> str:
    page = _PAGES.get(subject.partition("_")[0])
    if links is None or page is None:
        return ""
    return f"{quote(links.rstrip('/'), safe=':/?=%@[]-._~')}/{page}/{quote(subject, safe='', errors='replace')}"


def inert(text: str, limit: int = 300) -> str:
    """Return text on one line that nothing formats, links or takes for a mention, at most `limit` characters."""
    text = " ".join(_UNSEEN.sub("", _BREAKS.sub("\n", text[: limit * 8])).split())
    text = text.translate(_ALIKE).replace("://", ":∕∕")  # noqa: RUF001 -- looks the same
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _read(data: bytes) -> dict[str, Any]:
    for decode in (msgspec.json.decode, json.loads):  # the slower one knows lone surrogates
        try:
            return _table(decode(data))
        except (ValueError, RecursionError):
            continue
    return {}


def _named(name: str, value: str) -> str:
    return f"{name}: {value}" if value else ""


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value)[:40] if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _span(seconds: Any) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e8:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
