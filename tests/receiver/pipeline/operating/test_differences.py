"""Where two documents differ, and what of it is shown."""

from typing import Any

import msgspec
import pytest

from receiver.pipeline.operating.differences import as_is, differences, masked


def found(old: Any, new: Any) -> list[tuple[Any, ...]]:
    """Return paths with what was and is there; a side that has nothing is left out."""
    rows = differences(msgspec.json.encode(old), msgspec.json.encode(new), as_is)
    return [(row["path"], *(f"{side}={row[side]}" for side in ("old", "new") if side in row)) for row in rows]


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", "old=1", "new=2")]),
        ({"a": 1}, {"a": True}, [("a", "old=1", "new=True")]),
        ({"a": None}, {"a": "x"}, [("a", "old=None", "new=x")]),
        ({}, {"a": "x"}, [("a", "new=x")]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]}, [("a[1].b", "old=2")]),
        ({"a": None}, {"a": {"b": 1}}, [("a.b", "new=1")]),
        ({"a": {"b": 1}}, {"a": "x"}, [("a", "new=x"), ("a.b", "old=1")]),
        ({"a": {"b": 1}}, {"a": [1]}, [("a", "old={'b': 1}", "new=[1]")]),
        ({"id": 1, "version": 1, "provenance": {"n": 1}}, {"id": 2, "version": 2, "provenance": {"n": 2}}, []),
    ],
)
def test_paths(old: Any, new: Any, rows: list[tuple[Any, ...]]) -> None:
    """Leaf by leaf; what differs between versions by its nature is left out."""
    assert found(old, new) == rows


def test_what_was_not_there_has_no_differences() -> None:
    """A first version is new as a whole."""
    assert differences(None, b"{}", as_is) == []


def test_words_are_masked() -> None:
    """Length and a keyed digest, so that equal is seen and nothing can be tried; states and times are plain."""
    old = {
        "status": "failed",
        "text": "hello",
        "segments": [{"start": 1.5, "text": "hello"}],
        "metadata": {"status": 7},
    }
    new = {
        "status": "completed",
        "text": "canary",
        "segments": [{"start": 2.5, "text": "canary"}],
        "metadata": {"status": 8},
    }
    one, other = (
        differences(msgspec.json.encode(old), msgspec.json.encode(new), masked(key)) for key in (b"1" * 16, b"2" * 16)
    )
    rows = {row["path"]: row for row in one}
    assert (rows["status"]["new"], rows["segments[0].start"]["new"]) == ("completed", 2.5)
    assert rows["text"]["new"] == rows["segments[0].text"]["new"]
    assert rows["text"]["new"].startswith("<6 characters, #")
    assert rows["metadata.status"]["new"].startswith("<1 characters, #")
    assert one != other
