"""Reach: whether a provider could fetch a recording that we serve, tried as it would: by a plain GET."""

import httpx

_SECONDS = 15.0


async def reachable(url: str) -> str | None:
    """Return why an address of ours does not give a recording, None where it does; never names the address."""
    try:
        async with (
            httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", url, headers={"Range": "bytes=0-0"}) as answer,
        ):
            kind = answer.headers.get("content-type", "")
            if answer.status_code not in {200, 206}:
                return f"it answers {answer.status_code}"
            return (
                None if kind.startswith(("audio/", "video/")) else f"it answers {kind or 'no content type'}, not audio"
            )
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
