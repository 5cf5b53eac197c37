"""Reads what people and programs send to the admin listener: small, and soon."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_BODY = 64 * 1024
SECONDS = 10.0


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
