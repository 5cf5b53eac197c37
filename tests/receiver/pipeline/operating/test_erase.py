"""Erase: everything that stems from a call, a transcript or a receipt, nothing else, and in no byte of the files."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from both_engines import ENGINES, kept_on
from kept import normalized, notice, result

from receiver.contract.errors import Gone, NotFound, UsageError
from receiver.contract.model import Call, ReceiptState
from receiver.pipeline.indexing import Indexing
from receiver.pipeline.operating.erase import Erase, Erased, counted
from receiver.pipeline.uploaded import place
from receiver.store.ids import JOB, RECEIPT, encode
from receiver.store.job_lists import JobLists
from receiver.store.jobs import JobDoc, Jobs, JobState, NewJob
from receiver.store.lists import Lists
from receiver.store.store import Store
from receiver.testing.store import Clock, a_receipt


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Give a store with a call of two results, one of them in two versions with a copy, a notice, and another call."""
    async with kept_on(request.param, tmp_path, Clock()) as opened:
        await normalized(opened, [result("one", "CA1", text="canaryword first")], body=b"canaryword body")
        await normalized(opened, [result("one", "CA1", text="canaryword second")], body=b"canaryword again")
        await normalized(opened, [result("one", "CA1", text="canaryword second")], body=b"canaryword copy")
        await normalized(opened, [result("two", "CA1", text="canaryword too")])
        await normalized(opened, [result("other", "CA2", text="stays here")], body=b"stays")
        await Indexing(opened).step()
        yield opened


async def ids(store: Store) -> dict[str, str]:
    """Return ids of transcripts by job, and of the calls."""
    lists = Lists(store.engine)
    made = {one["job_id"]: one["id"] for one in (await lists.transcripts({}, whole=False)).items}
    return made | {one["external_id"]: one["id"] for one in (await lists.calls({})).items}


async def jobs(store: Store) -> set[str]:
    """Return the jobs of which something is left."""
    return {one["job_id"] for one in (await Lists(store.engine).transcripts({}, whole=False)).items}


async def erased(store: Store, public_id: str) -> Erased:
    """Erase something."""
    verb = Erase(store)
    return await verb.erase(await verb.find(public_id))


async def test_a_call_goes_whole(tmp_path: Path, store: Store) -> None:
    """Its results, versions, words, events, deliveries and callbacks; a purge later they stand in no file."""
    known = await ids(store)
    assert await erased(store, known["CA1"]) == Erased(transcripts=2, receipts=4, calls=1, events=3)
    lists = Lists(store.engine)
    assert await jobs(store) == {"other"}
    assert [one["external_id"] for one in (await lists.calls({})).items] == ["CA2"]
    assert len((await lists.events({})).items) == 1
    assert len((await lists.deliveries({})).items) == 2
    assert (await lists.search.segments({"q": "canaryword"})).items == []
    assert [one["job_id"] for one in (await lists.search.segments({"q": "stays"})).items] == ["other"]
    with pytest.raises(Gone):
        await lists.transcript(known["one"])
    purging = Indexing(store)
    while await purging.purge():
        pass
    for file in tmp_path.glob("store.db*"):
        assert b"anaryword" not in file.read_bytes(), file.name


async def test_a_transcript_goes_without_its_call(store: Store) -> None:
    """Another result of the call stays, and so does the call; the last one takes the call with it."""
    known = await ids(store)
    assert await erased(store, known["one"]) == Erased(transcripts=1, receipts=3, calls=0, events=2)
    assert await jobs(store) == {"two", "other"}
    assert await erased(store, known["two"]) == Erased(transcripts=1, receipts=1, calls=1, events=1)
    assert await jobs(store) == {"other"}


async def test_a_receipt_goes_with_what_it_became(store: Store) -> None:
    """The transcript that it says, or the event of a notice; a redelivery of it stays one."""
    await normalized(store, [msgspec.structs.replace(notice("rang"), call=Call(external_id="CA9"))])
    newest, *_ = (await Lists(store.engine).receipts({})).items
    assert await erased(store, newest["id"]) == Erased(transcripts=0, receipts=1, calls=0, events=1)
    receipt = a_receipt(store, b"unread", state=ReceiptState.UNREADABLE, body=b"canary")
    await store.keep([receipt])
    assert await erased(store, encode(RECEIPT, receipt.id)) == Erased(transcripts=0, receipts=1, calls=0, events=0)
    (again,) = await store.keep([a_receipt(store, b"unread")])
    assert (again.id, again.duplicate) == (receipt.id, True)
    with pytest.raises(Gone):
        await Lists(store.engine).body(encode(RECEIPT, receipt.id))


async def test_what_is_worked_on_waits(store: Store) -> None:
    """A receipt that is not normalized is not erased under the worker's hands; nothing else is either."""
    receipt = a_receipt(store, b"new")
    await store.keep([receipt])
    with pytest.raises(UsageError, match="being worked on"):
        await erased(store, encode(RECEIPT, receipt.id))


@pytest.mark.parametrize(
    "public_id", ["trn_0000000000009", "call_000000000000z", "rcp_0000000000009", "evt_0000000000009", "x"]
)
async def test_what_there_is_not(store: Store, public_id: str) -> None:
    """Nothing is found."""
    with pytest.raises(NotFound):
        await Erase(store).find(public_id)


async def test_looking_changes_nothing(store: Store) -> None:
    """What would go is counted."""
    meant = await Erase(store).find((await ids(store))["CA1"])
    assert counted(meant).transcripts == 2
    assert await jobs(store) == {"one", "two", "other"}


async def a_job(store: Store, folder: Path, state: JobState, **changes: Any) -> int:
    """Write down a job whose recording was sent to us; return its id."""
    number = store.ids.next()
    made = NewJob(
        id=number, source="acme", provider="acme", operation="transcription", state=state, owner=0, doc=JobDoc()
    )
    await Jobs(store).add(msgspec.structs.replace(made, **changes))
    folder.mkdir(exist_ok=True)
    place(folder, number).write_bytes(b"RIFF")
    return number


async def test_jobs_and_what_was_sent_for_them_go_along(store: Store, tmp_path: Path) -> None:
    """The recording and the job of a call, one that failed too: the patient's voice stayed as long as the source keeps jobs."""
    folder = tmp_path / "recordings"
    one, two, other = [await a_job(store, folder, JobState.COMPLETED, job_id=name) for name in ("one", "two", "other")]
    failed = await a_job(store, folder, JobState.FAILED, call_key="acme:CA1")
    waits = await a_job(store, folder, JobState.SUBMITTED, call_key="acme:CA1", job_id="three")
    known = await ids(store)
    verb = Erase(store, folder)
    assert (await verb.erase(await verb.find(known["one"]))).jobs == 1
    assert sorted(folder.iterdir()) == [place(folder, number) for number in (two, other, failed, waits)]
    assert (await verb.erase(await verb.find(known["CA1"]))).jobs == 2
    assert sorted(folder.iterdir()) == [place(folder, number) for number in (other, waits)]
    left = await Jobs(store).by_id([one, two, other, failed, waits])
    assert [job.id for job in left] == [other, waits]
    with pytest.raises(Gone):
        await JobLists(store).job(encode(JOB, one))
