"""Named tokens: shown once, kept as digests, over when they are revoked or expired."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kept import kept_in

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.proof import digest
from receiver.store.access import Role, Tokens, Who
from receiver.store.store import Store
from receiver.testing.store import DAY_MS, Clock


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", Clock()) as opened:
        yield opened


async def test_a_token_is_recognised_and_only_its_digest_is_kept(store: Store, tmp_path: Path) -> None:
    """By itself, not by a part of it; the file does not hold it."""
    tokens = Tokens(store)
    shown, token = await tokens.create("ci", Role.OPERATE)
    assert await tokens.bearer(token.value) == Who(name="ci", role=Role.OPERATE, token=shown["id"])
    for wrong in (
        token.value[:-1],
        token.value + "x",
        shown["id"],
        "",
        token.value.partition(".")[2],
        "tok_.",
        "\ud800",
    ):
        assert await tokens.bearer(wrong) is None
    await store.engine.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert digest(token.raw) in kept
    assert token.value.partition(".")[2].encode() not in kept
    assert token.value not in repr(token)


async def test_a_token_ends(tmp_path: Path) -> None:
    """When it was to, or at once; the list says which, and its name is not given again."""
    clock = Clock()
    async with kept_in(tmp_path / "store.db", clock) as store:
        tokens = Tokens(store)
        short, first = await tokens.create("short", Role.READ, DAY_MS)
        long, second = await tokens.create("long", Role.ADMIN)
        clock.ms += DAY_MS - 1
        assert await tokens.bearer(first.value)
        assert await tokens.holder(short["id"])
        clock.ms += 1
        assert await tokens.bearer(first.value) is None
        assert await tokens.holder(short["id"]) is None
        await tokens.revoke("long")
        assert await tokens.bearer(second.value) is None
        assert await tokens.holder(long["id"]) is None
        with pytest.raises(NotFound, match="no token is called 'long', or it is revoked"):
            await tokens.revoke("long")
        with pytest.raises(UsageError, match="take another"):
            await tokens.create("long", Role.READ)
        page = await tokens.listed({"limit": "1"})
        assert [(one["name"], one["state"]) for one in page.items] == [("long", "revoked")]
        rest = await tokens.listed({"cursor": page.next or ""})
        assert ([(one["name"], one["state"]) for one in rest.items], rest.next) == ([("short", "expired")], None)


@pytest.mark.parametrize("name", ["", "admin token", "command as root", "-x", "a" * 65, "é", "a\nb"])
async def test_names_that_could_be_taken_for_others(store: Store, name: str) -> None:
    """Nobody can be called what the trail calls the admin token, or a command."""
    with pytest.raises(UsageError, match="a name has up to 64 letters"):
        await Tokens(store).create(name, Role.READ)


def test_each_role_includes_those_before_it() -> None:
    """Who may change things may look."""
    allowed = {(role, needed) for role in Role for needed in Role if role.allows(needed)}
    assert allowed == {
        (Role.READ, Role.READ),
        (Role.OPERATE, Role.READ),
        (Role.OPERATE, Role.OPERATE),
        *((Role.ADMIN, needed) for needed in Role),
    }
