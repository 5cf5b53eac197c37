"""JSON as JavaScript reads and writes it: compared with Node, value by value."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from javascript import Node

from receiver.contract.ecmascript import MAX_DEPTH, NotJson, entries, parse, stringify, text, well_formed
from receiver.contract.errors import Unreadable

many = settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(Path(__file__).with_name("ecmascript.mjs")) as process:
        yield process


def words(listed: str) -> list[str]:
    return listed.split()


EDGES = words("""
0 -0 -0.0 0.0 1.0 2.260 1e0 1E2 100e-2 -1e-0 0e999 1e999 -1e999 1738670400000 1738670400000.5 0.1 4.35 0.30000000000000004
1e-6 1e-7 1.5e-6 1.5e-7 123e-8 0.000001 0.0000001 0.00001 0.0001 1e15 1e16 1e17 1e20 1e21 1e22
123456789012345680000 1234567890123456800000 12345678901234567890123456789 9007199254740991 9007199254740992
9007199254740993 -9007199254740993 18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809
5e-324 2e-324 2.2250738585072014e-308 2.225073858507201e-308 1.7976931348623157e308 1.7976931348623159e308
""")
LONG = ["9" * 308, "9" * 309, "1" * 5000, "-" + "1" * 5000, "0." + "3" * 900]
NUMBERS = st.one_of(
    st.sampled_from(EDGES),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=12),
    st.text(st.sampled_from('\x00\x07\b\t\n\x0b\f\r\x1f"\\/<>&\x7f\x80\u2028\u2029é🩺\ud83d\ude00\ufeff'), max_size=8),
)
INDEXES = words("""
0 1 2 9 10 01 -1 -0 1.5 1e3 ٣ ² 4294967293 4294967294 4294967295 4294967296 9007199254740991 99999999999
__proto__ constructor toJSON length
""")
NAMES = st.one_of(st.sampled_from(INDEXES), st.integers(0, 2**33).map(str), TEXTS)
BLANKS = st.sampled_from(["", "", "", " ", "\n\t", "\r\n"])


def quoted(value: str, *, escaped: bool) -> str:
    """Write a string as JSON; what UTF-8 cannot hold is escaped in any case."""
    lone = any("\ud800" <= character <= "\udfff" for character in value)
    return json.dumps(value, ensure_ascii=escaped or lone)


def merged(name: str) -> str:
    """Return a name as parsers see it: two surrogate escapes side by side are one character."""
    return name.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@st.composite
def sources(draw: st.DrawFn, depth: int = 4) -> str:
    """Draw JSON text: every kind of value, written in every way."""
    kind = draw(st.integers(0, 4 if depth else 2))
    blank = draw(BLANKS)
    if kind == 0:
        return draw(st.sampled_from(["null", "true", "false", "[]", "{}"]))
    if kind == 1:
        return draw(NUMBERS)
    if kind == 2:
        return quoted(draw(TEXTS), escaped=draw(st.booleans()))
    inner = st.deferred(lambda: sources(depth - 1))
    if kind == 3:
        return f"[{blank}" + f"{blank},{blank}".join(draw(st.lists(inner, min_size=1, max_size=4))) + f"{blank}]"
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=merged))
    members = [f"{blank}{quoted(name, escaped=False)}{blank}:{blank}{draw(inner)}" for name in names]
    return "{" + ",".join(members) + "}"


def ours(source: str) -> list[Any]:
    value = parse(source.encode())
    return [stringify(value), text(value), [name for name, _ in entries(value)] if isinstance(value, dict) else []]


def refused_or(source: str) -> list[Any] | str | None:
    """Return what `ours` does, None where the text is refused as Node would, "twice" where only we refuse it."""
    try:
        return ours(source)
    except NotJson as refused:
        return "twice" if "twice" in str(refused) else None


@many
@given(source=sources())
def test_every_value_reads_and_prints_as_in_node(node: Node, source: str) -> None:
    """JSON.stringify, String and the order of members are Node's, for any JSON."""
    assert ours(source) == node.ask(source)


@pytest.mark.parametrize("source", [*EDGES, *LONG], ids=lambda source: source[:24])
def test_every_edge_of_the_numbers_prints_as_in_node(node: Node, source: str) -> None:
    """Each of the numbers where notations change, alone and inside a list."""
    assert ours(source) == node.ask(source)
    assert ours(f"[{source}]") == node.ask(f"[{source}]")


@settings(many, max_examples=400)
@given(
    source=st.one_of(sources(), st.sampled_from(EDGES)), place=st.integers(0, 400), junk=st.characters(codec="utf-8")
)
def test_what_node_refuses_is_refused(node: Node, source: str, place: int, junk: str) -> None:
    """A character put, or put in the place of another, anywhere: accepted where Node accepts it, else NotJson."""
    place %= len(source) + 1
    for changed in (source[:place] + junk + source[place:], source[:place] + junk + source[place + 1 :]):
        assert refused_or(changed) in (node.ask(changed), "twice")


@given(body=st.one_of(st.binary(max_size=60), sources().map(str.encode).map(lambda body: body[: len(body) // 2])))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No bytes raise anything but NotJson."""
    try:
        stringify(parse(body))
    except NotJson:
        return


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a":1,"b":2,"a":1}', "member 'a' appears twice"),
        (b'[0,{"x":{"a":1,"\\u0061":2}}]', "member 'a' appears twice"),
        (b'{"__proto__":1,"__proto__":2}', "member '__proto__' appears twice"),
        (b"[NaN]", "not JSON: NaN"),
        (b"Infinity", "not JSON: Infinity"),
        (b'{"a":-Infinity}', "not JSON: -Infinity"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b'["\xed\xa0\x80"]', "not UTF-8 at byte 2"),
        ("[1]".encode("utf-16"), "not UTF-8 at byte 0"),
        ("[1]".encode("utf-16-be"), "not JSON: Expecting value at character 0"),
        (b"\xef\xbb\xbf[1]", "not JSON: Expecting value at character 0"),
        (b"", "not JSON: Expecting value at character 0"),
        (b"[1] 2", "not JSON: Extra data at character 4"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper than 100"),
        (b"[" * 1_000_000, "nested deeper than 100"),
        (b'{"a":' * 1_000_000, "nested deeper than 100"),
    ],
)
def test_refusals_say_why_and_are_unreadable(body: bytes, why: str) -> None:
    """Each refusal has its own words, names at most a member, and is an Unreadable."""
    with pytest.raises(NotJson) as refused:
        parse(body)
    assert str(refused.value) == why
    assert isinstance(refused.value, Unreadable)


def test_the_deepest_nesting_allowed_is_read_and_written() -> None:
    """MAX_DEPTH lists in each other go through; many beside each other are not deep."""
    for body in (
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" + b"[]," * 500 + b"[]]",
        b'[{"a":[]},{"b":{}}' + b",{}" * 99 + b"]",
    ):
        assert stringify(parse(body)).encode() == body


def test_numbers_stay_python_numbers() -> None:
    """Integers of 64 bits keep every digit; longer ones are the doubles that JavaScript sees."""
    body = b"[1, 1.0, 9007199254740993, 18446744073709551615, 18446744073709551616, -9223372036854775809]"
    assert [repr(number) for number in parse(body)] == [
        *("1", "1.0", "9007199254740993", "18446744073709551615", "1.8446744073709552e+19", "-9.223372036854776e+18")
    ]


def test_lone_surrogates_become_replacement_characters() -> None:
    """`well_formed` gives a value that UTF-8 can hold, in names and texts alike, and leaves pairs alone."""
    value = parse(b'{"\\ud800":["a\\udc00b","\\ud83e\\ude7a",1,null]}')
    assert well_formed(value) == {"\ufffd": ["a\ufffdb", "🩺", 1, None]}
