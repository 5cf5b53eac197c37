"""What CallMissed posts: an event in one of two envelopes, and its key.

Platform: `{event, data, timestamp}` (S1). Email: `{type, created_at, data}` (S6). A row of the delivery log holds the
first without its time, as `payload` (S1): it is read as the event that it delivered, so that it is no second one.
"""

import re
from hashlib import blake2b
from typing import Any

import msgspec

from handlers.providers.callmissed.findings import conclusions, left_over
from receiver.contract.errors import Unreadable
from receiver.contract.model import Call, Notice, Outcome, Result
from receiver.contract.reading import Table, first, identifier, json_name, read_object, table, text
from receiver.contract.settings import SourceSettings
from receiver.contract.times import to_rfc3339

_ANALYSIS = "voice_analysis.completed"

_CALLS = ("session_id", "voice_session_id", "conversation_id", "call_id")
"""Members that say what call it is about; the first counts. `voice_session_id` is a telephony call's word (S4)."""

_RECURRING = frozenset({"alert", "budget", "credits", "campaign", "test"})
"""What the same can be said of twice: an alert fires again (S7). Their time tells one from the next."""

_TIMES = re.compile(r".*_at|timestamp")
_NOT_OURS = re.compile(r"[^A-Za-z0-9_.]")
_LONGEST_NAME = 64


def unpacked(document: Table) -> Table:
    """Return the event in a row of the delivery log, the rest of the row as `delivery`; anything else as it is."""
    payload = document.get("payload")
    if not isinstance(payload, dict) or "webhook_id" not in document:
        return document
    return {**payload, "delivery": {key: value for key, value in document.items() if key != "payload"}}


def event_name(document: Table) -> str | None:
    """Return the event's name: `event`, else the email envelope's `type`."""
    return text(document.get("event")) or text(document.get("type"))


def in_our_words(name: str) -> str:
    """Return a name as events have it."""
    return _NOT_OURS.sub("_", name)[:_LONGEST_NAME]


def identity(name: str) -> str:
    """Return the member of `data` that identifies what an event is about: `message.status` is about a `message_id`."""
    return f"{_subject(name)}_id"


def message_key(body: bytes) -> bytes | None:
    """Return event, id and a digest of the data without times; None for what is no event.

    Where no id tells this from the next one, the digest holds all of the data, and the envelope's time stands beside
    it. Whether a retry stamps that anew is not documented: then it is an event twice, and never one lost.
    """
    try:
        document = unpacked(read_object(body))
        name, data = event_name(document), document.get("data")
        if name is None:
            return None
        if not isinstance(data, dict):
            return _encode((name, _digest(document)))
        subject = None if _subject(name) in _RECURRING else identifier(data.get(identity(name)))
        if subject is None:
            return _encode((name, _digest(data), _digest(_time_of(document))))
        steady = {key: value for key, value in data.items() if not _TIMES.fullmatch(key)}
        return _encode((name, subject, _digest(steady)))
    except (Unreadable, ValueError, RecursionError, OverflowError):
        return None


def outcome(body: bytes, settings: SourceSettings) -> Outcome | None:
    """Read an event: the completed analysis is a result, every other one a notice. None for what is no event."""
    if body.lstrip()[:1] == b"[":
        return None
    document = unpacked(read_object(body))
    name = event_name(document)
    if name is None:
        return None
    if name == _ANALYSIS:
        return _analysis(document, settings)
    data = document.get("data")
    call = take_call(dict(data)) if isinstance(data, dict) else None
    return Notice(name=in_our_words(name), body=document, call=call)


def take_call(data: Table) -> Call | None:
    """Take out what names the call, and the bot that held it; None where nothing names one."""
    found = next((known for key in _CALLS if (known := first(identifier, (data, key)))), None)
    return Call(external_id=found, agent_id=first(identifier, (data, "bot_id"))) if found else None


def _analysis(document: Table, settings: SourceSettings) -> Result:
    """Read the analysis of a voice session; neither words nor summary are in it (S2)."""
    if not isinstance(document.get("data"), dict):
        raise Unreadable(f"data is of type {json_name(document.get('data'))}; an object was expected")
    data = table(document, "data")
    raw = dict(data)
    job_id = first(identifier, (data, "analysis_id"))
    if job_id is None:
        raise Unreadable(f"data.analysis_id is of type {json_name(data.get('analysis_id'))}; a string was expected")
    document.pop("event" if document.get("event") == _ANALYSIS else "type")
    return Result(
        kind="analysis",
        operation="conversation",
        job_id=job_id,
        call=take_call(data),
        completed_at=_completed_at(document, settings.timezone),
        analysis=conclusions(data, raw),
        metadata=left_over(document, data=data),
        volatile=frozenset({"delivery", "timestamp"}),
    )


def _completed_at(document: Table, timezone: str | None) -> str | None:
    """Take the moment of dispatch (S5), which is all that is said of when it was completed."""
    delivery = document.get("delivery")
    logged = dict(delivery) if isinstance(delivery, dict) else {}
    places = ((document, "timestamp"), (document, "created_at"), (logged, "created_at"))
    return first(lambda value: to_rfc3339(value, timezone), *places)


def _subject(name: str) -> str:
    return name.partition(".")[0].removeprefix("voice_")


def _time_of(document: Table) -> Any:
    delivery = document.get("delivery")
    logged = delivery.get("created_at") if isinstance(delivery, dict) else None
    return document.get("timestamp") or document.get("created_at") or logged


_encode = msgspec.json.Encoder().encode


def _digest(value: Any) -> str:
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=16).hexdigest()
