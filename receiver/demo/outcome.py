"""What came of the demo: what the store says, what is really there on the other side of each sink, what is missing."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from receiver.contract.model import DeliveryState
from receiver.demo.run import Answered, Setting
from receiver.demo.sources import promised
from receiver.store.ids import EVENT, RECEIPT, encode
from receiver.store.store import Store

_ALL = (1 << 63) - 1
_NAMED = 10
"""Missing events that are named for each sink."""


class Became(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says came of everything: events by id, what each receipt led to, and what was delivered where."""

    events: dict[str, str]
    """Types by public id."""
    of_receipt: dict[str, str]
    """In words, by public id."""
    expected: int
    """Events that follow from the receipts: new results, newer versions, notices, callbacks that cannot be read."""
    new: int
    """The same without newer versions: what `promised` counts."""
    delivered: dict[str, int]
    troubles: dict[str, str]
    """By sink: why one of its deliveries has not arrived."""


async def became(store: Store) -> Became:
    """Read what came of everything."""
    params = {"limit": _ALL}
    events = await store.engine.rows("list_events", params)
    receipts = await store.engine.rows("list_receipts", params)
    deliveries = await store.engine.rows("list_deliveries", params)
    about: dict[str, list[tuple[str, str]]] = {}
    for row in sorted(events):
        about.setdefault(row[4], []).append((encode(EVENT, row[0]), row[2]))
    outcomes = {encode(RECEIPT, row[0]): json.loads(row[9]) if row[9] else None for row in receipts}
    kinds = [kind for outcome in outcomes.values() for kind in _kinds(outcome)]
    return Became(
        events={encode(EVENT, row[0]): row[2] for row in events},
        of_receipt={receipt: _in_words(receipt, outcome, about) for receipt, outcome in outcomes.items()},
        expected=len([kind for kind in kinds if kind in ("new", "version", "notice", "unreadable")]),
        new=len([kind for kind in kinds if kind in ("new", "notice", "unreadable")]),
        delivered=Counter(row[1] for row in deliveries if row[5] == DeliveryState.DELIVERED),
        troubles={row[1]: row[8] for row in deliveries if row[8] and row[5] != DeliveryState.DELIVERED},
    )


def _kinds(outcome: list[dict[str, Any]] | None) -> list[str]:
    if outcome is None:
        return ["unreadable"]
    return [one.get("as") or ("notice" if "event" in one else "nothing") for one in outcome]


def _in_words(receipt: str, outcome: list[dict[str, Any]] | None, about: Mapping[str, list[tuple[str, str]]]) -> str:
    """Say what a receipt led to: types of events with their subjects."""
    if outcome is None:
        return " ".join(kind for _, kind in about.get(receipt, ())) or "unreadable"
    words = []
    for one in outcome:
        if "transcript" in one:
            place = min(one["version"], len(about[one["transcript"]])) - 1
            happened = (
                about[one["transcript"]][place][1] if one["as"] in ("new", "version") else f"no event ({one['as']})"
            )
            words.append(f"{happened} {one['transcript']}")
        elif "event" in one:
            words += [kind for number, kind in about.get(receipt, ()) if number == one["event"]]
        elif "ignored" in one:
            words.append(f"no event ({one['ignored']} is ignored)")
        else:
            words.append(f"no event (the job is {one['status']})")
    return ", ".join(words) or "no event"


async def arrived(setting: Setting, sinks: Collection[str], delivered: Mapping[str, int]) -> dict[str, set[str] | int]:
    """Return what is really on the other side of each sink: ids, or a number where messages carry none."""
    peers = setting.peers
    found: dict[str, set[str] | int] = {
        "file": _ids_in(setting.events_file),
        "webhook": peers.webhook.ids,
        "slack": len(peers.slack.messages),
        "queue": await setting.queue.ids(),
        "console": delivered.get("console", 0),
    }
    return {name: found[name] for name in sinks}


def _ids_in(file: Path) -> set[str]:
    lines = file.read_bytes().splitlines() if file.exists() else []
    return {json.loads(line)["id"] for line in lines}


def faults(
    answers: Sequence[Answered], setting: Setting, state: Became, there: Mapping[str, set[str] | int]
) -> list[str]:
    """Return everything that is not as it should be, a line each; nothing, where every event arrived in every sink."""
    wrong = [
        f"{one.callback.source} {one.callback.case}: answered {one.status} {one.word}"
        for one in answers
        if not one.good
    ]
    if state.expected != len(state.events):
        wrong.append(f"{state.expected} events should follow from the receipts, and there are {len(state.events)}")
    if state.new != (wanted := promised(setting.prepared.callbacks)):
        wrong.append(f"the recorded cases promise {wanted} events, and {state.new} came of them")
    if live := setting.peers.slack.alive:
        wrong.append(f"slack: {len(live)} texts are not inert")
    for sink, ids in there.items():
        wrong += _missing(sink, ids, state)
    return wrong


def _missing(sink: str, there: set[str] | int, state: Became) -> list[str]:
    count = there if isinstance(there, int) else len(there & state.events.keys())
    if count == len(state.events):
        return []
    why = f" ({state.troubles[sink]})" if sink in state.troubles else ""
    known = set() if isinstance(there, int) else there
    missing = [f"  {number} {kind}" for number, kind in sorted(state.events.items()) if number not in known]
    named = [] if isinstance(there, int) else missing[:_NAMED]
    more = [f"  and {len(missing) - _NAMED} more"] if named and len(missing) > _NAMED else []
    return [f"{sink}: {count} of {len(state.events)} events arrived{why}", *named, *more]
