"""Signed links: they give what was signed for as long as was said, and nothing else."""

import pytest

from receiver.contract.errors import Gone, HookscribeError, NotFound
from receiver.contract.settings import Secret
from receiver.links import LONGEST, Links


class Clock:
    """A clock that a test sets."""

    seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def links(clock: Clock) -> Links:
    """Give what signs."""
    return Links(Secret("key"), clock)


def test_a_link_opens_until_it_expires(links: Links, clock: Clock) -> None:
    """The name comes back as it was, colons and all; a second too late it is gone."""
    signed = links.sign("payload", "evt_1:team", 60)
    assert links.open("payload", signed) == "evt_1:team"
    clock.seconds += 60
    assert links.open("payload", signed) == "evt_1:team"
    clock.seconds += 1
    with pytest.raises(Gone, match="expired"):
        links.open("payload", signed)


def test_a_link_is_for_one_kind_and_one_key(links: Links, clock: Clock) -> None:
    """A link to an event opens no recording, and another installation's opens nothing."""
    signed = links.sign("payload", "evt_1:team")
    with pytest.raises(NotFound):
        links.open("media", signed)
    with pytest.raises(NotFound):
        Links(Secret("other"), clock).open("payload", signed)


def test_every_changed_character_closes_it(links: Links) -> None:
    """Whoever turns a character, whatever it says, gets nothing; the last of each part may hold bits that say nothing."""
    signed = links.sign("payload", "evt_1:team")
    dot = signed.index(".")
    for place in range(len(signed)):
        if place in (dot - 1, len(signed) - 1):
            continue
        other = "A" if signed[place] != "A" else "B"
        with pytest.raises(NotFound):
            links.open("payload", signed[:place] + other + signed[place + 1 :])


@pytest.mark.parametrize("signed", ["", ".", "..", "a", "a.b.c", "é.é", "=.=", "A" * (LONGEST + 1), "\0.\0", "YQ.YQ"])
def test_what_was_never_signed_is_not_found(links: Links, signed: str) -> None:
    """Whatever stands in the path, the answer is the same."""
    with pytest.raises(HookscribeError) as raised:
        links.open("payload", signed)
    assert type(raised.value) is NotFound
