"""Which of RingCentral's two products a body is of, and what a redelivery of it has in common with it.

An AI response has a jobId, a status or a response; a notification has none of them, and an event. The rest of a body is
skipped here, however large.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.proof import digest
from receiver.contract.reading import read_object

DIGEST_PREFIX = "sha256:"
"""Starts the job id, and the message key, of a body that has none of its own."""

_JOB = ("jobId", "status", "response")
_EVENT = ("event", "pn_apns")
_NOTHING = msgspec.Raw(b"")


class _Head(msgspec.Struct, gc=False):
    """Members by the provider's names, undecoded: what they hold may be anything."""

    jobId: msgspec.Raw = _NOTHING  # noqa: N815
    status: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING
    event: msgspec.Raw = _NOTHING
    pn_apns: msgspec.Raw = _NOTHING
    uuid: msgspec.Raw = _NOTHING
    body: msgspec.Raw = _NOTHING


class _Record(msgspec.Struct, rename="camel"):
    """What tells ACE insights apart."""

    source_record_id: str
    last_modified_time: str
    domain: str | None = None


_HEAD = msgspec.json.Decoder(_Head)
_RECORD = msgspec.json.Decoder(_Record)
_TEXT = msgspec.json.Decoder(str)


def is_notification(document: Mapping[str, Any]) -> bool:
    """Say whether a document is of a subscription; where it could be both, it is an AI response."""
    return any(name in document for name in _EVENT) and not any(name in document for name in _JOB)


def of_subscription(body: bytes) -> bool:
    """Say the same of bytes, exactly as normalizing will see them: on it depends what must prove them.

    No bytes at all are of a handshake, and so of a subscription.
    """
    if not body:
        return True
    try:
        return _is_notification(_HEAD.decode(body))
    except (ValueError, RecursionError):
        pass
    try:
        return is_notification(read_object(body))
    except Unreadable:
        return False


def message_key(body: bytes) -> bytes:
    """Return what a redelivery has in common with `body`: a JSON list for jobs, an object for notifications.

    ACE sends two messages about one record where AI Notes were on (its own and theirs), and nobody says that their
    times differ, so that the key holds a digest of what they say, too.
    """
    try:
        head = _HEAD.decode(body)
        key = _of_notification(head) if _is_notification(head) else _of_job(head)
    except (ValueError, RecursionError):
        key = None
    return key or DIGEST_PREFIX.encode() + digest(body).hex().encode()


def _is_notification(head: _Head) -> bool:
    return bool(head.event or head.pn_apns) and not (head.jobId or head.status or head.response)


def _of_job(head: _Head) -> bytes | None:
    job_id = _TEXT.decode(head.jobId) if head.jobId else ""
    status = msgspec.json.decode(head.status, type=str | None) if head.status else None
    return msgspec.json.encode((job_id, status)) if job_id else None


def _of_notification(head: _Head) -> bytes | None:
    inner = msgspec.json.decode(head.pn_apns, type=_Head) if head.pn_apns else _Head()
    said, uuid = head.body or inner.body, head.uuid or inner.uuid
    try:
        record = _RECORD.decode(said)
    except ValueError:
        return msgspec.json.encode({"uuid": text}) if uuid and (text := _TEXT.decode(uuid)) else None
    return msgspec.json.encode(
        {
            "domain": record.domain,
            "sourceRecordId": record.source_record_id,
            "lastModifiedTime": record.last_modified_time,
            "digest": digest(said).hex(),
        }
    )
