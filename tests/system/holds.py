"""What must hold after anything: nothing acknowledged is lost, doubled, or out of order."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from receiver.store.ids import RECEIPT, decode
from system.harness import PATIENCE, Process, Site, until
from system.hook import Hook
from system.sender import Acknowledged

Events = Sequence[Mapping[str, Any]]

_OPEN = """
SELECT (SELECT count(*) FROM receipts WHERE state IN ('received', 'confirming')),
       (SELECT count(*) FROM claims),
       (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'in_flight'))
"""


async def settled(site: Site, process: Process, patience: float = PATIENCE) -> None:
    """Wait until nothing is left to be done."""

    def done() -> bool:
        assert process.running, process.output()
        return site.rows(_OPEN) == [(0, 0, 0)]

    try:
        await until(done, "everything to be delivered", patience)
    except AssertionError as error:
        raise AssertionError(f"{error}; open: {site.rows(_OPEN)}, {_stuck(site)}\n{process.output()[-4000:]}") from None


def _stuck(site: Site) -> str:
    deliveries = "SELECT sink, state, min(attempts), max(attempts), worker, min(next_at), max(next_at), count(*) FROM deliveries GROUP BY 1, 2, 5"
    return f"{site.rows(deliveries)}, {site.rows('SELECT * FROM sinks')}, now {time.time():.3f}"


def everything_holds(
    site: Site, acknowledged: Iterable[Acknowledged], hook: Hook | None = None, *, orphans: str = ""
) -> None:
    """Check the store and each sink against what was acknowledged; the sink `orphans` was taken out meanwhile."""
    acknowledged = list(acknowledged)
    kept_once(site, acknowledged)
    assert site.rows("SELECT state, count(*) FROM receipts WHERE state <> 'normalized' GROUP BY state") == []
    left = "SELECT state, count(*) FROM deliveries WHERE state <> 'delivered' AND sink <> ? GROUP BY state"
    assert site.rows(left, [orphans]) == []
    assert orphans or site.rows(_OPEN) == [(0, 0, 0)]
    archived = site.lines()
    delivered(acknowledged, archived)
    if hook:
        assert not hook.unproven
        delivered(acknowledged, hook.events)
        assert ids_of(archived) == ids_of(hook.events)


def kept_once(site: Site, acknowledged: Iterable[Acknowledged]) -> None:
    """Check that each acknowledged callback is in the store under the id that was answered, and only there."""
    kept: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    for number, source, body in site.rows("SELECT id, source, body FROM receipts"):
        kept[source, body].append(number)
    for one in acknowledged:
        found = kept[one.callback.source, one.callback.body]
        assert found == [decode(RECEIPT, one.id)], one.callback.job


def delivered(acknowledged: Sequence[Acknowledged], events: Events) -> None:
    """Check what one sink got: every result, under one id each, in order for each call."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    places: dict[str, int] = {}
    for event in events:
        if event["type"] == "transcript.completed":
            data = event["data"]
            ids[data["source"], data["job_id"]].add(event["id"])
            places.setdefault(data["job_id"], len(places))
            assert data["version"] == 1
    missing = [one.callback.job for one in acknowledged if (one.callback.source, one.callback.job) not in ids]
    assert not missing, f"{len(missing)} of {len(acknowledged)} never arrived, such as {missing[:5]}"
    doubled = {job: found for job, found in ids.items() if len(found) != 1}
    assert not doubled, f"two events for one result: {doubled}"
    calls: dict[str, list[str]] = defaultdict(list)
    for one in acknowledged:
        if one.callback.call:
            calls[one.callback.call].append(one.callback.job)
    for call, jobs in calls.items():
        assert jobs == sorted(jobs, key=places.__getitem__), f"{call}: out of order"


def ids_of(events: Events) -> set[str]:
    """Return the ids of events."""
    return {event["id"] for event in events}


def copies(events: Events) -> int:
    """Return how many events came more than once."""
    return sum(count > 1 for count in Counter(event["id"] for event in events).values())
