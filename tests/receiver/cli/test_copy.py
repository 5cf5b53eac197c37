"""`hookscribe copy`: a grown embedded store moves into a database, whole, and only into an empty one."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from kept import kept_in, normalized, notice, result
from postgres_server import database, migrated, needs_postgres

from receiver import cli
from receiver.contract.asking import Limit
from receiver.contract.model import DeliveryState
from receiver.contract.settings import Secret
from receiver.pipeline.indexing import Indexing
from receiver.store import buckets
from receiver.store.jobs import JobDoc, Jobs, JobState, NewJob
from receiver.store.lists import Lists
from receiver.store.memory import StoredMemory
from receiver.store.opening import open_store, postgres_engine
from receiver.store.owners import Leases
from receiver.store.postgres import copying
from receiver.store.sealed import Sealed
from receiver.store.store import Store
from receiver.testing.store import MIB, NOON, Clock, a_receipt, a_tried

pytestmark = needs_postgres
MANY = 60
SEAL_KEY = Secret("canary-seal-key-0123456789")


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty database."""
    with database() as address:
        yield address


@pytest.fixture
async def grown(tmp_path: Path, url: str) -> Path:
    """Give an embedded store with everything in it, and migrate the database."""
    path = tmp_path / "store.db"
    async with kept_in(path, Clock()) as store:
        await normalized(
            store, [result(f"job{n}", call=f"call{n % 7}", text="hello") for n in range(MANY)] + [notice("acme.said")]
        )
        await store.keep([a_receipt(store, b"waits", body=bytes(range(256)))])
        sent = await store.due("archive", 9, in_order=False, max_bytes=MIB)
        await store.tried([a_tried(sent[0].id, DeliveryState.DELIVERED), a_tried(sent[1].id, DeliveryState.DEAD)])
        await asked(store)
    engine = postgres_engine(url)
    await engine.migrate()
    await engine.close()
    return path


async def asked(store: Store) -> None:
    """Ask a provider for something: a job, a limit that is used up, a secret, a subscription; and let a sink remember."""
    job = NewJob(
        id=store.ids.next(), source="acme", provider="acme", operation="transcription", state=JobState.SUBMITTING,
        owner=store.start, doc=JobDoc(name="a.wav", metadata={"odd": "\0"}), recording="ab", token=b"t", call_key=":C-1",
    )  # fmt: skip
    await Jobs(store).add(job)
    assert await buckets.take(store, "acme", "jobs", Limit(count=1, seconds=3600)) == 0
    await Sealed(store, lambda: SEAL_KEY).put("acme", "proof", Secret("canary-proof"))
    row = {"source": "acme", "id": "s1", "address": "https://a/hooks/x", "lifetime": 9, "expires_at": None}
    await store.engine.write("put_subscription", row)
    await StoredMemory(store, "team").put("thread", "1")


def copy(path: Path, url: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli.hookscribe, ["copy", "--from", f"sqlite:{path}", "--to", url, "--json"])


async def shown(store: Store) -> list[object]:
    """Return what people see of a store."""
    lists = Lists(store.engine)
    given = {"limit": "200"}
    pages = [
        await lists.receipts(given),
        await lists.transcripts(given),
        await lists.calls(given),
        await lists.events(given),
    ]
    deliveries = [
        {**one, "state": str(one["state"]).replace("in_flight", "pending")}
        for one in (await lists.deliveries(given)).items
    ]
    return [[bytes(one) if not isinstance(one, dict) else one for one in page.items] for page in pages] + [
        [{**one, "next_at": None} for one in deliveries]
    ]


async def test_everything_is_there_afterwards(grown: Path, url: str) -> None:
    """The lists of both are the same, ids included; and what waits goes on."""
    done = copy(grown, url)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["receipts"] == MANY + 2
    async with kept_in(grown, Clock()) as embedded, migrated(url, Clock(NOON + 60_000)) as shared:
        assert await shown(shared) == await shown(embedded)
        assert shared.start > 1
        _, (waits,) = await shared.claim(5, max_bytes=MIB)
        assert waits.body == bytes(range(256))
        assert len(await shared.due("archive", 100, in_order=False, max_bytes=MIB)) == MANY + 1 - 2
        before = (await shared.events_after(0, 1000))[-1][0]
        await normalized(shared, [notice("acme.later")])
        assert (await shared.events_after(before, 10))[0][0] > before


async def test_a_number_of_an_erased_event_is_not_given_again(grown: Path, url: str) -> None:
    """Who has read up to the newest event, which is gone since, misses none of those that are written after the move."""
    async with kept_in(grown, Clock()) as embedded:
        *_, newest = await embedded.events_after(0, 1000)
        async with embedded.engine.transaction() as tx:
            await tx.run("drop_events", {"ids": [newest[1]]})
    assert copy(grown, url).exit_code == 0
    async with migrated(url, Clock(NOON + 60_000)) as shared:
        assert await shared.events_after(newest[0] - 1, 10) == []
        await normalized(shared, [notice("acme.later")])
        assert [row[3] for row in await shared.events_after(newest[0], 10)] == ["acme.acme.later"]


async def test_every_table_and_column_is_copied_or_named(tmp_path: Path) -> None:
    """What stays behind belongs to a process, is made anew, or is the number behind which events go on."""
    async with kept_in(tmp_path / "store.db", Clock()):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        names = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'words%' AND name NOT LIKE 'sqlite%'"
        )
        tables = {name: _columns(connection, name) for (name,) in connection.execute(names).fetchall()}
    of_processes, made_anew = {"workers", "claims"}, {"segments", "segment_days", "unindexed", "removed_words"}
    copied = {table.name: set(table.types) for table in copying.TABLES}
    assert tables.keys() - copied.keys() == of_processes | made_anew | {"event_numbers"}
    assert {name: tables[name] - copied[name] for name in copied if tables[name] != copied[name]} == {
        "deliveries": {"worker"}
    }


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall()}


async def test_what_was_asked_for_is_there_and_words_are_found(grown: Path, url: str) -> None:
    """A job is found by its recording, what is used up stays so, secrets open; the index is made anew, whatever was in it."""
    assert copy(grown, url).exit_code == 0
    async with migrated(url, Clock()) as store:
        (job,) = await Jobs(store).listed(["source = :source"], {"source": "acme"}, 5)
        assert (job.recording, job.doc.metadata, job.state) == ("ab", {"odd": "\0"}, JobState.SUBMITTING)
        assert not await Leases(store.engine).alive(job.owner)
        assert await buckets.take(store, "acme", "jobs", Limit(count=1, seconds=3600)) > 0
        assert await Sealed(store, lambda: SEAL_KEY).of("acme") == {"proof": Secret("canary-proof")}
        rows = await store.engine.rows("known_subscriptions", {"source": "acme"})
        assert rows == [("s1", "https://a/hooks/x", 9, None, 0)]
        assert await StoredMemory(store, "team").get("thread") == "1"
        while await Indexing(store).step():
            pass
        found = await Lists(store.engine).search.segments({"q": "hello", "limit": "1000"})
        assert len(found.items) == MANY


def test_a_copy_that_was_stopped_goes_on(grown: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is not copied again; until it is whole, nobody can work on it."""
    monkeypatch.setattr(copying, "_BYTES", 2000)
    told: list[str] = []

    def stops(table: str, done: int, total: int) -> None:
        told.append(table)
        if len(told) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.copy_store(grown, url, stops)
    served = grown.with_name("hookscribe.toml")
    served.write_text(f'store = "{url}"\nadmin_token = "some-admin-token-7Qm2"\n')
    refused = CliRunner().invoke(cli.hookscribe, ["--config", str(served), "receipts", "list"])
    assert "is being filled by `hookscribe copy`" in refused.output
    assert copy(grown, url).exit_code == 0
    assert copy(grown, url).exit_code == 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT id) FROM receipts").fetchone() == (
            MANY + 2,
            MANY + 2,
        )


def test_what_was_changed_is_found(grown: Path, url: str) -> None:
    """One byte of one body is enough."""
    assert copy(grown, url).exit_code == 0
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE receipts SET body = '{ }' WHERE id = (SELECT min(id) FROM receipts)")
    assert "receipts: 62 rows are there of 62, or they differ" in copy(grown, url).output


async def test_only_an_empty_database_is_filled(grown: Path, url: str, tmp_path: Path) -> None:
    """Neither one that somebody works on, nor one with another store in it, nor one without a schema."""
    with database() as bare:
        assert "run `hookscribe migrate` on it first" in copy(grown, bare).output
    async with kept_in(tmp_path / "other.db", Clock(NOON + 5)) as other:
        await normalized(other, [notice("acme.said")])
    assert copy(tmp_path / "other.db", url).exit_code == 0
    assert "a copy of another store" in copy(grown, url).output
    async with migrated(url, Clock()):
        assert "somebody has worked on this copy since" in copy(tmp_path / "other.db", url).output


async def test_a_store_in_use_is_not_copied(grown: Path, url: str) -> None:
    """Nor one of another release, nor one that is not there."""
    store = await open_store(f"sqlite:{grown}", Clock())
    assert "is in use" in copy(grown, url).output
    await store.engine.close()
    with contextlib.closing(sqlite3.connect(grown)) as connection:
        connection.execute("PRAGMA user_version=1")
    assert "run `hookscribe migrate` on it" in copy(grown, url).output
    assert "there is no store" in copy(grown.with_name("none.db"), url).output
