"""The command `tokens`, as people and programs use it."""

from pathlib import Path

import pytest
from command_on import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Give a store and the command on it."""
    made = Kept(tmp_path)
    made.run("migrate")
    return made


def test_a_token_is_shown_once(kept: Kept) -> None:
    """Made, listed without its secret, and revoked."""
    (made,) = kept.json("tokens", "create", "ci", "--role", "operate", "--expires", "90d")
    assert made["token"].startswith(made["id"] + ".")
    assert (made["name"], made["role"], made["state"]) == ("ci", "operate", "works")
    listed = kept.run("tokens").stdout
    assert "ci" in listed
    assert made["token"].partition(".")[2] not in listed
    assert "opens nothing" in kept.run("tokens", "revoke", "ci").stdout
    assert kept.json("tokens", "list")[0]["state"] == "revoked"


def test_wrong_use_says_the_way_out(kept: Kept) -> None:
    """A name that was used, a time that is none, and no role."""
    kept.run("tokens", "create", "a", "--role", "read")
    assert "take another" in kept.run("tokens", "create", "a", "--role", "read", code=2).output
    assert (
        "such as 12h, 90d or 4w" in kept.run("tokens", "create", "b", "--role", "read", "--expires", "x", code=2).output
    )
    assert "Missing option '--role'" in kept.run("tokens", "create", "b", code=2).output
    assert "no token is called" in kept.run("tokens", "revoke", "b", code=2).output
    kept.run("tokens", "create", "b", "--role", "admin")
    assert "more: --cursor" in kept.run("tokens", "list", "--limit", "1").output
