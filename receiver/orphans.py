"""Orphans: what waits in the store for a sink or a source that is not in the settings; told, and never dropped."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

import structlog

from receiver.config import Config
from receiver.contract.model import DeliveryState, ReceiptState
from receiver.store.jobs import OPEN, counts_by_source
from receiver.store.lists import Lists
from receiver.store.shapes import Shape
from receiver.store.store import Store

log = structlog.get_logger()

_WAITS = (DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.DEAD)
PUT_BACK = "put the source back under the same name: its provider is asked about them then"
"""What to do about jobs of a source that is gone."""
_OPEN = (ReceiptState.RECEIVED, ReceiptState.CONFIRMING, ReceiptState.UNREADABLE)


async def tell_orphans(store: Store, config: Config, now: float) -> None:
    """Log a line for each sink and source that is not configured and left something; `now` is Unix seconds."""
    lists = Lists(store.engine)
    for sink in await lists.sinks({name: one.kind for name, one in config.sinks.items()}):
        if sink["kind"] is None and any(sink["backlog"][state] for state in _WAITS):
            log.warning("sink.orphaned", **_of_sink(sink))
    for source in await lists.sources({name: one.provider for name, one in config.sources.items()}, now):
        if source["provider"] is None and any(source[state] for state in _OPEN):
            log.warning("source.orphaned", **_of_source(source))
    for name, counts in open_jobs(await counts_by_source(store.engine), config.sources).items():
        show = f"hookscribe jobs --source {name}"
        log.warning("jobs.orphaned", source=name, **counts, show=show, way_out=PUT_BACK)


def open_jobs(counts: Mapping[tuple[str, str], int], sources: Container[str]) -> dict[str, dict[str, int]]:
    """Return how many open jobs, by state, each source has that is not one of `sources`; `counts` as `counts_by_source`."""
    found: dict[str, dict[str, int]] = {}
    for (source, state), count in counts.items():
        if source not in sources and state in OPEN:
            found.setdefault(source, {})[state] = count
    return found


def ways_out(sink: str, state: str) -> Iterator[str]:
    """Yield the commands that settle what a sink left in a state: give it to another sink, give it up."""
    dead = state == DeliveryState.DEAD
    yield f"hookscribe deliveries move --from {sink} --to NAME{' --dead' if dead else ''}"
    yield f"hookscribe discard --sink {sink} --state {DeliveryState.DEAD if dead else DeliveryState.PENDING}"


def _of_sink(sink: Shape) -> dict[str, Any]:
    waits = {state.value: sink["backlog"][state] for state in _WAITS if sink["backlog"][state]}
    move, discard = ways_out(sink["name"], next(iter(waits)))
    return {"sink": sink["name"], **waits, "oldest": sink["oldest_pending"], "move": move, "discard": discard}


def _of_source(source: Shape) -> dict[str, Any]:
    name, counts = source["name"], {state.value: source[state] for state in _OPEN if source[state]}
    show = f"hookscribe receipts --source {name} --state {next(iter(counts))}"
    return {
        "source": name,
        **counts,
        "oldest": source["oldest_waiting"],
        "show": show,
        "way_out": "put it back under the same name: they are read then by themselves",
    }
