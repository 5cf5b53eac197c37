"""Reads what people and programs send to the admin listener: small, and soon."""

import asyncio
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from receiver.contract.errors import UsageError

MAX_BODY = 64 * 1024
SECONDS = 10.0

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
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        known = ", ".join(kind.__struct_encode_fields__)
        raise UsageError(f"expected a JSON object with any of {known}: {error}") from None
