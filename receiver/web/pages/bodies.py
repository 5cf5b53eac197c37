"""Bodies on the pages: laid out where they are JSON, and as they came; both cut where they are long."""

import re
from typing import Any

import msgspec

SHOWN = 128 * 1024
"""Bytes of a body that are shown; the whole is a file to save."""
_HOOK = re.compile(r"""(/hooks\\?/[^/\s"'\\]+\\?/)[^/\s"'?#\\]+""")


def shown_body(body: bytes) -> dict[str, Any]:
    """Return what is shown of a body: all but tokens of callback addresses, which providers repeat in what they send."""
    whole = len(body) <= SHOWN
    pretty = _pretty(body) if whole else None
    raw = body[:SHOWN].decode("utf-8", "replace")
    return {"pretty": pretty and _without_tokens(pretty), "raw": _without_tokens(raw), "whole": whole}


def _without_tokens(text: str) -> str:
    return _HOOK.sub(r"\1***", text)


def _pretty(body: bytes) -> str | None:
    try:
        msgspec.json.decode(body)
        return msgspec.json.format(body, indent=2).decode("utf-8", "replace")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
