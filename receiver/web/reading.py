"""Reads what people and programs send to the admin listener: small, and soon."""

import asyncio
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from receiver.contract.errors import UsageError

MAX_BODY = 64 * 1024
SECONDS = 10.0
_ORDER = "hookscribe.order"
_DEEPEST = 64
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

OrderT = TypeVar("OrderT", bound=msgspec.Struct)


async def read_body(request: Request) -> bytes:
    """Return the body of a POST. Raises HTTPException 413 or 408 for one that is too large or too slow."""
    body = b""
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise HTTPException(413, f"{MAX_BODY} bytes are the most", {"connection": "close"})
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time", {"connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    return body


async def read_order(request: Request, kind: type[OrderT], default: OrderT | None = None) -> OrderT:
    """Return the JSON body of a POST as what it should be. Raises UsageError, which says what that is."""
    body = await read_body(request)
    if not body and default is not None:
        return default
    try:
        order = msgspec.json.decode(checked(body), type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        known = ", ".join(kind.__struct_encode_fields__)
        raise UsageError(f"expected a JSON object with any of {known}: {error}") from None
    return noted(request, order)


def checked(body: bytes) -> bytes:
    """Return JSON of moderate depth without a NUL: PostgreSQL keeps none, and what is deep cannot be written again.

    Raises ValueError.
    """
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if _NUL.search(body):
        raise ValueError("a text in it holds a NUL")
    return body


def noted(request: Request, order: OrderT) -> OrderT:
    """Keep what the body of a request was read as, for the audit trail; return it."""
    request.scope[_ORDER] = order
    return order


def keep_form(request: Request, fields: Mapping[str, str]) -> None:
    """Keep the fields of a form for who writes down what was ordered."""
    request.scope[_ORDER] = fields


def told_of(request: Request) -> msgspec.Struct | Mapping[str, str] | None:
    """Return what the body of a request was read as: an order, or the fields of a form; None where there was none."""
    found: msgspec.Struct | Mapping[str, str] | None = request.scope.get(_ORDER)
    return found


def given(request: Request, *known: str) -> dict[str, str]:
    """Return the parameters of the URL, each once; `known` are the only ones, where any are named. Raises UsageError."""
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError("a parameter stands twice in the URL")
    if known and (unknown := sorted(set(found) - set(known))):
        raise UsageError(f"{unknown[0][:40]!r} is no parameter here; known are {', '.join(known)}")
    return found


def read_version(asked: Mapping[str, str]) -> int | None:
    """Return which version of a transcript is asked for, None for the newest. Raises UsageError."""
    version = asked.get("version")
    if version is not None and not (version.isascii() and version.isdigit() and len(version) < 10):
        raise UsageError("version: expected a number from 1")
    return int(version) if version else None
