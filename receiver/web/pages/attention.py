"""What needs somebody now, in order of weight, each with where to look and the button that mends it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.model import SinkState
from receiver.store.jobs import JobState
from receiver.web.pages.wording import counted

Shape = Mapping[str, Any]


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """A form of one button: where it goes, what it says, and its hidden fields; `get` only looks."""

    action: str
    label: str
    fields: dict[str, str] = {}
    get: bool = False


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that needs somebody."""

    what: str
    why: str | None
    link: str
    button: Button | None = None


def attention(
    sources: Sequence[Shape], sinks: Sequence[Shape], jobs: Mapping[str, int], refused: int
) -> list[Attention]:
    """Return what needs somebody; `refused` is how many requests were refused within an hour."""
    return [*_of_sinks(sinks), *_of_sources(sources), *_of_jobs(jobs), *_of_refusals(refused)]


def _of_sinks(sinks: Sequence[Shape]) -> Iterator[Attention]:
    for sink in sinks:
        name, dead = sink["name"], sink["backlog"]["dead"]
        if sink["state"] != SinkState.RUNNING:
            waiting = counted(sink["backlog"]["pending"], "delivery waits", "deliveries wait")
            resume = Button(action=f"/sinks/{name}/resume", label="Resume")
            what = f"Sink {name} is {sink['state']}; {waiting}"
            yield Attention(
                what=what, why=sink["reason"], link=f"/sinks/{name}", button=resume if sink["kind"] else None
            )
        if dead:
            fields = {"verb": "replay", "state": "dead", "sink": name}
            again = Button(action="/deliveries/change", label="Replay …", fields=fields, get=True)
            yield Attention(
                what=f"{counted(dead, 'dead delivery', 'dead deliveries')} to {name}",
                why=None,
                link=f"/deliveries?state=dead&sink={name}",
                button=again if sink["kind"] else None,
            )


def _of_sources(sources: Sequence[Shape]) -> Iterator[Attention]:
    for source in sources:
        name, count = source["name"], source["unreadable"]
        if count:
            fields = {"source": name}
            yield Attention(
                what=f"{counted(count, 'unreadable receipt')} of {name}",
                why="today's handler may read them: they are kept as they came",
                link=f"/receipts?state=unreadable&source={name}",
                button=Button(action="/receipts/reprocess", label="Read again", fields=fields),
            )


def _of_jobs(jobs: Mapping[str, int]) -> Iterator[Attention]:
    for state, words in (
        (JobState.UNCERTAIN, "nobody knows whether the provider has them"),
        (JobState.LOST, "no result came, and none is to be had"),
        (JobState.OVERDUE, "their results are late, and are asked for"),
    ):
        if count := jobs.get(state, 0):
            yield Attention(what=counted(count, f"{state} job"), why=words, link=f"/jobs?state={state}")


def _of_refusals(refused: int) -> Iterator[Attention]:
    if refused:
        yield Attention(
            what=f"{counted(refused, 'request')} refused within an hour",
            why="a wrong secret, or a stranger",
            link="/quarantine",
        )
