"""Reading JSON: what is forgiven, what is unreadable, and that nothing is lost on the way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.errors import Unreadable
from receiver.contract.model import Segment
from receiver.contract.reading import (
    first,
    identifier,
    insights,
    joined,
    number,
    read_object,
    speakers,
    table,
    text,
    texts,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": -Infinity, "c": 1e999, "d": 2.5}', {"a": None, "b": None, "c": None, "d": 2.5}),
        (b'{"a": "x\\ud83dy", "\\udc00": 1}', {"a": "x\ufffdy", "\ufffd": 1}),
        ('{"a": "Zoë 💥 \\ud83d\\udca5"}'.encode(), {"a": "Zoë 💥 💥"}),
    ],
)
def test_sloppy_json_is_forgiven(body: bytes, value: Any) -> None:
    """What sloppy libraries write is read, and can be written as JSON and UTF-8 again."""
    assert read_object(body) == value
    json.dumps(read_object(body), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "array"),
        (b"null", "null"),
        (b'"a"', "string"),
        (b"true", "boolean"),
        (b"7", "number"),
        (b"1" * 10_000, "not JSON"),
    ],
)
def test_what_is_no_object_is_unreadable(body: bytes, words: str) -> None:
    """Anything but an object is unreadable, and the message names what it is."""
    with pytest.raises(Unreadable, match=words):
        read_object(body)


@given(value=st.dictionaries(st.text(), JSON, max_size=5))
def test_objects_are_read_as_they_are(value: dict[str, Any]) -> None:
    """Every JSON object comes out as it went in."""
    assert read_object(json.dumps(value).encode()) == value


@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_unreadable(body: bytes) -> None:
    """No bytes raise anything but Unreadable."""
    try:
        value = read_object(body)
    except Unreadable:
        return
    assert isinstance(value, dict)


def test_values_are_read_by_kind() -> None:
    """Each reader takes its kind and nothing else: a boolean is no number, an empty text is none."""
    values = ["t", "", 7, -7, 2.5, True, None, [], {}, 1 << 70]
    assert [text(value) for value in values] == ["t", *[None] * 9]
    assert [identifier(value) for value in values] == ["t", None, "7", *[None] * 7]
    assert [number(value) for value in values] == [None, None, 7, -7, 2.5, *[None] * 5]
    assert texts(["a", ""]) == ("a", "")
    assert texts(["a", 1]) is None
    assert texts("a") is None


def test_what_is_read_is_taken_out_and_the_rest_is_left() -> None:
    """`first` takes the first value and its equals; what differs or cannot be read stays where it is."""
    body = {"a": 7, "b": "x", "c": "x", "d": "y", "e": {"f": 1}, "g": []}
    assert first(text, (body, "a"), (body, "b"), (body, "c"), (body, "d"), (body, "z")) == "x"
    assert table(body, "e") == {"f": 1}
    assert table(body, "g") == table(body, "z") == {}
    assert body == {"a": 7, "d": "y", "g": []}


def test_insights_name_every_leaf() -> None:
    """Leaves have dotted names, plain lists are one value, an object in a list is one finding with its place."""
    value = {"a": {"b": 1, "c": None}, "d": [], "e": ["x", 2], "f": [{"speaker": "A", "timestamp": 3, "end": 4}, [5]]}
    found = [(one.name, one.value, one.speaker, one.start, one.end) for one in insights("q", value)]
    assert found == [
        ("q.a.b", 1, None, None, None),
        ("q.e", ["x", 2], None, None, None),
        ("q.f", {"speaker": "A", "timestamp": 3, "end": 4}, "A", 3, 4),
        ("q.f", [5], None, None, None),
    ]


@given(value=JSON)
def test_insights_lose_nothing(value: Any) -> None:
    """However JSON is nested, every leaf is in some insight."""

    def leaves(item: Any) -> list[str]:
        if isinstance(item, dict):
            return [leaf for inner in item.values() for leaf in leaves(inner)]
        if isinstance(item, list):
            return [leaf for inner in item for leaf in leaves(inner)]
        return [] if item is None else [repr(item)]

    found = [leaf for one in insights("x", value) for leaf in leaves(one.value)]
    assert sorted(found) == sorted(leaves(value))


def said(speaker: str | None, start: float | None, end: float | None, words: str | None = "t") -> Segment:
    """Make a segment."""
    return Segment(start=start, end=end, speaker=speaker, text=words)


def test_speakers_are_listed_as_they_appear() -> None:
    """Talk time is summed to the millisecond, null where no segment has times; roles come from rule or label."""
    segments = [said("B", 0, 0.1), said("Agent", 1, 2), said("B", 2, 2.2), said(None, 3, 4), said("C", None, 5)]
    found = [(one.id, one.role, one.talk_time) for one in speakers(segments, {"B": "customer"})]
    assert found == [("B", "customer", 0.3), ("Agent", "agent", 1), ("C", None, None)]
    assert joined([said("A", 0, 1, "a"), said("A", 1, 2, None), said("B", 2, 3, "b")]) == "a\nb"
    assert joined([]) is None
