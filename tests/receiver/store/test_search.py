"""Search: every filter, both orders, pages that go on, snippets with places, and plans that do not read everything."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from both_engines import ENGINES, kept_on
from kept import normalized, result

from receiver.contract.errors import UsageError
from receiver.contract.model import Result, Segment, Speaker
from receiver.pipeline.indexing import Indexing
from receiver.pipeline.operating.erase import Erase
from receiver.store import lists as lists_module
from receiver.store import search as search_module
from receiver.store.ids import TRANSCRIPT, encode
from receiver.store.lists import Lists
from receiver.store.search import found_as_dict
from receiver.store.snippet import BEGIN, END, WIDTH, ranked, snippet
from receiver.store.store import Row, Store
from receiver.testing.store import DAY_MS, NOON, Clock


def talk(job: str, *lines: tuple[str, str], call: str | None = None, **changes: Any) -> Result:
    """Return a transcript of turns: who (A the agent Zoë, B the customer) and what."""
    speakers = (Speaker(id="A", label="Zoë", role="agent"), Speaker(id="B", role="customer"))
    segments = tuple(
        Segment(start=float(place), end=place + 1.0, speaker=who, text=text, sentiment="Calm" if who == "B" else None)
        for place, (who, text) in enumerate(lines)
    )
    made: Result = result(job, call, speakers=speakers, segments=segments, **changes)
    return made


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """Give a store with some talk, all of it indexed."""
    async with kept_on(request.param, tmp_path, clock) as opened:
        await normalized(opened, [talk("old", ("A", "the refund was sent"), ("B", "no refund came"), call="CA1")])
        clock.ms += 3 * DAY_MS
        await normalized(opened, [talk("new", ("B", "about the Café refunds"), ("A", "a new bill"), operation="other")])
        await normalized(
            opened, [talk("else", ("A", "Refund it"), status="failed")], source="globex", provider="globex"
        )
        await normalized(opened, [result("plain", text="only one text with a refund")])
        while await Indexing(opened).step():
            pass
        yield opened


async def jobs(store: Store, **given: str) -> list[tuple[str, int | None]]:
    """Return the job and the segment of what is found."""
    found = await Lists(store.engine).search.segments(given)
    return [(one["job_id"], one["segment"]) for one in found.items]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"q": "refund"}, [("plain", None), ("else", 1), ("old", 2), ("old", 1)]),
        ({"q": "refund*"}, [("plain", None), ("else", 1), ("new", 1), ("old", 2), ("old", 1)]),
        ({"q": "re*", "limit": "1"}, [("plain", None)]),
        ({"q": "cafe"}, [("new", 1)]),
        ({"q": '"refund was"'}, [("old", 1)]),
        ({"q": '"was refund"'}, []),
        ({"q": "refund -came -text -it"}, [("old", 1)]),
        ({"q": "bill OR came"}, [("new", 2), ("old", 2)]),
        ({"q": "nowhere"}, []),
        ({"q": "refund", "source": "globex"}, [("else", 1)]),
        ({"q": "refund", "provider": "globex"}, [("else", 1)]),
        ({"q": "refund", "source": "nobody"}, []),
        ({"q": "the", "operation": "other"}, [("new", 1)]),
        ({"q": "refund", "status": "failed"}, [("else", 1)]),
        ({"q": "refund", "speaker": "zoë"}, [("else", 1), ("old", 1)]),
        ({"q": "refund", "speaker": "b"}, [("old", 2)]),
        ({"q": "refund", "role": "customer"}, [("old", 2)]),
        ({"q": "refund*", "sentiment": "calm"}, [("new", 1), ("old", 2)]),
        ({"q": "refund", "since": "2024-10-05"}, [("plain", None), ("else", 1)]),
        ({"q": "refund", "until": "2024-10-05"}, [("old", 2), ("old", 1)]),
        ({"q": "refund", "until": "2024-10-04T12:00:00Z"}, []),
        ({"q": "refund", "until": "2001-01-01"}, []),
        ({"q": "refund", "since": "2024-10-04T12:00:00Z", "until": "2024-10-04T12:00:01Z"}, [("old", 2), ("old", 1)]),
    ],
)
async def test_words_and_filters(store: Store, given: dict[str, str], expected: list[tuple[str, int | None]]) -> None:
    """Newest first, and only what fits everything that is asked."""
    assert NOON == 1_728_043_200_000
    assert await jobs(store, **given) == expected


async def test_a_call_is_searched(store: Store) -> None:
    """By our id for it, or by the one that it has at its source; of one that nobody knows nothing is found."""
    page = await Lists(store.engine).transcripts({"job_id": "old"}, whole=False)
    call = page.items[0]["call_id"]
    assert await jobs(store, q="refund", call=call) == [("old", 2), ("old", 1)]
    name = (await Lists(store.engine).call(call))["external_id"]
    assert await jobs(store, q="refund", call=f"acme:{name}") == [("old", 2), ("old", 1)]
    assert await jobs(store, q="refund", call="nobody") == []


async def test_what_is_found_says_where(store: Store) -> None:
    """The segment's number, its time in the recording, who said it, and the words in the snippet."""
    (one,) = (await Lists(store.engine).search.segments({"q": "came"})).items
    told = {name: one[name] for name in ("segment", "start", "end", "speaker", "label", "role", "sentiment")}
    assert told == {
        "segment": 2, "start": 1.0, "end": 2.0, "speaker": "B", "label": None, "role": "customer", "sentiment": "Calm",
    }  # fmt: skip
    assert [one["snippet"][start:end] for start, end in one["marks"]] == ["came"]
    assert one["transcript_id"].startswith("trn_")
    assert one["received_at"] == "2024-10-04T12:00:00.000Z"


async def test_pages_go_on(store: Store) -> None:
    """Each match comes once, whatever is added meanwhile."""
    search = Lists(store.engine).search
    seen: list[tuple[str, Any]] = []
    page = await search.segments({"q": "refund", "limit": "1"})
    while True:
        seen += [(one["job_id"], one["segment"]) for one in page.items]
        await normalized(store, [talk(f"more-{len(seen)}", ("A", "refund"))])
        await Indexing(store).step()
        if page.next is None:
            break
        page = await search.segments({"q": "refund", "limit": "1", "cursor": page.next})
    assert seen == [("plain", None), ("else", 1), ("old", 2), ("old", 1)]


async def test_the_best_come_first_and_say_of_how_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short texts and rare words count more; beyond the newest matches nothing is ranked, and that is said."""
    search = Lists(store.engine).search
    found = await search.segments({"q": "refund", "order": "best"})
    assert found.items[0]["job_id"] == "else"
    assert found_as_dict(found) == {"items": found.items, "next": None, "ranked": 4, "all_ranked": True}
    assert "ranked" not in found_as_dict(await search.segments({"q": "refund"}))
    rare = await search.segments({"q": "refund OR came", "order": "best", "limit": "1"})
    assert rare.items[0]["snippet"] == "no refund came"
    monkeypatch.setattr(search_module, "RANKED", 2)
    newest = await search.segments({"q": "refund", "order": "best"})
    assert ([one["job_id"] for one in newest.items], newest.ranked, newest.all_ranked) == (["else", "plain"], 2, False)
    nothing = await search.segments({"q": "refund", "order": "best", "until": "2001-01-01"})
    assert (nothing.items, nothing.ranked, nothing.all_ranked) == ([], 0, True)


async def test_transcripts_by_their_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of transcripts narrows down to those in which something was said, each once, page by page."""
    lists = Lists(store.engine)

    async def found(**given: str) -> list[str]:
        seen, page = [], await lists.transcripts(given, whole=False)
        seen += [one["job_id"] for one in page.items]
        while page.next:
            page = await lists.transcripts({**given, "cursor": page.next}, whole=False)
            seen += [one["job_id"] for one in page.items]
        return seen

    assert await found(q="refund") == ["plain", "else", "old"]
    assert await found(q="refund", limit="1") == ["plain", "else", "old"]
    assert await found(speaker="zoë") == ["else", "new", "old"]
    assert await found(q="refund", job_id="old") == ["old"]
    assert await found(q="refund", until="2001-01-01") == []
    monkeypatch.setattr(search_module, "RANKED", 1)
    assert await found(q="refund") == ["plain", "else", "old"]
    monkeypatch.setattr(lists_module, "PAGE_BYTES", 1)
    page = await lists.transcripts({"q": "refund"})
    assert (len(page.items), page.next is not None) == (1, True)


@pytest.mark.parametrize("change", ["again", "gone"])
async def test_what_changes_between_two_pages_neither_ends_nor_repeats_them(store: Store, change: str) -> None:
    """The transcript at the end of a page is indexed anew, or erased, before its place is asked for."""
    search = Lists(store.engine).search
    found, more = await search.transcripts({"q": "refund", "limit": "2"})
    jobs_of = {row[0]: row[4] for row in await store.engine.rows("transcripts_by_id", {"ids": [*found]})}
    assert ([jobs_of[number] for number in found], more) == (["plain", "else"], True)
    last = [*found][-1]
    if change == "again":
        said = talk("else", ("A", "Refund it now"), status="failed")
        await normalized(store, [said], source="globex", provider="globex")
        while await Indexing(store).step():
            pass
    else:
        verb = Erase(store)
        await verb.erase(await verb.find(encode(TRANSCRIPT, last)))
    cursor = await search.after(last, found[last])
    page = await Lists(store.engine).transcripts({"q": "refund", "cursor": cursor}, whole=False)
    assert [one["job_id"] for one in page.items] == ["old"]


@pytest.mark.parametrize("given", [{}, {"q": "refund"}])
async def test_what_goes_while_a_page_is_read_is_left_out(
    store: Store, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found, and erased before its words are read: the page has the others, and no hole that breaks exports."""
    lists, read = Lists(store.engine), store.engine.rows

    async def rows(name: str, *args: Any) -> list[Row]:
        if name == "transcript_docs":
            verb = Erase(store)
            (newest, *_) = args[0]["ids"]
            await verb.erase(await verb.find(encode(TRANSCRIPT, newest)))
        return await read(name, *args)

    before = (await lists.transcripts(given, whole=False)).items
    monkeypatch.setattr(store.engine, "rows", rows)
    page = await lists.transcripts(given)
    assert [msgspec.json.decode(one)["id"] for one in page.items] == [one["id"] for one in before[1:]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "q: expected"),
        ({"q": '"'}, "q: a quotation mark"),
        ({"q": "a", "role": "boss"}, "role: expected one of agent, customer"),
        ({"q": "a", "status": "odd"}, "status: expected one of"),
        ({"q": "a", "order": "odd"}, "order: expected one of newest, best"),
        ({"q": "a", "call": "trn_0000000000000"}, "call: "),
        ({"q": "a", "since": "now"}, "since: expected a time"),
        ({"q": "a", "odd": "1"}, "'odd' is no parameter of search"),
        ({"q": "a", "cursor": "x"}, "cursor: "),
        ({"q": "a", "order": "best", "cursor": "x"}, "cursor: the best"),
    ],
)
async def test_wrong_parameters_are_told(store: Store, given: dict[str, str], told: str) -> None:
    """Each by its name."""
    with pytest.raises(UsageError, match=f"^{re.escape(told)}"):
        await Lists(store.engine).search.segments(given)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_the_index_is_asked_first(store: Store) -> None:
    """The plan walks the words, newest first, and looks rows up by their keys; nothing is sorted or scanned."""
    text = store.engine._sql["search"].replace("{where}", "1")  # type: ignore[attr-defined]
    params = {"match": "text : a", "before": 9, "low": 0, "limit": 5}
    rows = await store.engine._connection.execute_fetchall(f"EXPLAIN QUERY PLAN {text}", params)  # type: ignore[attr-defined]
    steps = [row[3] for row in rows]
    assert steps[0].startswith("SCAN words VIRTUAL TABLE")
    assert all(step.startswith("SEARCH") for step in steps[1:])


def marked(text: str, word: str) -> str:
    """Return a text as engines mark a word in it."""
    return text.replace(word, f"{BEGIN}{word}{END}")


def test_snippets_are_cut_around_the_words() -> None:
    """At blanks, with the places of the words in what is left."""
    filler = " ".join(["filler"] * 60)
    for text in (f"word {filler}", f"{filler} word", f"{filler} word {filler}", f"{filler} word word"):
        shown, marks = snippet(marked(text, "word"))
        assert len(shown) <= WIDTH + 10
        assert marks
        assert {shown[start:end] for start, end in marks} == {"word"}
        assert set(shown.split()) <= {"word", "filler", "…"}
        assert shown.startswith("… ") == (not text.startswith("word"))
    assert snippet("nothing marked") == ("nothing marked", [])
    shown, marks = snippet(marked("x" * 300 + "word" + "y" * 300, "word"))
    assert [shown[start:end] for start, end in marks] == ["word"]


def test_ranking_needs_something_to_rank() -> None:
    """Nothing is in order, and equal texts stay as they came."""
    assert ranked([]) == []
    assert ranked([marked("a word", "word")] * 3) == [0, 1, 2]
