"""How values are written on the pages."""

import pytest

from receiver.web.pages import wording


def test_times() -> None:
    """To the second, with the whole for programs; none is a dash."""
    assert wording.when("2026-11-20T08:01:02.345Z") == (
        '<time datetime="2026-11-20T08:01:02.345Z" title="2026-11-20 08:01:02 UTC">2026-11-20 08:01:02</time>'
    )
    assert wording.when(None) == "—"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0, "0:00"), (65.9, "1:05"), (3723, "1:02:03"), (-1.0, "0:00")]
)
def test_places_in_a_recording(seconds: float | None, text: str) -> None:
    """As a player shows them."""
    assert wording.clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0, "0 s"),
        (0.042, "0.042 s"),
        (42, "42 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (360_000, "4 d 4 h"),
    ],
)
def test_stretches_of_time(seconds: float | None, text: str) -> None:
    """In the two largest units."""
    assert wording.took(seconds) == text


def test_sizes_and_counts() -> None:
    """In fitting units, and with nouns that fit."""
    assert [wording.size(one) for one in (10, 2048, 5 * 1024**2, 3 * 1024**4)] == [
        "10 bytes",
        "2.0 KiB",
        "5.0 MiB",
        "3072.0 GiB",
    ]
    assert wording.counted(1, "delivery", "deliveries") == "1 delivery"
    assert wording.counted(1200, "delivery", "deliveries") == "1,200 deliveries"
    assert wording.pretty({"a": 1}) == '{\n  "a": 1\n}'
