"""Rows of the quarantine."""

from typing import TypedDict

import msgspec

from receiver.contract.model import Headers, InboundRequest, TokenDigest
from receiver.contract.proof import Check
from receiver.store.records import unpack_headers


class NewQuarantined(msgspec.Struct, frozen=True, gc=False):
    """A refused request about to be kept."""

    id: int
    source: str
    reason: str
    received_at: int
    size: int
    checks: str
    token_digest: bytes | None
    token_length: int | None
    headers: bytes
    body: bytes


class Narrowed(TypedDict, total=False):
    """Which refused requests are meant; times are Unix milliseconds, `before` is an id. None narrows nothing."""

    source: str | None
    reason: str | None
    since: int | None
    until: int | None
    before: int | None


class QuarantinedRow(msgspec.Struct, frozen=True, gc=False):
    """A refused request in a list."""

    id: int
    source: str
    reason: str
    received_at: int
    size: int
    checks: tuple[Check, ...]


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A refused request with everything that proof needs, and what was found when it came."""

    id: int
    reason: str
    checks: tuple[Check, ...]
    request: InboundRequest


class RefusalCount(msgspec.Struct, frozen=True, gc=False):
    """So many refusals of a kind in one hour; `hour` is Unix time in hours, `source` empty for unknown ones."""

    hour: int
    source: str
    reason: str
    count: int


def read_checks(stored: str) -> tuple[Check, ...]:
    """Read checks as they are kept."""
    return msgspec.json.decode(stored, type=tuple[Check, ...])


def as_request(  # noqa: PLR0917 -- a row
    source: str, received_at: int, digest: bytes | None, length: int | None, headers: bytes, body: bytes
) -> InboundRequest:
    """Make the request again that a row was made of."""
    token = TokenDigest(digest, length) if digest is not None and length is not None else None
    unpacked: Headers = unpack_headers(headers)
    return InboundRequest(source=source, token=token, headers=unpacked, body=body, received_at=received_at)
