"""Every error of ours has a sentence, a status and an exit code."""

import json
from collections.abc import Iterator

import click
import pytest

from receiver import cli
from receiver.contract import errors
from receiver.contract.errors import HookscribeError
from receiver.web.problems import STATUS, problem, problem_of


def tree(cls: type[HookscribeError]) -> Iterator[type[HookscribeError]]:
    """Yield a class of errors and all below it that are ours."""
    yield cls
    for below in cls.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


TREE = list(tree(HookscribeError))


def test_the_table_is_the_tree() -> None:
    """Nothing is forgotten, nothing is invented, and the drawing at the top names them all."""
    assert set(STATUS) == set(TREE)
    assert all(cls.__name__ in (errors.__doc__ or "") for cls in TREE)


@pytest.mark.parametrize("cls", TREE)
def test_every_error_is_explained(cls: type[HookscribeError], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own sentence is its message; it becomes a problem document and an exit code."""
    assert cls.__doc__
    assert str(cls()) == cls.__doc__.strip()
    answer = problem_of(cls("said"))
    document = json.loads(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert (document["status"], document["detail"]) == (answer.status_code, "said")
    assert document["title"] == cls.__doc__.partition("\n")[0]
    assert document["type"].startswith("urn:hookscribe:problem:")
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)

    def fail() -> None:
        raise cls("said")

    monkeypatch.setattr(cli.hookscribe, "get_command", lambda *_: click.Command("fail", callback=fail))
    asked_wrong = issubclass(cls, errors.ConfigError | errors.UsageError)
    assert cli.run(["fail"]) == (2 if asked_wrong else 1)


def test_types_are_distinct() -> None:
    """A program tells errors apart by `type`."""
    types = {json.loads(bytes(problem_of(cls()).body))["type"] for cls in TREE}
    assert len(types) == len(TREE)
    assert "urn:hookscribe:problem:store-unavailable" in types


def test_an_error_of_a_stranger_is_its_nearest_relative() -> None:
    """A subclass that is not in the table takes the row of its base."""

    class Odd(errors.NotFound):
        """Odd."""

    assert problem_of(Odd("said")).status_code == 404


def test_a_status_alone_is_a_problem_too() -> None:
    """Without a detail there is none, and the title is HTTP's own."""
    assert json.loads(bytes(problem(405).body)) == {"type": "about:blank", "title": "Method Not Allowed", "status": 405}
