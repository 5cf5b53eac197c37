"""What RingCentral's operations on texts are sent, read out of files: `utterances` to summarize, `texts` to punctuate (SPEC)."""

from typing import Any

import msgspec

from receiver.contract.errors import UsageError
from receiver.contract.reading import identifier

MEMBERS = {"summarization": "utterances", "punctuation": "texts"}
"""The member that holds what was said, by operation."""

_TIMES = ("start", "end")


def options(operation: str, body: bytes) -> dict[str, Any]:
    """Return the member that a file stands for. Raises UsageError.

    A file is JSON (the member's list, an object that holds it, or a transcript as `hookscribe export` writes it), or text:
    each line is what somebody said, by one speaker.
    """
    member = MEMBERS[operation]
    found = _read(body)
    if isinstance(found, dict):
        found = found[member] if member in found else found.get("segments")
    if not isinstance(found, list) or not found:
        raise UsageError(f"it holds no list of {member}, no transcript of ours, and no lines of text")
    return {member: [_text(one) if member == "texts" else _utterance(one) for one in found]}


def _read(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return [line.strip() for line in body.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UsageError("it is neither JSON nor text in UTF-8") from None


def _text(said: Any) -> str:
    found = said.get("text") if isinstance(said, dict) else said
    if not isinstance(found, str):
        raise UsageError("something in its list is neither a text nor an object with a text")
    return found


def _utterance(said: Any) -> dict[str, Any]:
    """Return an utterance with the members that the API knows; who speaks is required, and is 0 where nobody is named."""
    given = said if isinstance(said, dict) else {}
    speaker = identifier(given.get("speakerId")) or identifier(given.get("speaker")) or "0"
    times = {name: given[name] for name in _TIMES if given.get(name) is not None}
    return {"speakerId": speaker, "text": _text(said), **times}
