"""Recordings that lie at RingCentral: of calls, by the call log, and of video meetings.

Source: https://developers.ringcentral.com/guide/voice/call-log/recordings, …/ai/media-files; SPEC CallLogRecordingInfo,
GetCallRecordingResponse.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from receiver.contract.asking import Found, Recording
from receiver.contract.errors import UsageError
from receiver.contract.model import Call
from receiver.contract.reading import identifier, number, text
from receiver.contract.times import from_ms, to_rfc3339

ACCOUNT = "/restapi/v1.0/account/~"
LOGS = {"company": f"{ACCOUNT}/call-log", "user": f"{ACCOUNT}/extension/~/call-log"}
"""Of everybody, which needs the permission FullCompanyCallLog, or of the JWT's user."""
PER_PAGE = 250
MOST_PAGES = 400
TOKEN_SECONDS = 3600
"""Life of a token in an address: the longest that there is (SPEC); a job may wait half an hour in the queue."""

_ENDINGS = {"audio/wav": "wav", "audio/mpeg": "mp3", "video/mp4": "mp4", "audio/mp4": "mp4"}
_OF_MEETINGS = {".m4a": "audio/mp4", ".mp3": "audio/mpeg"}
_DIRECTIONS: Mapping[str, Any] = {"Inbound": "inbound", "Outbound": "outbound"}
_ID = re.compile(r"[A-Za-z0-9_.~-]{1,80}")
_TOKEN = re.compile(r"(access_token=)[^&\s\"'\]]+")

Record = dict[str, Any]


def metadata_path(recording_id: str) -> str:
    """Return where a recording is described. Raises UsageError for what is no id."""
    return f"{ACCOUNT}/recording/{_checked(recording_id)}"


def content_url(media: str, recording_id: str) -> str:
    """Return where a recording's audio is, or the address that was given as id, of a meeting's recording on that host."""
    if recording_id.startswith(("http://", "https://")):
        return on_host(media, recording_id)
    return f"{media}{ACCOUNT}/recording/{_checked(recording_id)}/content"


def _checked(recording_id: str) -> str:
    if not _ID.fullmatch(recording_id):
        raise UsageError(f"{recording_id[:80]!r} is no id of a recording; the call log shows it as recording.id")
    return quote(recording_id, safe="")


def on_host(media: str, url: str) -> str:
    """Return an address of RingCentral's media host, without a token that it may carry.

    Raises UsageError for another host: our token would go there.
    """
    there, ours = urlsplit(url), urlsplit(media)
    if (there.scheme, there.hostname, there.port or _port(there.scheme)) != (
        ours.scheme,
        ours.hostname,
        ours.port or _port(ours.scheme),
    ):
        raise UsageError(
            f"the recording is at {there.hostname}, not at {ours.hostname}; media_url says where it may be"
        )
    query = urlencode([(key, value) for key, value in parse_qsl(there.query) if key != "access_token"])
    return f"{media}{there.path}" + (f"?{query}" if query else "")


def _port(scheme: str) -> int | None:
    """Call-log addresses may carry the port that their scheme implies."""
    return {"https": 443, "http": 80}.get(scheme)


def with_token(url: str, token: str) -> str:
    """Return an address with the token in its query, as the guide documents it for its AI API."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'access_token': token})}"


def without_tokens(words: str) -> str:
    """Return words of RingCentral's with the tokens of addresses masked."""
    return _TOKEN.sub(r"\1***", words)


def described(record: Record, media: str) -> Recording:
    """Return a recording from what `…/recording/{id}` says: its type and its seconds. Raises UsageError."""
    name, kind = identifier(record.get("id")), text(record.get("contentType"))
    if name is None or kind is None:
        raise UsageError("RingCentral describes the recording without id or contentType")
    url = content_url(media, name)
    ending = _ENDINGS.get(kind, "audio")
    return Recording(
        name=f"{name}.{ending}",
        size=None,
        sha256=None,
        content_type=kind,
        url=url,
        duration=number(record.get("duration")),
        id=name,
    )


def records_in(body: bytes) -> list[Record]:
    """Return the records of a file: one, a list, or an answer of the call log. Raises UsageError."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError("the call-log entry is not JSON") from None
    if isinstance(found, dict) and isinstance(found.get("records"), list):
        found = found["records"]
    records = found if isinstance(found, list) else [found]
    if not records or not all(isinstance(record, dict) for record in records):
        raise UsageError("the call-log entry is neither an object nor a list of objects")
    return records


def recording_ids(record: Record) -> list[str]:
    """Return the recordings of a call: its own and those of its legs, each once."""
    legs = record.get("legs")
    places = [record, *(leg for leg in legs if isinstance(leg, dict))] if isinstance(legs, list) else [record]
    found = (place["recording"].get("id") for place in places if isinstance(place.get("recording"), dict))
    return list(dict.fromkeys(name for one in found if (name := identifier(one)) is not None))


def call_of(record: Record, recording_id: str) -> Call:
    """Return the call of a record of the log."""
    own, other = _party(record, "from"), _party(record, "to")
    session = text(record.get("telephonySessionId")) or identifier(record.get("sessionId"))
    return Call(
        external_id=session,
        started_at=to_rfc3339(record.get("startTime")),
        direction=_DIRECTIONS.get(str(record.get("direction"))),
        from_=own,
        to=other,
        recording_id=recording_id,
    )


def _party(record: Record, side: str) -> str | None:
    """Return a side of a call: its number, else its extension, else its name."""
    party = record.get(side)
    keys = ("phoneNumber", "extensionNumber", "name")
    return next((known for key in keys if (known := text(party.get(key)))), None) if isinstance(party, dict) else None


def meeting(record: Record, media: str) -> Found | None:
    """Return the recording of a video meeting, or None for what is none. Raises UsageError where it is not ready.

    Its members are those that RingCentral's own sample reads: url, status, availabilityStatus, startTime in ms.
    """
    url = text(record.get("url"))
    if url is None:
        return None
    for key, wanted in (("status", "Processed"), ("availabilityStatus", "Alive")):
        if record.get(key) not in (None, wanted):
            raise UsageError(f"the meeting's recording cannot be read: {key} is {record[key]!r}, not {wanted!r}")
    address = on_host(media, url)
    path = PurePosixPath(urlsplit(address).path)
    started = number(record.get("startTime"))
    name = identifier(record.get("id"))
    recording = Recording(
        name=f"{name or 'meeting'}.mp4",
        size=None,
        sha256=None,
        content_type=_OF_MEETINGS.get(path.suffix, "video/mp4"),
        url=address,
        duration=number(record.get("duration")),
        id=address,
    )
    call = Call(
        external_id=identifier(record.get("meetingId")) or name,
        started_at=from_ms(int(started)) if started is not None else None,
        recording_id=name,
    )
    return Found(recording=recording, call=call)


def pages(answer: Record) -> Iterator[Record]:
    """Yield the records of one answer of the call log."""
    records = answer.get("records")
    yield from (one for one in records if isinstance(one, dict)) if isinstance(records, list) else ()


def has_more(answer: Record) -> bool:
    """Say whether the call log goes on: it names a next page."""
    navigation = answer.get("navigation")
    return isinstance(navigation, dict) and isinstance(navigation.get("nextPage"), dict)
