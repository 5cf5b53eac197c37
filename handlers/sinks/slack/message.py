"""What a Slack message says about an event: enough to decide at two in the morning, and no words of the call.

Without `include_text` a message holds: who, when, how long, status, sentiment, the provider's summary, the names of its
checks, and errors. What quotes the call, or may, needs `include_text`: text and segments, details of checks, topics,
action items, insights, the body of a provider's own event, and the members of an event type that nobody here knows.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from handlers.sinks.slack.blocks import Page, clean
from handlers.sinks.slack.values import clock, items, joined, moment, read, span, table, value_of, word
from receiver.contract.model import Event

_TITLES = {
    "transcript.completed": ("✅", "Transcript completed"),
    "transcript.failed": ("❌", "Transcription failed"),
    "transcript.updated": ("🔁", "Transcript updated"),
    "analysis.completed": ("✅", "Analysis completed"),
    "analysis.failed": ("❌", "Analysis failed"),
    "analysis.updated": ("🔁", "Analysis updated"),
    "call.completed": ("✅", "Call completed"),
    "job.submitted": ("📤", "Job submitted"),
    "job.overdue": ("⏰", "Job overdue: no result yet"),
    "job.lost": ("❌", "Job lost: the provider does not know it"),
    "ops.delivery_dead": ("🚨", "Delivery given up"),
    "ops.sink_tripped": ("🚨", "Sink stopped: it keeps failing"),
    "ops.receipt_unreadable": ("🚨", "Callback could not be read"),
    "ops.source_silent": ("🚨", "Source has gone silent"),
    "ops.test": ("🔔", "Test of this sink"),
    "ops.refusals_rising": ("🚨", "Refused callbacks are rising"),
}
_OURS = re.compile(r"(?:^|\.)((transcript|analysis|call|job|ops)\.\w+)$")
_PAGES = {"trn": "transcripts", "call": "calls", "job": "jobs", "dlv": "deliveries", "rcp": "receipts"}
_CHECKS_SHOWN = 15
_MEMBERS_SHOWN = 12
_SAID_SECTIONS = 4
"""At most 12,000 characters of what was said; the rest is behind the link, or in a file."""
_SAID_FITS = 8_000
"""Characters that fit into as many sections, whatever they are and wherever they break."""
_LINE = 1_000_000
"""Characters of one segment in a file."""


def message(event: Event, *, links: str | None, include_text: bool, attached: bool = False) -> dict[str, Any]:
    """Return the event as a message's JSON; any data gives one, none raises.

    `attached` leaves out what was said: it follows as a file.
    """
    data = read(event.data)
    page = Page()
    headline = _headline(event, data)
    facts = list(filter(None, _facts(event, data, include_text=include_text)))
    page.header(headline)
    page.section(facts)
    _findings(page, data, include_text=include_text)
    if include_text and not attached:
        _said(page, data)
    if links and (url := _link(event.subject, links)):
        page.link(url, "Open in Hookscribe")
    page.footer(_small_print(event, data))
    return page.payload(" · ".join([headline, *facts[: 1 + len(_error(data))]]))


def _kind(event: Event, data: dict[str, Any]) -> tuple[str, str]:
    """Return the event's type without a prefix, and its group: one of ours, `notice`, or nothing."""
    if {"provider", "name", "body"} <= data.keys():
        return event.type, "notice"
    found = _OURS.search(event.type)
    return (found[1], found[2]) if found else (event.type, "")


def _headline(event: Event, data: dict[str, Any]) -> str:
    kind, group = _kind(event, data)
    symbol, title = _TITLES.get(kind, ("ℹ️", word(kind.replace("_", " "), 80)))  # noqa: RUF001 -- the sign is meant
    if group == "notice":
        title = f"{word(data['provider'], 40)}: {word(data['name'], 60)}"
    failed, judged = _verdicts(data)
    if failed and symbol != "❌":
        symbol, title = "⚠️", f"{title}, {failed} of {judged} checks failed"
    return joined((("", f"{symbol} {title}"), ("", word(event.source_name, 60))))


def _facts(event: Event, data: dict[str, Any], *, include_text: bool) -> Iterator[str]:
    _, group = _kind(event, data)
    yield from _error(data)
    if group in ("transcript", "analysis"):
        yield from _call_facts(table(data.get("call")), data, event)
    elif group == "call":
        yield from _call_facts(data, data, event)
    elif group in ("job", "ops") or include_text:
        yield from _members(data)
        yield "When: " + moment(event.time)
    else:
        yield "When: " + moment(event.time)


def _call_facts(call: dict[str, Any], data: dict[str, Any], event: Event) -> Iterator[str]:
    yield _parties(call)
    yield joined(
        (
            ("Agent: ", word(call.get("agent_id"))),
            ("Contact: ", word(call.get("contact_id"))),
            ("Speakers: ", _speakers(data)),
        )
    )
    yield joined((*_when(call, data, event), ("Length: ", span(data.get("duration")))))
    yield joined(
        (
            ("Status: ", word(data.get("status"))),
            ("Sentiment: ", word(table(data.get("analysis")).get("sentiment"))),
            ("Language: ", word(data.get("language"), 40)),
        )
    )


def _parties(call: dict[str, Any]) -> str:
    caller, callee, direction = (word(call.get(name)) for name in ("from", "to", "direction"))
    if caller or callee:
        return f"{caller or 'unknown'} → {callee or 'unknown'}" + (f" ({direction})" if direction else "")
    return direction.capitalize()


def _speakers(data: dict[str, Any]) -> str:
    names = []
    for item in map(table, items(data.get("speakers"))[:8]):
        name = word(item.get("label"), 60) or word(item.get("id"), 60)
        about = ", ".join(filter(None, (word(item.get("role"), 20), span(item.get("talk_time")))))
        names += [f"{name} ({about})" if about else name] if name else []
    return ", ".join(names)


def _when(call: dict[str, Any], data: dict[str, Any], event: Event) -> Iterator[tuple[str, str]]:
    times = (("Started: ", call.get("started_at")), ("Created: ", data.get("created_at")))
    for name, value in (*times, ("Received: ", data.get("received_at"))):
        if isinstance(value, str) and value:
            yield name, moment(value)
            return
    yield "When: ", moment(event.time)


def _error(data: dict[str, Any]) -> list[str]:
    error = table(data.get("error"))
    parts = (word(error.get("code"), 80), word(error.get("message"), 600))
    said = ": ".join(filter(None, parts))
    return [f"Error: {said}"] if said else []


def _members(data: dict[str, Any]) -> list[str]:
    """Return the scalar members of our own jobs, deliveries and receipts, by name; what went wrong first."""
    lines = []
    for name in sorted(data, key=lambda name: not re.search("error|reason", name)):
        label = word(name.replace("_", " "), 40)
        if name != "id" and label and (text := _member(name, data[name])):
            lines.append(f"{label[:1].upper()}{label[1:]}: {text}")
    return lines[:_MEMBERS_SHOWN]


def _member(name: str, value: Any) -> str:
    if name == "recording" and isinstance(value, str):
        return word(value.partition("?")[0], 300)
    return moment(value) if name.endswith("_at") and isinstance(value, str) else word(value, 300)


def _checks(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [flag for flag in map(table, items(table(data.get("analysis")).get("flags"))) if word(flag.get("name"))]


def _verdicts(data: dict[str, Any]) -> tuple[int, int]:
    """Return how many checks failed, of how many that were judged."""
    judged = [flag["ok"] for flag in _checks(data) if isinstance(flag.get("ok"), bool)]
    return judged.count(False), len(judged)


def _findings(page: Page, data: dict[str, Any], *, include_text: bool) -> None:
    analysis = table(data.get("analysis"))
    page.section(_check_lines(_checks(data), include_text=include_text))
    summary = analysis.get("summary")
    if isinstance(summary, str) and (text := clean(summary[:20_000])):
        page.section([f"Summary: {text}"])
    if include_text:
        page.section(_quoting(analysis))


def _check_lines(checks: list[dict[str, Any]], *, include_text: bool) -> list[str]:
    """Return the failed checks a line each, then those without a verdict, then all that passed on one line."""
    failed = [_check("❌", flag, include_text=include_text) for flag in checks if flag.get("ok") is False]
    silent = [_check("▫️", flag, include_text=include_text) for flag in checks if not isinstance(flag.get("ok"), bool)]
    passed = [word(flag["name"], 80) for flag in checks if flag.get("ok") is True]
    lines = failed + silent
    more = [f"… and {len(lines) - _CHECKS_SHOWN} more"] if len(lines) > _CHECKS_SHOWN else []
    return [*lines[:_CHECKS_SHOWN], *more, "✅ " + ", ".join(passed) if passed else ""]


def _check(symbol: str, flag: dict[str, Any], *, include_text: bool) -> str:
    at = f" (at {position})" if (position := clock(flag.get("at"))) else ""
    detail = f": {value_of(flag.get('detail'))}" if include_text and flag.get("detail") is not None else ""
    return f"{symbol} {word(flag['name'], 80)}{at}{detail}"


def _quoting(analysis: dict[str, Any]) -> list[str]:
    topics = ", ".join(filter(None, (word(item, 60) for item in items(analysis.get("topics"))[:20])))
    actions = [f"• {text}" for item in items(analysis.get("action_items"))[:10] if (text := word(item, 300))]
    insights = [
        f"• {name}: {value_of(item.get('value'))}"
        for item in map(table, items(analysis.get("insights"))[:10])
        if (name := word(item.get("name"), 80))
    ]
    lines = [f"Topics: {topics}" if topics else ""]
    lines += ["To do:", *actions] if actions else []
    return lines + (["Insights:", *insights] if insights else [])


def transcript(event: Event) -> str | None:
    """Return what was said, a line a segment, where it is too long for a message; None where it is not."""
    data = read(event.data)
    names = _names(data)
    lines = [line for item in items(data.get("segments")) if (line := _segment(table(item), names, _LINE))]
    text = data.get("text")
    whole = "\n".join(lines) if lines else clean(text) if isinstance(text, str) else ""
    return whole if len(whole) > _SAID_FITS else None


def _said(page: Page, data: dict[str, Any]) -> None:
    """Add what was said, or the body of a provider's own event."""
    names = _names(data)
    lines = [line for item in items(data.get("segments"))[:1000] if (line := _segment(table(item), names))]
    text = data.get("text")
    if not lines and isinstance(text, str):
        lines = clean(text[:40_000]).split("\n")
    if any(lines):
        page.long("What was said:", lines, sections=_SAID_SECTIONS)
    if "body" in data and data.keys() >= {"provider", "name"}:
        page.section([f"Body: {value_of(data['body'], 2_000)}"])


def _names(data: dict[str, Any]) -> dict[str, str]:
    """Return what to call each speaker, by id."""
    speakers = [item for item in map(table, items(data.get("speakers"))[:100]) if isinstance(item.get("id"), str)]
    return {item["id"]: word(item.get("label"), 60) or word(item.get("role"), 20) for item in speakers}


def _segment(segment: dict[str, Any], names: dict[str, str], limit: int = 3_000) -> str:
    if not (text := word(segment.get("text"), limit)):
        return ""
    speaker = segment.get("speaker")
    name = (names.get(speaker) if isinstance(speaker, str) else "") or word(speaker, 60)
    return " ".join(filter(None, (clock(segment.get("start")), f"{name}:" if name else "", text)))


def _link(subject: str, links: str) -> str | None:
    page = _PAGES.get(subject.partition("_")[0])
    if page is None:
        return None
    return f"{quote(links.rstrip('/'), safe=':/?=%@[]-._~')}/{page}/{quote(subject, safe='', errors='replace')}"


def _small_print(event: Event, data: dict[str, Any]) -> str:
    version = data.get("version")
    return joined(
        (
            ("", word(data.get("operation"), 60)),
            ("job ", word(data.get("job_id"), 80)),
            ("", word(event.subject, 80)),
            ("version ", str(version) if isinstance(version, int) and not isinstance(version, bool) else ""),
            ("", word(event.id, 80)),
        )
    )
