"""Differences: where two JSON documents differ, leaf by leaf, shown without what was said unless that is asked for."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_OURS = frozenset({"id", "version", "provenance", "received_at"})
"""Members of a transcript that differ between its versions by their nature."""
_PLAIN = frozenset({
    "completed_at", "confidence", "created_at", "direction", "duration", "end", "kind", "language", "operation", "role",
    "sentiment", "start", "started_at", "status", "talk_time",
})  # fmt: skip
"""Members that say nothing of what was said, and are shown as they are."""
_PROVIDERS = ("metadata", "analysis.raw", "analysis.insights", "analysis.flags", "body")
"""What holds the provider's own members, whatever their names are."""
_MISSING = object()

Shown = Callable[[str, Any], Any]
"""What is shown of the value at a path."""
Difference = dict[str, Any]
"""A path, and what was there and is there now, each left out where there was or is nothing."""


def masked(key: bytes) -> Shown:
    """Return how values are shown: their length and a digest, keyed so that nobody can try what gives it."""

    def shown(path: str, value: Any) -> Any:
        if value is None or isinstance(value, bool) or _is_plain(path):
            return value
        raw = value.encode("utf-8", "replace") if isinstance(value, str) else msgspec.json.encode(value)
        digest = hashlib.blake2b(raw, digest_size=4, key=key).hexdigest()
        return f"<{len(value) if isinstance(value, str) else len(raw)} characters, #{digest}>"

    return shown


def as_is(_: str, value: Any) -> Any:
    """Show a value whole."""
    return value


def differences(before: bytes | None, after: bytes, shown: Shown) -> list[Difference]:
    """Return where a document differs from what it was; nothing where it was not there."""
    if before is None:
        return []
    old, new = ({k: v for k, v in msgspec.json.decode(one).items() if k not in _OURS} for one in (before, after))
    found = []
    for path, was, now in _walk("", old, new):
        values = {"old": was, "new": now}
        found.append({"path": path} | {k: shown(path, v) for k, v in values.items() if v is not _MISSING})
    return found


def _walk(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    old_items, new_items = _items(old), _items(new)
    if old_items is None and new_items is None and old == new and isinstance(old, bool) is isinstance(new, bool):
        return
    if (old_items is None and new_items is None) or (
        old_items is not None and new_items is not None and isinstance(old, dict) is not isinstance(new, dict)
    ):
        yield path, old, new
        return
    if old_items is None and old not in (None, _MISSING):
        yield path, old, _MISSING
    if new_items is None and new not in (None, _MISSING):
        yield path, _MISSING, new
    first, then = old_items or {}, new_items or {}
    for name in [*first, *(one for one in then if one not in first)]:
        yield from _walk(f"{path}{name}" if path else name[1:] if name[0] == "." else name,
                         first.get(name, _MISSING), then.get(name, _MISSING))  # fmt: skip


def _items(value: Any) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return {f".{key}": item for key, item in value.items()}
    if isinstance(value, list):
        return {f"[{index}]": item for index, item in enumerate(value)}
    return None


def _is_plain(path: str) -> bool:
    return path.rpartition(".")[2] in _PLAIN and not path.startswith(_PROVIDERS)
