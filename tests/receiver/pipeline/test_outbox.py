"""What receipts lead to: versions, calls, events and the deliveries of each sink, in one transaction."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_fakes import World, world

from receiver.contract.errors import Unreadable
from receiver.contract.model import Analysis, Call, Notice, Progress, Result, ResultError, Segment, Speaker, Verdict
from receiver.contract.times import from_ms
from receiver.pipeline.comparing import only_lacks, result_digest
from receiver.pipeline.outbox import Outbox, Route
from receiver.pipeline.said import checked
from receiver.store.ids import CALL, EVENT, RECEIPT, TRANSCRIPT, Ids, encode
from receiver.testing.store import NOON


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[World]:
    """Give an empty world with one sink."""
    async with world(tmp_path) as made:
        yield made


def a_result(**changes: Any) -> Result:
    """Return a result of job 1."""
    spoken = (Segment(start=0.0, end=1.0, speaker="A", text="hello"),)
    made = Result(
        kind="transcript",
        operation="transcription",
        job_id="1",
        text="hello",
        speakers=(Speaker(id="A"),),
        segments=spoken,
        analysis=Analysis(summary="greeting", raw={"score": 1}),
        metadata={"ticket": "T", "url": "https://signed/1"},
        volatile=frozenset({"url"}),
    )
    return msgspec.structs.replace(made, **changes)


FAILED = a_result(
    status="failed", text=None, speakers=(), segments=(), analysis=None, error=ResultError(code="1", message="no")
)


def versions(one: World) -> list[dict[str, Any]]:
    """Return every version's document."""
    return [json.loads(row[0]) for row in one.sql("SELECT doc FROM versions ORDER BY rowid")]


def became(one: World, receipt: int) -> Any:
    """Return what a receipt says it became."""
    return json.loads(one.sql("SELECT outcome FROM receipts WHERE id = ?", receipt)[0][0])


# Result keys and digests


async def test_a_result_is_a_transcript_an_event_and_a_delivery(one: World) -> None:
    """The document is whole, the event is about it, and the receipt says what it became."""
    receipt = await one.say(a_result(completed_at="2026-01-01T00:00:00Z"))
    ((number, source, kind, when, subject, call_id, about, version, data),) = one.sql(
        "SELECT id, source, type, time, subject, call_id, transcript_id, version, data FROM events"
    )
    (doc,) = versions(one)
    assert (doc["id"], doc["version"], doc["text"]) == (encode(TRANSCRIPT, about), 1, "hello")
    assert doc["provenance"] == {"receipt_id": encode(RECEIPT, receipt), "verdict": "token", "normalizer": "acme/1"}
    assert doc["call"]["id"] == encode(CALL, call_id)
    assert (source, kind, when) == ("acme", "transcript.completed", "2026-01-01T00:00:00Z")
    assert (subject, version, data) == (doc["id"], 1, None)
    assert one.sql("SELECT sink, event_id, call_id, state FROM deliveries") == [("archive", number, call_id, "pending")]
    assert became(one, receipt) == [{"transcript": doc["id"], "version": 1, "as": "new"}]
    assert one.states() == [("normalized", None)]


async def test_an_undated_result_happened_when_it_came(one: World) -> None:
    """Where the provider gives no time, the event's is that of the receipt."""
    await one.say(a_result(), received_at=NOON + 5)
    assert one.sql("SELECT time FROM events") == [(from_ms(NOON + 5),)]


async def test_an_analysis_has_its_own_event_type(one: World) -> None:
    """`kind` chooses the event, `status` its ending."""
    await one.say(a_result(kind="analysis"))
    await one.say(msgspec.structs.replace(FAILED, kind="analysis", job_id="2"))
    assert one.types() == ["analysis.completed", "analysis.failed"]


@pytest.mark.parametrize("together", [True, False])
async def test_the_same_result_twice_makes_one_event(one: World, together: bool) -> None:
    """Copies that differ in volatile metadata only are one result, in one batch, in one receipt, or days apart."""
    first = await one.keep(a_result())
    if not together:
        await one.settle()
    again = await one.keep(a_result(metadata={"ticket": "T", "url": "https://signed/2"}), a_result())
    await one.settle()
    assert one.types() == ["transcript.completed"]
    assert [item["as"] for item in became(one, first) + became(one, again)] == ["new", "same", "same"]
    assert len(versions(one)) == 1


@pytest.mark.parametrize(
    "less",
    [
        {"segments": ()},
        {"speakers": (), "text": None},
        {"analysis": None, "metadata": {}},
        {"analysis": Analysis(raw={"score": 1})},
        {"segments": (Segment(start=None, end=1.0, speaker="A", text="hello"),)},
        {"call": None},
        {"metadata": {"url": "https://signed/9", "ticket": "T"}, "language": None, "volatile": frozenset({"url"})},
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_copy_that_only_lacks_things_is_evidence(one: World, less: dict[str, Any], together: bool) -> None:
    """A poll without speakers is kept as a receipt that says `less`; it is no version and no event."""
    await one.keep(a_result(language="en", call=Call(external_id="x", agent_id="ann")))
    if not together:
        await one.settle()
    copy = await one.keep(a_result(**({"language": "en", "call": Call(external_id="x")} | less)))
    await one.settle()
    assert became(one, copy)[0]["as"] == "less"
    assert (len(versions(one)), one.types()) == (1, ["transcript.completed"])


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("first", [Verdict.FETCHED, Verdict.TOKEN])
async def test_the_fuller_of_two_ways_comes_into_the_version(one: World, first: Verdict, together: bool) -> None:
    """Fetched without speakers and then told with them, or the other way about: one event, one version, all that was said."""
    second = Verdict.TOKEN if first is Verdict.FETCHED else Verdict.FETCHED
    bare = (Segment(start=0.0, end=1.0, speaker=None, text="hello"),)
    await one.keep(a_result(speakers=(), segments=bare, analysis=None), verdict=first)
    if not together:
        await one.settle()
    fuller = await one.keep(a_result(completed_at="2026-01-01T00:00:00Z"), verdict=second)
    await one.settle()
    assert became(one, fuller)[0]["as"] == "more"
    (doc,) = versions(one)
    assert (doc["version"], doc["segments"][0]["speaker"], doc["analysis"]["summary"]) == (1, "A", "greeting")
    assert doc["provenance"]["receipt_id"] == encode(RECEIPT, fuller)
    assert one.types() == ["transcript.completed"]
    again = await one.say(a_result(completed_at="2026-01-01T00:00:00Z"), verdict=first)
    assert became(one, again)[0]["as"] == "same"
    assert one.sql("SELECT version, dated FROM transcripts") == [(1, "2026-01-01T00:00:00Z")]
    await one.say(a_result(text="corrected"), verdict=second)
    assert one.types() == ["transcript.completed", "transcript.updated"]


@pytest.mark.parametrize("together", [True, False])
async def test_what_waits_for_a_sink_goes_out_with_all_that_is_known(one: World, together: bool) -> None:
    """The event is that of the version, so a sink that was slower than the callback gets its speakers."""
    await one.keep(a_result(speakers=()), verdict=Verdict.FETCHED)
    if not together:
        await one.settle()
    await one.keep(a_result(), verdict=Verdict.TOKEN)
    await one.settle()
    (due,) = await one.store.due("archive", 10, in_order=False, max_bytes=1 << 20)
    assert len(json.loads(due.data)["speakers"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"text": "hello there"},
        {"segments": (Segment(start=0.0, end=1.0, speaker="B", text="hello"),)},
        {"segments": (*a_result().segments, *a_result().segments)},
        {"metadata": {"ticket": "U", "url": "https://signed/1"}},
        {"analysis": Analysis(summary="greeting", topics=("weather",), raw={"score": 1})},
        {"language": "en"},
        {"duration": 1.5},
    ],
)
async def test_a_different_result_is_the_next_version(one: World, change: dict[str, Any]) -> None:
    """What says something new is version 2 under the same id, and `transcript.updated`."""
    await one.say(a_result())
    await one.say(a_result(**change))
    first, second = versions(one)
    assert one.types() == ["transcript.completed", "transcript.updated"]
    assert (second["id"], second["version"]) == (first["id"], 2)
    assert one.sql("SELECT transcript_id, version FROM events") == [
        (one.sql("SELECT id FROM transcripts")[0][0], number) for number in (1, 2)
    ]


async def test_versions_follow_each_other_inside_one_batch(one: World) -> None:
    """Three different results of one job in one batch are three versions; a fourth, as the last, is none."""
    for text in ("one", "two", "three", "three"):
        await one.keep(a_result(text=text))
    await one.settle()
    assert [(doc["version"], doc["text"]) for doc in versions(one)] == [(1, "one"), (2, "two"), (3, "three")]
    assert one.sql("SELECT version, status FROM transcripts") == [(3, "completed")]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "kept_as"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "older"),
        ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "version"),
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z", "version"),
        ("2026-01-02T00:00:00Z", None, "version"),
        (None, "2026-01-01T00:00:00Z", "version"),
        ("2026-01-02T00:00:00.500Z", "2026-01-02T00:00:00Z", "older"),
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00.500Z", "version"),
    ],
)
async def test_what_the_provider_dates_earlier_never_supersedes(
    one: World, first: str | None, second: str | None, kept_as: str, together: bool
) -> None:
    """An older result that arrives late is evidence only; where one of both is undated, the later one counts."""
    await one.keep(a_result(completed_at=first))
    if not together:
        await one.settle()
    late = await one.keep(a_result(text="other", completed_at=second))
    await one.settle()
    assert became(one, late)[0]["as"] == kept_as
    assert len(versions(one)) == (1 if kept_as == "older" else 2)


@pytest.mark.parametrize("together", [True, False])
async def test_failed_and_then_completed_is_completed(one: World, together: bool) -> None:
    """A job that recovers tells `transcript.completed`, not `updated`; what follows is an update again."""
    for said in (FAILED, a_result(), a_result(text="corrected"), FAILED):
        await one.keep(said)
        if not together:
            await one.settle()
    await one.settle()
    names = ["transcript.failed", "transcript.completed", "transcript.updated", "transcript.updated"]
    assert one.types() == names


async def test_result_keys_keep_jobs_operations_and_sources_apart(one: World) -> None:
    """Only source, operation and job id together make two results one transcript."""
    one.sources["other"] = one.acme
    await one.keep(a_result(), a_result(job_id="2"), a_result(operation="summary"))
    await one.keep(a_result(), source="other")
    await one.settle()
    assert one.sql("SELECT count(*), count(DISTINCT id), max(version) FROM transcripts") == [(4, 4, 1)]


def test_the_digest_leaves_out_what_is_volatile() -> None:
    """Volatile members count neither by value nor by presence, and naming them counts as nothing."""
    same = [
        a_result(),
        a_result(metadata={"ticket": "T", "url": "other"}),
        a_result(metadata={"ticket": "T"}),
        a_result(metadata={"ticket": "T"}, volatile=frozenset()),
    ]
    assert len({result_digest(result) for result in same}) == 1
    assert result_digest(a_result(text="x")) != result_digest(a_result())


# Calls


async def test_each_result_without_a_call_has_its_own(one: World) -> None:
    """Nothing is joined that the provider does not join."""
    await one.say(a_result(), a_result(job_id="2"), a_result(job_id="3", call=Call(agent_id="ann")))
    assert one.sql("SELECT count(DISTINCT call_id) FROM transcripts") == [(3,)]
    assert one.sql("SELECT count(*), count(key) FROM calls") == [(3, 0)]


@pytest.mark.parametrize("together", [True, False])
async def test_results_of_one_call_are_joined_and_its_facts_add_up(one: World, together: bool) -> None:
    """By the provider's identifier; what one result knows of the call, the next one shows, and nothing is unlearnt."""
    facts = (Call(external_id="x", agent_id="ann"), Call(external_id="x", from_="+49", to="+48"), Call(external_id="x"))
    for number, call in enumerate(facts):
        await one.keep(a_result(job_id=str(number), call=call))
        if not together:
            await one.settle()
    await one.settle()
    ((call_id, doc),) = one.sql("SELECT id, doc FROM calls")
    assert one.sql("SELECT DISTINCT call_id FROM events") == [(call_id,)]
    assert one.sql("SELECT DISTINCT call_id FROM deliveries") == [(call_id,)]
    last = versions(one)[-1]["call"]
    assert json.loads(doc) == last
    assert (last["agent_id"], last["from"], last["to"], last["id"]) == ("ann", "+49", "+48", encode(CALL, call_id))


async def test_sources_do_not_share_calls(one: World) -> None:
    """The same identifier of two sources is two calls."""
    one.sources["other"] = one.acme
    await one.keep(a_result(call=Call(external_id="x")))
    await one.keep(a_result(call=Call(external_id="x")), source="other")
    await one.settle()
    assert one.sql("SELECT key FROM calls ORDER BY key") == [("acme:x",), ("other:x",)]


@pytest.mark.parametrize("together", [True, False])
async def test_a_call_that_gets_its_name_later_is_still_one_call(one: World, together: bool) -> None:
    """A failure names no call, the result that follows does: both, and the next job of that call, are one call."""
    said = (
        msgspec.structs.replace(FAILED, call=Call(agent_id="ann")),
        a_result(call=Call(external_id="x")),
        a_result(job_id="2", call=Call(external_id="x", contact_id="bob")),
    )
    for result in said:
        await one.keep(result)
        if not together:
            await one.settle()
    await one.settle()
    assert one.sql("SELECT key FROM calls") == [("acme:x",)]
    assert one.sql("SELECT count(DISTINCT call_id) FROM events") == [(1,)]
    last = versions(one)[-1]["call"]
    assert (last["agent_id"], last["contact_id"], last["external_id"]) == ("ann", "bob", "x")


@pytest.mark.parametrize("together", [True, False])
async def test_a_version_that_names_no_call_stays_with_its_call(one: World, together: bool) -> None:
    """An update keeps the call and shows what is known of it, also what other results told meanwhile."""
    said = (
        a_result(call=Call(external_id="x")),
        a_result(job_id="2", call=Call(external_id="x", agent_id="ann")),
        a_result(text="other"),
    )
    for result in said:
        await one.keep(result)
        if not together:
            await one.settle()
    await one.settle()
    assert one.sql("SELECT count(*) FROM calls") == [(1,)]
    assert one.sql("SELECT count(DISTINCT call_id) FROM events") == [(1,)]
    assert (versions(one)[-1]["call"]["agent_id"], versions(one)[-1]["call"]["external_id"]) == ("ann", "x")


async def test_facts_of_a_nameless_call_add_up(one: World) -> None:
    """Versions of one result tell of one call, though nothing names it."""
    await one.say(a_result(call=Call(agent_id="ann")))
    await one.say(a_result(text="other", call=Call(contact_id="bob")))
    ((doc,),) = one.sql("SELECT doc FROM calls")
    assert json.loads(doc) == versions(one)[-1]["call"]
    assert (json.loads(doc)["agent_id"], json.loads(doc)["contact_id"]) == ("ann", "bob")


async def test_a_version_that_names_another_call_moves_there(one: World) -> None:
    """The provider's last word on which call it was counts, for the transcript as for its event."""
    await one.say(a_result(call=Call(external_id="x")))
    await one.say(a_result(job_id="2", call=Call(external_id="y")))
    await one.say(a_result(text="other", call=Call(external_id="y")))
    await one.say(a_result(text="more", call=Call(external_id="z")))
    keys = dict(one.sql("SELECT id, key FROM calls"))
    assert [keys[row[0]] for row in one.sql("SELECT call_id FROM events ORDER BY seq")] == [
        "acme:x", "acme:y", "acme:y", "acme:z",
    ]  # fmt: skip
    assert keys[one.sql("SELECT call_id FROM transcripts WHERE job_id = '1'")[0][0]] == "acme:z"


async def test_a_call_that_the_store_lost_is_made_up_for(one: World) -> None:
    """A transcript whose call row is gone still takes a new version."""
    await one.say(a_result(call=Call(agent_id="ann")))
    with contextlib.closing(sqlite3.connect(one.path)) as connection, connection:
        connection.execute("DELETE FROM calls")
    await one.say(a_result(text="other", call=Call(contact_id="bob")))
    assert versions(one)[-1]["call"]["contact_id"] == "bob"


# What is no result


async def test_a_notice_is_passed_on(one: World) -> None:
    """Its event is about the receipt, carries the provider's own words, and belongs to the call that it names."""
    await one.say(a_result(call=Call(external_id="x")))
    call_id = one.sql("SELECT id FROM calls")[0][0]
    receipt = await one.say(
        Notice(name="ringing", body={"a": [1]}, call=Call(external_id="x")), Notice(name="test", body=None)
    )
    ringing, test = one.sql("SELECT id, type, time, subject, call_id, data FROM events ORDER BY seq")[1:]
    assert ringing[1:5] == ("acme.ringing", from_ms(NOON), encode(RECEIPT, receipt), call_id)
    assert json.loads(ringing[5]) == {"provider": "acme", "name": "ringing", "body": {"a": [1]}}
    assert test[4] is None
    assert became(one, receipt) == [{"event": encode(EVENT, ringing[0])}, {"event": encode(EVENT, test[0])}]
    assert one.sql("SELECT count(*) FROM calls") == [(1,)]


async def test_progress_makes_no_event(one: World) -> None:
    """The provider is still at it: the receipt is done, and nobody is told."""
    receipt = await one.say(Progress(job_id="1", status="running"))
    assert (one.types(), became(one, receipt)) == ([], [{"progress": "1", "status": "running"}])
    assert one.states() == [("normalized", None)]


async def test_an_empty_receipt_is_done(one: World) -> None:
    """A provider that has nothing to say of a callback is believed."""
    await one.say()
    assert (one.types(), one.states()) == ([], [("normalized", None)])


async def test_an_unreadable_receipt_is_told_to_people(one: World) -> None:
    """It is kept with its reason, and an `ops` event tells who, when, how large and why, without content."""
    receipt = await one.say(Unreadable("jobId is missing"), body=b"canary words")
    assert one.states() == [("unreadable", "jobId is missing")]
    ((kind, subject, source, data),) = one.sql("SELECT type, subject, source, data FROM events")
    assert (kind, subject, source) == ("ops.receipt_unreadable", encode(RECEIPT, receipt), "acme")
    assert json.loads(data) == {
        "id": encode(RECEIPT, receipt),
        "source": "acme",
        "provider": "acme",
        "received_at": from_ms(NOON),
        "size": 12,
        "reason": "jobId is missing",
    }


# Routes


async def test_events_go_to_the_sinks_that_take_them(tmp_path: Path) -> None:
    """Globs of types and of sources choose; a first delivery waits as long as its sink says."""
    routes = [
        Route(sink="all", events=("*",), sources=("*",)),
        Route(sink="results", events=("transcript.*", "analysis.*"), sources=("*",), first_wait=500),
        Route(sink="ops", events=("ops.*",), sources=("ac*",)),
        Route(sink="none", events=("*",), sources=("other",)),
    ]
    async with world(tmp_path, routes) as one:
        await one.say(a_result())
        await one.say(Unreadable("no"))
        rows = one.sql(
            "SELECT e.type, d.sink, d.next_at - ? FROM deliveries AS d JOIN events AS e ON e.id = d.event_id ORDER BY d.id",
            one.clock.ms,
        )
    assert rows == [
        ("transcript.completed", "all", 0),
        ("transcript.completed", "results", 500),
        ("ops.receipt_unreadable", "all", 0),
        ("ops.receipt_unreadable", "ops", 0),
    ]


@pytest.mark.parametrize(
    ("globs", "prefix", "takes"),
    [
        (("transcript.*",), "", True),
        (("transcript.*",), "com.example", True),
        (("com.example.transcript.*",), "com.example", True),
        (("com.other.*",), "com.example", False),
        (("Transcript.*",), "", False),
        (("transcript.complete?",), "", True),
        ((), "", False),
    ],
)
def test_globs_may_be_written_with_or_without_the_prefix(globs: tuple[str, ...], prefix: str, takes: bool) -> None:
    """`event_prefix` is the outside's; a sink's settings work either way."""
    route = Route(sink="any", events=globs, sources=("*",))
    assert route.takes("transcript.completed", "acme", prefix) is takes


def test_an_event_of_no_source_passes_every_source_filter() -> None:
    """A sink that takes one source's events still hears that another sink tripped, if it takes such events at all."""
    assert Route(sink="any", events=("ops.*",), sources=("acme",)).takes("ops.sink_tripped", "", "")
    assert not Route(sink="any", events=("transcript.*",), sources=("*",)).takes("ops.sink_tripped", "", "")


def test_an_event_about_a_sink_never_goes_to_that_sink() -> None:
    """Who is dead is not told that it is dead."""
    routes = [Route(sink=name, events=("*",), sources=("*",)) for name in ("a", "b", "c")]
    plan = Outbox(routes, Ids(lambda: 1.8e9, 1)).plan(0)
    plan.event("ops.sink_tripped", "", "b", data={}, never_to="b")
    assert [row[1] for row in plan.writes.deliveries] == ["a", "c"]
    assert len(plan.writes.events) == 1


def test_routes_are_remembered_within_bounds() -> None:
    """Names of events come from providers; however many there are, memory does not grow with them."""
    outbox = Outbox([Route(sink="a", events=("acme.1*",), sources=("*",))], Ids(lambda: 1.8e9, 1))
    for number in range(25_000):
        assert bool(outbox.routes(f"acme.{number}", "acme")) == str(number).startswith("1")
    assert len(outbox._chosen) <= 10_001


# What a plugin may return


@pytest.mark.parametrize(
    "said",
    [
        None,
        [Progress(job_id="1", status="x")],
        ("text",),
        (Progress(job_id=None, status="x"),),  # type: ignore[arg-type]
        (a_result(job_id="a\0b"),),
        (a_result(operation="o" * 1001),),
        (a_result(job_id=7),),
        (a_result(call=Call(external_id="x\0")),),
        (Notice(name="n\0", body=1),),
        (Notice(name="n", body=1, call=Call(external_id="x" * 1001)),),
    ],
)
def test_what_is_no_outcome_is_unreadable(said: Any) -> None:
    """Wrong types, and names that would not be found again, are told apart before anything is written."""
    with pytest.raises(Unreadable):
        checked(said)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=1000))
def test_any_other_name_is_a_name(name: str) -> None:
    """Every text but those with a NUL or without end may be an identifier."""
    said = (a_result(job_id=name, call=Call(external_id=name)), Notice(name=name, body=None))
    assert checked(said) == said


@pytest.mark.parametrize(
    "name", ['"', "\\", "\n", "\x01", "\x7f", "\u2028", "\ud7ff", "\U0010ffff", "$[0]", "%", "", " "]
)
async def test_strange_names_are_found_again(one: World, name: str) -> None:
    """Whatever stands in a job's or call's name, a copy of its result is one, and so is its call."""
    said = a_result(job_id=name, call=Call(external_id=name or None))
    await one.say(said)
    await one.say(said)
    await one.say(a_result(job_id=f"{name}2", call=Call(external_id=name or None)))
    assert one.types() == ["transcript.completed"] * 2
    assert one.sql("SELECT count(*) FROM calls") == [(1 if name else 2,)]


# only_lacks

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_everything_only_lacks_nothing_of_itself(value: Any) -> None:
    """A copy is no news."""
    assert only_lacks(value, value)


@given(st.dictionaries(st.text(), JSON), st.data())
def test_taking_members_away_makes_no_news(value: dict[str, Any], data: st.DataObject) -> None:
    """Whatever members are left out or emptied, at any depth, the rest says nothing new."""
    assert only_lacks(_thinned(value, data), value)


def _thinned(value: Any, data: st.DataObject) -> Any:
    if data.draw(st.integers(0, 4)) == 0:
        return data.draw(st.sampled_from([None, "", [], {}]))
    if isinstance(value, dict):
        return {name: _thinned(item, data) for name, item in value.items() if data.draw(st.booleans())}
    return value


@given(st.dictionaries(st.text(), JSON), st.text(), JSON.filter(lambda value: value not in (None, "", [], {})))
def test_a_new_member_is_news(value: dict[str, Any], name: str, more: Any) -> None:
    """What the old one did not have is no mere lack."""
    old = {key: item for key, item in value.items() if key != name}
    assert not only_lacks({**old, name: more}, old)


@given(JSON, JSON)
def test_two_that_only_lack_things_of_each_other_say_the_same(one: Any, other: Any) -> None:
    """If neither says anything that the other does not, they differ in empty things at most."""
    if only_lacks(one, other) and only_lacks(other, one):
        assert _full(one) == _full(other)


def _full(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: kept for name, item in value.items() if (kept := _full(item)) is not None} or None
    if isinstance(value, list):
        return [_full(item) for item in value] or None
    return None if value == "" else value
