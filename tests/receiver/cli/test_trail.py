"""What commands leave in the audit trail, and the command that lists it."""

import getpass
from pathlib import Path

import pytest
from command_on import Kept
from kept import normalized, result

from receiver.cli import noting
from receiver.store.store import Store


async def fill(store: Store) -> None:
    """Keep a transcript."""
    await normalized(store, [result("job-1", "CA1", text="canary")])


def test_commands_leave_their_user_and_what_they_did(tmp_path: Path) -> None:
    """Orders and reads of what was said; a list that shows nothing leaves nothing."""
    kept = Kept(tmp_path)
    kept.write(fill)
    (shown,) = kept.json("transcripts")
    kept.run("transcripts")
    kept.run("transcripts", shown["id"])
    kept.run("export", shown["id"])
    kept.run("sinks", "pause", "archive")
    kept.run("replay", "--sink", "archive", "--state", "delivered", "--yes")
    kept.run("discard", "--sink", "archive", "--state", "pending", "--yes")
    kept.run("tokens", "create", "ci", "--role", "read")
    kept.run("erase", shown["id"], "--yes")
    found = [(one["what"], one["thing"], one["detail"]) for one in reversed(kept.json("audit"))]
    assert found == [
        *[("read", shown["id"], None)] * 3,
        ("sinks.pause", "archive", None),
        ("deliveries.replay", None, '{"state":"delivered","sink":"archive"}'),
        ("deliveries.discard", None, '{"state":"pending","sink":"archive"}'),
        ("tokens.create", "ci", '{"role":"read"}'),
        ("erase", shown["id"], None),
    ]
    assert {(one["who"], one["via"]) for one in kept.json("audit")} == {(f"command as {getpass.getuser()}", "command")}
    assert len(kept.json("audit", "--what", "read")) == 3
    assert "more: --cursor" in kept.run("audit", "--limit", "1").output


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as numbers."""

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert noting.user().isdigit()
