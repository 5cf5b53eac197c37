"""A subscription's notification: ACE insights become a result, everything else is passed on under a name of its own.

The envelope is `{uuid, event, timestamp, subscriptionId, ownerId, body}`; one sample has it inside `pn_apns`, together
with what Apple's push service wants.
"""

import re
from typing import Any

from handlers.providers.ringcentral import ace
from handlers.providers.ringcentral.typed import read
from receiver.contract.model import Call, Notice, Outcome
from receiver.contract.reading import Table, identifier
from receiver.contract.settings import SourceSettings

_ENVELOPE = ("uuid", "event", "timestamp", "subscriptionId", "ownerId", "body")
_OWNERS = {"account", "accounts", "extension", "extensions"}
_VERSION = re.compile(r"v\d+(?:\.\d+)*")
_ID = re.compile(r"~|\d+|.*\d{3}.*|.{33,}", re.DOTALL)
"""Segments of a path that say whose: `~`, numbers, and UUIDs. `a2p-sms` and `v1.0` are none."""
_OTHERS = re.compile(r"[^A-Za-z0-9_]+")
_LONGEST = 100


def outcome(document: Table, job_id: str, settings: SourceSettings) -> Outcome:
    """Read one notification; `job_id` is for a result that names none. Raises Unreadable."""
    envelope = unwrapped(document)
    event, body = read(str, envelope.get("event"), "event"), envelope.get("body")
    if ace.is_insights(event, body):
        return ace.result(event, envelope, job_id, settings)
    return Notice(name=word(event), body=envelope, call=_call(body))


def unwrapped(document: Table) -> Table:
    """Return the envelope without `pn_apns` around it; what it repeats is said once, what is left of it stays."""
    envelope = {name: value for name, value in document.items() if name != "pn_apns"}
    if "pn_apns" not in document:
        return envelope
    inner, rest = read(dict[str, Any], document["pn_apns"], "pn_apns"), {}
    for name, value in inner.items():
        if name not in envelope and name in _ENVELOPE:
            envelope[name] = value
        elif name not in envelope or envelope[name] != value:
            rest[name] = value
    return {**envelope, "pn_apns": rest} if rest else envelope


def word(event: str) -> str:
    """Name an event by its path, without whose it is: `…/account/1/telephony/sessions` is `telephony.sessions`."""
    segments = [segment for segment in event.partition("?")[0].split("/") if segment and segment != "restapi"]
    kept = [segment for segment in segments if not _VERSION.fullmatch(segment) and not _ID.fullmatch(segment)]
    told = [segment for segment in kept if segment not in _OWNERS] or kept[-1:]
    words = (_OTHERS.sub("_", segment).strip("_") for segment in told)
    return ".".join(filter(None, words))[:_LONGEST].strip(".") or "notification"


def _call(body: Any) -> Call | None:
    """Return the call of a telephony session; more than its id only where one party alone is told of."""
    session = identifier(body.get("telephonySessionId")) if isinstance(body, dict) else None
    if session is None:
        return None
    parties = body.get("parties")
    if not isinstance(parties, list) or len(parties) != 1 or not isinstance(parties[0], dict):
        return Call(external_id=session)
    return _of_party(session, parties[0])


def _of_party(session: str, party: Table) -> Call:
    """Read one party; within the account each has its own direction, so that the call has none."""
    ends = {name: end if isinstance(end := party.get(name), dict) else {} for name in ("from", "to")}
    given = party.get("recordings")
    recordings = [one.get("id") for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    internal = all(end.get("extensionId") for end in ends.values())
    return Call(
        external_id=session,
        direction=None if internal else ace.direction(party.get("direction")),
        from_=identifier(ends["from"].get("phoneNumber")),
        to=identifier(ends["to"].get("phoneNumber")),
        agent_id=None if internal else identifier(party.get("extensionId")),
        recording_id=identifier(recordings[0]) if len(recordings) == 1 else None,
    )
