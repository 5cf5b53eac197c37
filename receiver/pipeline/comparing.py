"""Comparing: what another result of a known transcript is: a copy, one that says less or more, an older one, another version."""

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec

from receiver.contract.model import Result, Verdict
from receiver.store.records import KnownTranscript

MEMBERS = (
    "status",
    "call",
    "language",
    "duration",
    "created_at",
    "completed_at",
    "text",
    "speakers",
    "segments",
    "analysis",
    "error",
    "metadata",
)
"""What of a transcript says something about the call; the rest is ours."""

_json = msgspec.json.Encoder().encode


def result_digest(result: Result) -> bytes:
    """Return the digest by which copies of one result are recognised: without what may differ between copies."""
    steady = {name: value for name, value in result.metadata.items() if name not in result.volatile}
    same = msgspec.structs.replace(result, metadata=steady, volatile=frozenset())
    return hashlib.blake2b(_json(same), digest_size=16).digest()


def only_lacks(new: Any, old: Any) -> bool:
    """Say whether `new` says nothing that `old` does not: equal, but for things that are missing or empty."""
    if new is None or new in ("", [], {}):
        return True
    if isinstance(new, dict):
        return isinstance(old, dict) and all(only_lacks(value, old.get(name)) for name, value in new.items())
    if isinstance(new, list):
        return isinstance(old, list) and len(new) == len(old) and all(map(only_lacks, new, old))
    return bool(new == old)


def compared(known: KnownTranscript, result: Result, digest: bytes, *, fetched: bool) -> str:
    """Say what another result for a known transcript is: `same`, `older`, `less` (it only lacks things), `more`, `version`.

    `more` is what was told and what was `fetched` of one result, the second time by the fuller of the two: it is no news.
    """
    if known.digest == digest:
        return "same"
    if known.dated and result.completed_at and _is_before(result.completed_at, known.dated):
        return "older"
    if known.doc is None:
        return "version"
    new, old = content(result), msgspec.json.decode(known.doc)
    if only_lacks(new, old):
        return "less"
    other_way = fetched != (old["provenance"]["verdict"] == Verdict.FETCHED)
    return "more" if other_way and only_lacks(without_volatile(old, new.keys(), result), new) else "version"


def content(result: Result) -> dict[str, Any]:
    """Return what a result says of its own as JSON has it: without its call, and without what differs between copies."""
    return without_volatile(msgspec.json.decode(_json(result)), {name for name in MEMBERS if name != "call"}, result)


def without_volatile(said: dict[str, Any], members: Collection[str], result: Result) -> dict[str, Any]:
    """Return some members of a result, or of its transcript, without what differs between copies of this result."""
    kept = {name: said.get(name) for name in members}
    metadata = said.get("metadata") or {}
    return {**kept, "metadata": {name: value for name, value in metadata.items() if name not in result.volatile}}


def _is_before(one: str, other: str) -> bool:
    """Compare two times as the public shape has them, with a fraction of the second or without."""
    return one.removesuffix("Z") < other.removesuffix("Z")
