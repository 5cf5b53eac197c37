"""The doctor on asking providers: credentials that are missing, jobs that only an operator brings further."""

import pytest
from studio import KEY, Studio, StudioSettings

from receiver.contract.settings import Secret
from receiver.doctor import of_api, of_jobs, of_old_jobs


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, [("ok", "api, key")]),
        ({"api": "https://studio.example.com"}, [("warning", "key is missing")]),
        ({"api": "https://studio.example.com", "key": Secret(KEY)}, []),
    ],
)
def test_missing_credentials_are_named(settings: dict[str, object], said: list[tuple[str, str]]) -> None:
    """None at all is a choice; some of them is a slip."""
    found = list(of_api(Studio("studio", StudioSettings(provider="studio", **settings))))  # type: ignore[arg-type]
    assert [one.level for one in found] == [level for level, _ in said]
    assert all(words in one.text for one, (_, words) in zip(found, said, strict=True))


def test_jobs_in_doubt_and_lost_are_told_with_the_way_out() -> None:
    """The others bring themselves further."""
    found = list(of_jobs({("studio", "uncertain"): 2, ("studio", "lost"): 1, ("studio", "submitted"): 5}))
    assert [one.level for one in found] == ["warning", "warning"]
    assert "settle" in (found[0].way_out or "")
    assert "--again" in (found[1].way_out or "")


def test_open_jobs_of_a_source_that_is_gone_are_a_problem() -> None:
    """Nobody asks about them until it is put back."""
    counts = {("old", "submitted"): 2, ("old", "lost"): 1, ("studio", "submitted"): 5}
    (found,) = of_old_jobs(counts, {"studio"})
    assert (found.level, found.about) == ("problem", "jobs of old")
    assert found.text.endswith("some are open: 2 submitted")
    assert "put the source back" in (found.way_out or "")
