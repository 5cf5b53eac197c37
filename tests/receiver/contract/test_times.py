"""Times: what is read, in which zone, and what is never guessed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.times import from_ms, to_rfc3339


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-12T12:02:11Z", "2026-01-12T12:02:11Z"),
        ("2026-01-12T12:02:11+00:00", "2026-01-12T12:02:11Z"),
        ("2026-01-12T12:02:11.250+01:00", "2026-01-12T11:02:11.250Z"),
        ("2026-01-12 12:02:11-0500", "2026-01-12T17:02:11Z"),
        ("2026-01-12T12:02Z", "2026-01-12T12:02:00Z"),
        ("2026-01-12T12:02:11.123456789Z", "2026-01-12T12:02:11.123Z"),
        ("20260112T120211Z", "2026-01-12T12:02:11Z"),
        (1768219331, "2026-01-12T12:02:11Z"),
        (1768219331.5, "2026-01-12T12:02:11.500Z"),
        (1768219331250, "2026-01-12T12:02:11.250Z"),
        ("1768219331", "2026-01-12T12:02:11Z"),
        ("1768219331250", "2026-01-12T12:02:11.250Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_with_its_zone_is_read(value: Any, expected: str) -> None:
    """Offsets, seconds and milliseconds all come out as RFC 3339 in UTC, whatever zone the source has."""
    assert to_rfc3339(value) == to_rfc3339(value, "Asia/Tokyo") == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, None),
        ("UTC", "2026-07-01T12:00:00Z"),
        ("Europe/Madrid", "2026-07-01T10:00:00Z"),
        ("Asia/Tokyo", "2026-07-01T03:00:00Z"),
    ],
)
def test_a_naive_time_takes_the_zone_of_the_source(zone: str | None, expected: str | None) -> None:
    """Without an offset the source's zone counts, with its summer time; without a zone the time is null."""
    assert to_rfc3339("2026-07-01T12:00:00", zone) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "soon",
        "2026-13-01T00:00:00Z",
        "2026-01-12",
        "20260112",
        "20260112120211",
        "1768219331 ",
        "\uff11\uff17\uff16\uff18\uff12\uff11\uff19\uff13\uff13\uff11",
        float("nan"),
        float("inf"),
        10**400,
        -(10**400),
        1e18,
        "9" * 65,
        "9" * 5000,
        [1768219331],
        {"at": 1},
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_what_is_no_time_is_null(value: Any) -> None:
    """A day, a digit string of another length, a huge number or another type is no time: none is guessed."""
    assert to_rfc3339(value, "Europe/Madrid") is None


@pytest.mark.parametrize("zone", ["Nowhere/Land", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_gives_no_time(zone: str) -> None:
    """A zone that is none is found at the start; here it makes the time null and raises nothing."""
    assert to_rfc3339("2026-07-01T12:00:00", zone) is None


@given(value=st.one_of(st.text(max_size=80), st.integers(), st.floats(), st.none(), st.binary(), st.booleans()))
def test_any_value_is_a_time_or_null(value: Any) -> None:
    """No value raises, and what comes out is RFC 3339 in UTC."""
    text = to_rfc3339(value, "America/New_York")
    assert text is None or text.endswith("Z")
    assert text is None or datetime.fromisoformat(text).tzinfo == UTC


@given(milliseconds=st.integers(min_value=0, max_value=253_402_300_799_999))
def test_milliseconds_are_written_and_read_back(milliseconds: int) -> None:
    """Our own times keep their milliseconds."""
    text = from_ms(milliseconds)
    assert to_rfc3339(text) in (text, text.replace(".000Z", "Z"))
    assert (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        milliseconds=1
    ) == milliseconds
