"""Lists: pages that stay right, filters, what is shown and what is masked, and no query that reads a whole table."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kept import kept_in, normalized, notice, result

from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import DeliveryState, ReceiptState, SinkState, Verdict
from receiver.pipeline.operating.chosen import Chosen, of_deliveries
from receiver.store import listing, lists, sql
from receiver.store.ids import CALL, EVENT, RECEIPT, encode
from receiver.store.listing import Listing
from receiver.store.lists import Lists, Page, named, part
from receiver.store.records import SinkRow, pack_headers
from receiver.store.sqlite.engine import SqliteEngine
from receiver.store.store import Store
from receiver.testing.store import DAY_MS, MIB, NOON, Clock, a_receipt, a_tried


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Give an empty store."""
    async with kept_in(tmp_path / "store.db", clock) as opened:
        yield opened


@pytest.fixture
def all_of(store: Store) -> Lists:
    """Give the lists of the store."""
    return Lists(store.engine)


def decoded(page: Page) -> list[dict[str, Any]]:
    """Return the items of a page as a program reads them."""
    items: list[dict[str, Any]] = json.loads(msgspec.json.encode(page.items))
    return items


async def walk(read: Any, given: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """Follow a list to its end, page by page."""
    page = await read(given)
    pages = [decoded(page)]
    while page.next:
        page = await read({**given, "cursor": page.next})
        pages.append(decoded(page))
    return pages


async def test_a_receipt_is_shown_without_secrets(store: Store, all_of: Lists) -> None:
    """Ids and times are public ones; headers that prove or open something are masked; checks and size are there."""
    headers = (
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer canary-1"),
        (b"verification-token", b"canary-2"),
        (b"cookie", b"a=canary-3"),
        (b"x-acme-signature", b"canary-4"),
        (b"x-odd", b"canary5canary5canary5"),
        (b"x-forwarded-uri", b"/hooks/acme/canary-6"),
    )
    checks = '[{"scheme":"hmac-sha256","ok":false,"detail":"no match"}]'
    receipt = a_receipt(store, b"m", headers=pack_headers(headers), checks=checks, body=b"x" * 17)
    await store.keep([receipt])
    shown = await all_of.receipt(encode(RECEIPT, receipt.id))
    assert shown == decoded(await all_of.receipts({}))[0]
    assert "canary" not in json.dumps(shown)
    assert [name for name, _ in shown["headers"]] == [name.decode() for name, _ in headers]
    assert shown["headers"][0] == ["content-type", "application/json"]
    assert shown["checks"][0]["detail"] == "no match"
    assert (shown["size"], shown["tries"], shown["state"], shown["reason"]) == (17, 0, "received", None)
    assert shown["received_at"] == "2024-10-04T12:00:00.000Z"


async def test_the_body_of_a_receipt_is_exact(store: Store, all_of: Lists) -> None:
    """Byte for byte."""
    body = bytes(range(256))
    receipt = a_receipt(store, b"m", body=body)
    await store.keep([receipt])
    assert await all_of.body(encode(RECEIPT, receipt.id)) == body


async def test_pages_stay_right_while_rows_are_added(store: Store, all_of: Lists) -> None:
    """Every row that was there at the start comes once, newest first, whatever comes in between."""
    await store.keep([a_receipt(store, b"%d" % number) for number in range(7)])
    expected = [item["id"] for item in decoded(await all_of.receipts({}))]
    page = await all_of.receipts({"limit": "3"})
    found = decoded(page)
    while page.next:
        await store.keep([a_receipt(store, b"new%d" % len(found))])
        page = await all_of.receipts({"limit": "3", "cursor": page.next})
        found += decoded(page)
    assert [item["id"] for item in found] == expected
    assert expected == sorted(expected, reverse=True)


async def test_the_last_page_has_no_next(store: Store, all_of: Lists) -> None:
    """Exactly as many rows as the limit are one page."""
    await store.keep([a_receipt(store, b"%d" % number) for number in range(4)])
    assert [len(page) for page in await walk(all_of.receipts, {"limit": "2"})] == [2, 2]
    assert (await all_of.receipts({"limit": "4"})).next is None


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"source": "acme"}, 3),
        ({"source": "other"}, 1),
        ({"state": "received"}, 3),
        ({"state": "confirming"}, 1),
        ({"verdict": "signature"}, 1),
        ({"verdict": "signature", "source": "other"}, 0),
        ({"since": "2024-10-05"}, 2),
        ({"until": "2024-10-05T02:00:00+02:00"}, 2),
        ({"until": "2024-10-05T02:00:00 02:00"}, 2),
        ({"since": "2024-10-04T12:00:00", "until": "2024-10-05T12:00:00Z"}, 2),
        ({"since": "0001-01-01T00:00:00+23:00", "until": "9999-12-31T23:59:59.999-23:00"}, 4),
        ({"since": "9999-12-31"}, 0),
    ],
)
async def test_receipts_by_filter(store: Store, clock: Clock, all_of: Lists, given: dict[str, str], count: int) -> None:
    """Source, state, verdict and time, alone and together."""
    first = [a_receipt(store, b"1"), a_receipt(store, b"2", verdict=Verdict.SIGNATURE)]
    clock.ms += DAY_MS
    second = [a_receipt(store, b"3", source="other"), a_receipt(store, b"4", state=ReceiptState.CONFIRMING)]
    await store.keep(first + second)
    assert len(decoded(await all_of.receipts(given))) == count


async def test_a_filter_without_an_index_looks_at_so_many_rows(
    store: Store, all_of: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be empty and yet go on; nothing is missed and nothing comes twice."""
    monkeypatch.setattr(lists, "_WINDOW", 10)
    rare = (3, 4, 17, 39)
    verdicts = [Verdict.SIGNATURE if number in rare else Verdict.TOKEN for number in range(45)]
    made = [a_receipt(store, b"%d" % number, verdict=verdict) for number, verdict in enumerate(verdicts)]
    await store.keep(made)
    pages: list[list[dict[str, Any]]] = []
    for limit in ("1", "2", "50"):
        pages = await walk(all_of.receipts, {"verdict": "signature", "limit": limit})
        assert [item["id"] for page in pages for item in page] == [
            encode(RECEIPT, made[number].id) for number in reversed(rare)
        ]
    assert [] in pages


@pytest.mark.parametrize("read", ["receipts", "transcripts", "calls", "events", "deliveries"])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"limit": "0"}, "limit: expected a number from 1 to 1000"),
        ({"limit": "1001"}, "limit: "),
        ({"limit": "²"}, "limit: "),
        ({"cursor": "garbage"}, "cursor: it is none of"),
        ({"cursor": "é" * 9}, "cursor: it is none of"),
        ({"cursor": base64.urlsafe_b64encode(b'["other",1,1]').decode()}, "cursor: it is none of"),
        ({"cursor": ""}, "cursor: "),
        ({"since": "yesterday"}, "since: expected a time such as"),
        ({"until": "2024-10-05T99"}, "until: "),
        ({"word": "q"}, "'word' is no parameter of .*; known are .*since, until, limit, cursor"),
        ({"role": "agent", "limit": "5"}, "'role' is no parameter"),
    ],
)
async def test_wrong_parameters_are_refused(all_of: Lists, read: str, given: dict[str, str], told: str) -> None:
    """Each by its name, with what would be right."""
    with pytest.raises(UsageError, match=told):
        await getattr(all_of, read)(given)


@pytest.mark.parametrize(
    ("read", "given", "told"),
    [
        ("receipts", {"state": "nonsense"}, "state: expected one of received, confirming, normalized, unreadable"),
        ("receipts", {"verdict": "x' OR 1"}, "verdict: expected one of"),
        ("transcripts", {"status": "x"}, "status: expected one of completed, failed"),
        ("transcripts", {"call": "trn_0000000000000"}, "call: .* is no id of the form call_"),
        ("deliveries", {"event": "x"}, "event: .*evt_"),
    ],
)
async def test_wrong_values_are_refused(all_of: Lists, read: str, given: dict[str, str], told: str) -> None:
    """A word that is none of the list's is wrong use, not an empty list."""
    with pytest.raises(UsageError, match=told) as caught:
        await getattr(all_of, read)(given)
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        ("receipt", "rcp_0000000000000"),
        ("body", "rcp_0000000000000"),
        ("transcript", "trn_0000000000000"),
        ("versions", "trn_0000000000000"),
        ("call", "call_0000000000000"),
        ("event", "evt_0000000000000"),
        ("delivery", "dlv_0000000000000"),
        ("delivery", "garbage"),
    ],
)
async def test_what_is_not_there_is_not_found(all_of: Lists, read: str, name: str) -> None:
    """Unknown ids and garbage are NotFound."""
    with pytest.raises(NotFound, match=name):
        await getattr(all_of, read)(name)


async def test_transcripts_are_whole_or_only_what_routes_them(store: Store, clock: Clock, all_of: Lists) -> None:
    """Whole is the public shape; newest received first; a new version moves up."""
    for job in ("1", "2", "3"):
        clock.ms += 1000
        await normalized(store, [result(job)])
    clock.ms += 1000
    await normalized(store, [result("1", text="hello again")])
    whole = decoded(await all_of.transcripts({}))
    assert [(one["job_id"], one["version"], one["text"]) for one in whole[:1]] == [("1", 2, "hello again")]
    heads = decoded(await all_of.transcripts({}, whole=False))
    assert [one["id"] for one in heads] == [one["id"] for one in whole]
    assert "text" not in heads[0]
    pages = await walk(all_of.transcripts, {"limit": "1"})
    assert [item for page in pages for item in page] == whole


async def test_one_transcript_and_its_versions(store: Store, all_of: Lists) -> None:
    """The newest by default, any by its number."""
    await normalized(store, [result("1"), result("1", text="later")])
    name = decoded(await all_of.transcripts({}))[0]["id"]
    assert json.loads(bytes(await all_of.transcript(name)))["text"] == "later"
    assert json.loads(bytes(await all_of.transcript(name, 1)))["text"] == "hello"
    with pytest.raises(NotFound, match=f"version 3 of {name}"):
        await all_of.transcript(name, 3)
    versions = await all_of.versions(name)
    assert [one["version"] for one in versions] == [1, 2]
    assert versions[0]["receipt_id"].startswith(RECEIPT)


async def test_transcripts_by_filter(store: Store, clock: Clock, all_of: Lists) -> None:
    """Source, provider, job, call, status and the time when they were received."""
    await normalized(store, [result("1", "c"), result("2", "c", status="failed"), result("3")])
    clock.ms += DAY_MS
    await normalized(store, [result("4")], source="other")
    call = decoded(await all_of.calls({}))[-1]["id"]
    since = "2024-10-05T12:00:00Z"
    for given, jobs in (
        ({"source": "other"}, "4"),
        ({"provider": "acme"}, "4321"),
        ({"provider": "none"}, ""),
        ({"job_id": "2"}, "2"),
        ({"status": "failed"}, "2"),
        ({"status": "completed"}, "431"),
        ({"since": since}, "4"),
        ({"until": since}, "321"),
        ({"source": "acme", "status": "failed", "provider": "acme"}, "2"),
    ):
        assert "".join(one["job_id"] for one in decoded(await all_of.transcripts(given))) == jobs, given
    about = [one["job_id"] for one in decoded(await all_of.transcripts({"call": call}))]
    assert about in (["2", "1"], ["3"])


async def test_large_transcripts_make_short_pages(store: Store, all_of: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page holds so many bytes and no more, but always one; the next goes on."""
    monkeypatch.setattr(lists, "PAGE_BYTES", 25_000)
    await normalized(store, [result(str(number), text="x" * 10_000) for number in range(5)])
    assert [len(page) for page in await walk(all_of.transcripts, {})] == [2, 2, 1]
    assert [len(page) for page in await walk(all_of.events, {})] == [2, 2, 1]
    monkeypatch.setattr(lists, "PAGE_BYTES", 10)
    assert [len(page) for page in await walk(all_of.transcripts, {})] == [1] * 5
    assert [len(page) for page in await walk(lambda given: all_of.events(given, whole=False), {})] == [5]


async def test_calls_have_their_transcripts(store: Store, all_of: Lists) -> None:
    """A call is what is known of it; one alone also says what was said about it."""
    await normalized(store, [result("1", "c"), result("2", "c"), result("3", "d")])
    calls = decoded(await all_of.calls({}))
    assert [one["external_id"] for one in calls] == ["d", "c"]
    assert calls[0]["created_at"] == "2024-10-04T12:00:00.000Z"
    one = await all_of.call(calls[1]["id"])
    assert [transcript["job_id"] for transcript in one["transcripts"]] == ["1", "2"]
    assert one["id"].startswith(CALL)
    assert len(decoded(await all_of.calls({"until": "2024-10-05"}))) == 2


async def test_events_by_filter(store: Store, clock: Clock, all_of: Lists) -> None:
    """Type, by name or glob, source, call and time; data is what the event says."""
    await normalized(store, [result("1", "c"), notice("tested")])
    clock.ms += DAY_MS
    await normalized(store, [result("2", status="failed")], source="other")
    events = decoded(await all_of.events({}))
    types = ["transcript.failed", "acme.tested", "transcript.completed"]
    assert [one["type"] for one in events] == types
    assert events[1]["data"]["name"] == "tested"
    assert events[2]["data"]["job_id"] == "1"
    for given, expected in (
        ({"type": "acme.tested"}, types[1:2]),
        ({"type": "transcript.*"}, [types[0], types[2]]),
        ({"type": "*"}, types),
        ({"type": "none.*"}, []),
        ({"source": "other"}, types[:1]),
        ({"call": events[2]["call_id"]}, types[2:]),
        ({"since": "2024-10-05"}, types[:1]),
        ({"type": "transcript.*", "until": "2024-10-05"}, types[2:]),
    ):
        assert [one["type"] for one in decoded(await all_of.events(given, whole=False))] == expected, given
    assert [len(page) for page in await walk(all_of.events, {"type": "*", "limit": "2"})] == [2, 1]


async def test_an_event_shows_where_it_went(store: Store, all_of: Lists) -> None:
    """One event alone has its data and its deliveries."""
    await normalized(store, [result("1")])
    name = decoded(await all_of.events({}))[0]["id"]
    one = json.loads(msgspec.json.encode(await all_of.event(name)))
    assert one["data"]["text"] == "hello"
    assert sorted(delivery["sink"] for delivery in one["deliveries"]) == ["archive", "team"]
    assert one["deliveries"][0]["event_id"] == name


async def test_deliveries_by_filter(store: Store, all_of: Lists) -> None:
    """Sink, state, event; `next_at` is only said of what waits."""
    await normalized(store, [result("1"), notice("tested")])
    due = await store.due("archive", 10, in_order=False, max_bytes=MIB)
    await store.tried(
        [a_tried(due[0].id, DeliveryState.DEAD, detail="410"), a_tried(due[1].id, DeliveryState.DELIVERED)]
    )
    for given, count in (
        ({}, 3),
        ({"sink": "archive"}, 2),
        ({"sink": "team"}, 1),
        ({"state": "pending"}, 1),
        ({"state": "dead"}, 1),
        ({"state": "delivered"}, 1),
        ({"state": "in_flight"}, 0),
        ({"event": encode(EVENT, due[0].event_id)}, 2),
        ({"since": "2024-10-05"}, 0),
        ({"until": "2024-10-05"}, 3),
    ):
        assert len(decoded(await all_of.deliveries(given))) == count, given
    (dead,) = decoded(await all_of.deliveries({"state": "dead"}))
    assert (dead["detail"], dead["next_at"], dead["attempts"]) == ("410", None, 1)
    one = await all_of.delivery(dead["id"])
    assert [(each["number"], each["outcome"], each["duration"]) for each in one["attempts_made"]] == [
        (1, "said", 0.005)
    ]


async def test_sinks_with_what_waits(store: Store, all_of: Lists) -> None:
    """Configured ones, and those with something left; counts by state, and since when."""
    await normalized(store, [result("1"), result("2")])
    due = await store.due("archive", 1, in_order=False, max_bytes=MIB)
    await store.tried([a_tried(due[0].id, DeliveryState.DEAD)])
    await store.put_sink(SinkRow(name="team", state=SinkState.TRIPPED, failures=5, reason="503", probe_at=NOON))
    archive, new, team = await all_of.sinks({"archive": "jsonl", "new": "console"})
    assert (archive["kind"], archive["state"]) == ("jsonl", "running")
    assert archive["backlog"] == {"pending": 1, "in_flight": 0, "dead": 1, "discarded": 0}
    assert (new["backlog"]["pending"], new["oldest_pending"]) == (0, None)
    assert (team["kind"], team["state"], team["reason"], team["failures"]) == (None, "tripped", "503", 5)
    assert team["oldest_pending"] == team["probe_at"] == "2024-10-04T12:00:00.000Z"
    assert named([archive, new], "new", "sink") == new
    with pytest.raises(NotFound, match="no sink 'gone'; known are archive, new"):
        named([archive, new], "gone", "sink")


async def test_sources_with_what_they_sent(store: Store, clock: Clock, all_of: Lists) -> None:
    """When each was last heard, how often in a day, and what is not normalized."""
    await store.keep([a_receipt(store, b"1"), a_receipt(store, b"2", state=ReceiptState.UNREADABLE)])
    clock.ms += DAY_MS + 1000
    await store.keep([a_receipt(store, b"3", source="gone")])
    acme, gone, new = await all_of.sources({"acme": "callcov", "new": "invox"}, clock())
    assert (acme["provider"], acme["last_receipt"], acme["last_24h"]) == ("callcov", "2024-10-04T12:00:00.000Z", 0)
    assert (acme["received"], acme["confirming"], acme["unreadable"]) == (1, 0, 1)
    assert (gone["provider"], gone["last_24h"]) == (None, 1)
    assert (new["last_receipt"], new["received"]) == (None, 0)


def test_short_lists_are_cut_too() -> None:
    """Sources and sinks are pages like others."""
    things = [{"name": str(number)} for number in range(5)]
    first = part("sinks", things, {"limit": "3"})
    assert [one["name"] for one in first.items] == ["0", "1", "2"]
    assert first.next is not None
    rest = part("sinks", things, {"cursor": first.next})
    assert ([one["name"] for one in rest.items], rest.next) == (["3", "4"], None)
    with pytest.raises(UsageError, match="cursor: it is none of sources"):
        part("sources", things, {"cursor": first.next})


DAY = "2024-10-05"
INDEXES = {
    "receipts": {
        "": "INTEGER PRIMARY KEY",
        "source=a": "receipts_source (source=?",
        "state=received": "receipts_open (state=?",
        "state=confirming": "receipts_open (state=?",
        "state=unreadable": "receipts_open (state=?",
        f"since={DAY}": "INTEGER PRIMARY KEY",
        f"until={DAY}": "INTEGER PRIMARY KEY",
    },
    "transcripts": {
        "": "transcripts_received",
        "source=a": "transcripts_source (source=?",
        "provider=a": "transcripts_provider (provider=?",
        "job_id=a": "transcripts_job (job_id=?",
        "call=call_0000000000000": "transcripts_call (call_id=?",
        "status=failed": "transcripts_failed",
        "status=completed": "transcripts_received",
        f"since={DAY}": "transcripts_received",
        f"until={DAY}": "transcripts_received",
    },
    "calls": {"": "INTEGER PRIMARY KEY", f"since={DAY}": "INTEGER PRIMARY KEY", f"until={DAY}": "INTEGER PRIMARY KEY"},
    "events": {
        "": "sqlite_autoindex_events_1 (id<?",
        "type=a": "events_type (type=?",
        "source=a": "events_source (source=?",
        "call=call_0000000000000": "events_call (call_id=?",
        f"since={DAY}": "sqlite_autoindex_events_1 (id>? AND id<?",
        f"until={DAY}": "sqlite_autoindex_events_1 (id<?",
    },
    "deliveries": {
        "": "INTEGER PRIMARY KEY",
        "sink=a": "deliveries_sink (sink=?",
        "state=pending": "deliveries_state (state=?",
        "state=dead": "deliveries_state (state=?",
        "event=evt_0000000000000": "deliveries_event (event_id=?",
        f"since={DAY}": "INTEGER PRIMARY KEY",
    },
}
"""Which index serves which filter."""


def listing_of(name: str) -> Listing:
    """Return a listing by its name."""
    found = getattr(lists, name.upper())
    assert isinstance(found, Listing)
    return found


async def plan(store: Store, query: str, params: Mapping[str, Any], where: list[str]) -> list[str]:
    """Return what SQLite would do, step by step."""
    assert isinstance(store.engine, SqliteEngine)
    text = store.engine._sql[query].replace("{where}", sql.for_sqlite(where))
    rows = await store.engine._connection.execute_fetchall(f"EXPLAIN QUERY PLAN {text}", params)
    return [row[3] for row in rows]


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, kinds in INDEXES.items() for given in kinds])
async def test_no_list_reads_a_whole_table(store: Store, name: str, given: str) -> None:
    """Unfiltered, and by each filter alone, rows are found by an index in the order in which they are shown."""
    asked = listing_of(name).read(dict([given.split("=")]) if given else {})
    steps = await plan(store, f"list_{name}", asked.params, asked.where)
    assert any(INDEXES[name][given] in step for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN")], steps
    few = given.startswith(("job_id", "call=")) and name == "transcripts"
    assert few or not [step for step in steps if "TEMP B-TREE" in step], steps


@pytest.mark.parametrize("state", ["dead", "discarded", "pending"])
async def test_replay_finds_its_deliveries_by_state(store: Store, state: str) -> None:
    """A filter of `replay` and `discard` begins with what is in the state."""
    where = await of_deliveries(store.engine, Chosen(state=state), store.ids.next())
    steps = await plan(store, "deliveries_matching", {**where.params, "limit": 5}, where.conditions)
    assert "deliveries_state (state=?" in steps[0], steps


@pytest.mark.parametrize(
    ("query", "params", "table"),
    [
        ("receipt_body", {"id": 1}, "receipts"),
        ("one_transcript", {"id": 1, "version": None}, "transcripts"),
        ("transcript_docs", {"ids": "[]"}, "transcripts"),
        ("transcript_versions", {"id": 1}, "versions"),
        ("call_transcripts", {"id": 1, "limit": 9}, "transcripts"),
        ("event_data", {"ids": "[]"}, "events"),
        ("delivery_attempts", {"id": 1}, "attempts"),
        ("replayable", {"ids": "[]", "states": "[]"}, "deliveries"),
        ("events_for_replay", {"ids": "[]", "sink": "a"}, "events"),
        ("event_sinks", {"id": 1}, "deliveries"),
        ("event_types", {}, "events"),
        ("event_sources", {}, "events"),
        ("last_receipts", {"since": 1}, "receipts"),
        ("receipt_counts", {}, "receipts"),
        ("waiting_receipts", {"state": "received", "after": 0, "limit": 9}, "receipts"),
        ("reclaim_deliveries", {"now": 0}, "deliveries"),
    ],
)
async def test_no_look_at_one_reads_a_whole_table(store: Store, query: str, params: dict[str, Any], table: str) -> None:
    """Nor does any other verb that looks."""
    steps = await plan(store, query, params, [])
    assert not [step for step in steps if step.startswith("SCAN") and step.split()[1] in (table, table[0])], steps
    whole = ("receipts USING INTEGER PRIMARY KEY (rowid>?)", "receipts USING INTEGER PRIMARY KEY (rowid<?)")
    assert not [step for step in steps if step.endswith(whole)], steps


async def test_backlogs_are_counted_in_the_index(store: Store) -> None:
    """What waits is counted without its rows, and what was delivered is not counted at all."""
    steps = await plan(store, "sink_backlogs", {}, [])
    assert steps[0] == "SCAN deliveries USING COVERING INDEX deliveries_state"
    assert "deliveries_due (sink=?" in (await plan(store, "sink_backlog", {"sink": "a"}, []))[0]


def test_sizes_that_fit() -> None:
    """As many as fit together, the first whatever its size."""
    assert [listing.fitting(sizes, 10) for sizes in ([], [99], [5, 5, 1], [1, 99, 1])] == [0, 1, 2, 1]
