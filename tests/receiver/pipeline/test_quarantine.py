"""Refusals on the hot path: counted always, told in few lines, kept within bounds, and never in the way."""

import asyncio
import contextlib
import gc
import json
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quarantine_fakes import NOW, SECRET, SPOKEN, TOKEN, Clock, gate, kept_in, refusal, request, writer

from receiver.contract.errors import StoreError
from receiver.contract.model import TokenDigest
from receiver.contract.proof import HmacScheme, Refused, SignatureSettings
from receiver.contract.settings import Secret
from receiver.pipeline import quarantine as module
from receiver.pipeline import verify
from receiver.pipeline.quarantine import UNKNOWN_SOURCE, QuarantineWriter
from receiver.pipeline.refusals import MOST_BYTES, MOST_WAITING
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import Quarantined
from receiver.store.sqlite.engine import SqliteEngine


class Lines:
    """Takes the place of a logger."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.written.append({"level": level, "event": event, **fields})

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event."""
        return [line for line in self.written if line["event"] == event]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Give what the writer logs."""
    written = Lines()
    monkeypatch.setattr(module, "log", written)
    return written


@pytest.fixture
def refused() -> Refused:
    """Give the refusal of a wrong token."""
    return refusal(gate(), request())


@contextlib.contextmanager
def running(writes: QuarantineWriter) -> Iterator[None]:
    """Run a writer beside a block."""
    task = asyncio.ensure_future(writes.run())
    try:
        yield
    finally:
        task.cancel()


async def all_of(quarantine: Quarantine) -> list[Quarantined]:
    """Return everything that is kept, newest first."""
    return [await quarantine.get(one.id) for one in await quarantine.newest(10_000)]


async def test_a_single_refusal_is_kept_and_told_at_once(tmp_path: Path, lines: Lines) -> None:
    """Well within a second it is on disk with its checks, and the line names it."""
    source = gate(secret=SECRET)
    one = request(headers=((b"x-sign", b"00" * 32),), token=TOKEN)
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, source)
        with running(writes):
            writes.note(one, refusal(source, one))
            async with asyncio.timeout(0.9):
                while not writes.kept:
                    await asyncio.sleep(0.01)
        (found,) = await all_of(quarantine)
    (line,) = lines.of("receipt.refused")
    assert found.request == _with_digest(one, TOKEN)
    assert found.reason == line["reason"] == "signature_mismatch"
    assert line["source"] == "one"
    assert line["count"] == 1
    assert line["detail"] == found.checks[0].detail
    assert line["quarantined"].startswith("qrn_")
    assert any("the token is right" in check.detail for check in found.checks), "explained beyond the refusal"


def _with_digest(one: Any, token: str) -> Any:
    return type(one)(
        source=one.source,
        token=TokenDigest.of(token),
        headers=one.headers,
        body=one.body,
        received_at=one.received_at,
    )


async def test_a_changed_body_is_explained(tmp_path: Path, lines: Lines) -> None:
    """What a proxy did to the body is found beside the hot path, and kept with the request."""
    source = gate(token=None, secret=SECRET)
    sign = HmacScheme(SignatureSettings(header="X-Sign"), (Secret(SECRET),)).sign(b'{"a":1}')
    one = request(b'{"a":1}\n', token=None, headers=((b"x-sign", sign.encode()),))
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, source)
        writes.note(one, refusal(source, one))
        await writes.close()
        ((found),) = await all_of(quarantine)
    assert any("without the trailing newline" in check.detail for check in found.checks)


async def test_a_flood_is_bounded_in_memory_and_quick(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """20,000 refusals: under 15 µs of processor time each, what waits within its bounds, one line, all of them counted."""
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        flood = [request(b"%d" % number + bytes(10_000)) for number in range(20_000)]
        gc.collect()
        start = time.process_time()
        for one in flood:
            writes.note(one, refused)
        took = (time.process_time() - start) / len(flood)
        assert len(writes._waiting) <= MOST_WAITING
        assert writes._waiting.bytes <= MOST_BYTES
        assert writes.counts() == {("one", "token_unknown"): 20_000}
        assert len(lines.of("receipt.refused")) == 1
        await writes.close()
        assert writes.kept + writes.passed_over == 20_000
        assert 0 < len(await quarantine.newest(10_000)) <= 1000
    assert took < 15e-6, f"{took * 1e6:.1f} µs"


async def test_memory_does_not_grow_with_a_flood_of_large_bodies(
    tmp_path: Path, lines: Lines, refused: Refused
) -> None:
    """1,000 bodies of a megabyte leave no more than the bound in memory."""
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        tracemalloc.start()
        try:
            for number in range(1000):
                writes.note(request(b"%d" % number + bytes(1_000_000)), refused)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < MOST_BYTES * 1.1


async def test_headers_count_with_what_they_take(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """Many tiny headers hold much memory; so few such requests wait."""
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        tracemalloc.start()
        try:
            for number in range(300):
                headers = tuple((b"a%d" % name, b"%d" % number) for name in range(1000))
                writes.note(request(headers=headers), refused)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < MOST_BYTES * 1.2


async def test_a_flood_of_one_kind_leaves_room_for_another(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """A wrong secret shows in the quarantine although strangers knock at another source all the time."""
    noisy, quiet = gate("noisy"), gate("quiet", secret=SECRET)
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, noisy, quiet)
        for number in range(5000):
            writes.note(request(bytes(5000) + b"%d" % number, source="noisy"), refused)
        genuine = request(b"genuine", source="quiet", token=TOKEN)
        for _ in range(100):
            writes.note(genuine, refusal(quiet, genuine))
        await writes.close()
        assert len(await quarantine.newest(10_000, source="quiet")) == 100
    assert [line["reason"] for line in lines.of("receipt.refused")][:2] == ["token_unknown", "signature_missing"]


async def test_a_body_larger_than_all_waiting_room_is_kept_when_alone(
    tmp_path: Path, lines: Lines, refused: Refused
) -> None:
    """One may be of any size that the quarantine takes; larger ones are counted."""
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        writes.note(request(bytes(MOST_BYTES + 1)), refused)
        writes.note(request(b"small"), refused)
        await writes.close()
        assert (writes.kept, writes.passed_over) == (1, 1)
        writes = writer(quarantine, max_bytes=1024)
        writes.note(request(bytes(1025)), refused)
        await writes.close()
        assert (writes.kept, writes.passed_over) == (0, 1)


async def test_lines_are_few_and_say_how_many(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """The first at once, then one line with the count after a while, for each kind by itself."""
    clock = Clock(0)
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, clock=clock)
        for _ in range(10):
            writes.note(request(), refused)
            writes.unknown()
        assert [line["count"] for line in lines.of("receipt.refused")] == [1, 1]
        await writes._flush()
        assert len(lines.of("receipt.refused")) == 2
        clock.now = 5.0
        await writes._flush()
        assert [line["count"] for line in lines.of("receipt.refused")] == [1, 1, 9, 9]
        await writes.close()
    assert len(lines.of("receipt.refused")) == 4
    assert {line["source"] for line in lines.of("receipt.refused")} == {"one", None}


async def test_counts_are_written_seldom_and_at_the_end(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """Not before ten seconds have passed, then all; what came later goes at the close."""
    clock = Clock(0)
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, clock=clock)
        writes.note(request(), refused)
        writes.unknown()
        await writes._flush()
        assert await quarantine.refusals() == []
        clock.now = 10.0
        await writes._flush()
        writes.note(request(), refused)
        await writes._flush()
        counted = {(one.source, one.reason): one.count for one in await quarantine.refusals()}
        assert counted == {("one", "token_unknown"): 1, ("", UNKNOWN_SOURCE): 1}
        await writes.close()
        assert sum(one.count for one in await quarantine.refusals()) == 3


async def test_run_writes_by_itself_and_is_idle_without_refusals(
    tmp_path: Path, lines: Lines, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bursts end up on disk and in the counts; after that nothing wakes it."""
    monkeypatch.setattr(module, "FLUSH_EVERY", 0.02)
    monkeypatch.setattr(module, "COUNTED_EVERY", 0.1)
    monkeypatch.setattr(module, "TOLD_EVERY", 0.1)
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, clock=time.monotonic)  # type: ignore[arg-type]
        with running(writes):
            for _ in range(2):
                for _ in range(5):
                    writes.note(request(), refused)
                await asyncio.sleep(0.3)
            assert not writes._noted.is_set()
            assert sum(one.count for one in await quarantine.refusals()) == 10
        assert writes.kept == 10
    assert sum(line["count"] for line in lines.of("receipt.refused")) == 10


async def test_what_is_too_old_goes_though_nothing_new_comes(
    tmp_path: Path, lines: Lines, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start and every few minutes, also where the quarantine is switched off by now."""
    monkeypatch.setattr(module, "TRIMMED_EVERY", 0.02)
    clock = Clock()
    async with kept_in(tmp_path, clock) as quarantine:
        writes = writer(quarantine)
        writes.note(request(), refused)
        await writes.close()
        with running(writer(quarantine, enabled=False)):
            await asyncio.sleep(0.1)
            assert len(await quarantine.newest(9)) == 1
            clock.now += 8 * 86_400
            await asyncio.sleep(0.1)
            assert await quarantine.newest(9) == []


@pytest.mark.parametrize("how", ["everywhere", "for the source"])
async def test_switched_off_it_counts_and_keeps_nothing(
    how: str, tmp_path: Path, lines: Lines, refused: Refused
) -> None:
    """Refusals are counted and told; with the whole quarantine off, no file is made."""
    off = how == "everywhere"
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, gate(quarantine=off), enabled=not off)
        with running(writes):
            writes.note(request(), refused)
            writes.unknown()
            await asyncio.sleep(0.05)
        await writes.close()
        assert writes.counts() == {("one", "token_unknown"): 1, ("", UNKNOWN_SOURCE): 1}
        assert quarantine.path.exists() is not off
        assert len(lines.of("receipt.refused")) == 2
        assert "quarantined" not in lines.written[0]
        assert await quarantine.newest(9) == []


async def test_without_refusals_no_file_is_made(tmp_path: Path) -> None:
    """Starting and stopping leaves nothing."""
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        with running(writes):
            await asyncio.sleep(0.01)
        await writes.close()
        assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_takes_nothing_is_told_once(
    tmp_path: Path, lines: Lines, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals go on being counted, one line says why nothing is kept, another when it is again."""
    async with kept_in(tmp_path) as quarantine:
        clock = Clock(0)
        writes = writer(quarantine, clock=clock)
        path, quarantine.path = quarantine.path, tmp_path / "none" / "file"
        for number in range(3):
            clock.now = 20.0 * number
            writes.note(request(), refused)
            await writes._flush()
        assert len(writes._waiting) == 0
        assert len(lines.of("quarantine.failed")) == 1
        quarantine.path = path
        writes.note(request(), refused)
        await writes.close()
        assert (writes.kept, writes.passed_over) == (1, 3)
        assert len(lines.of("quarantine.writes_again")) == 1
        assert [one.count for one in await quarantine.refusals()] == [4], "the counts waited for the disk"


async def test_a_full_disk_is_survived(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """SQLite says that the disk is full: counted, told, and gone on."""
    async with kept_in(tmp_path) as quarantine:
        await quarantine.newest(1)
        assert isinstance(quarantine._engine, SqliteEngine)
        await quarantine._engine._connection.execute_fetchall("PRAGMA max_page_count=20")
        writes = writer(quarantine)
        writes.note(request(bytes(200_000)), refused)
        await writes.close()
        assert (writes.kept, writes.passed_over) == (0, 1)
    assert len(lines.of("quarantine.failed")) == 1


async def test_a_broken_file_is_begun_anew(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """After a loss of power the file may be no database any more; the next refusals are kept again."""
    (tmp_path / "store.db-quarantine").write_bytes(b"garbage" * 1000)
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        for _ in range(2):
            writes.note(request(), refused)
            await writes._flush()
        assert (writes.kept, writes.passed_over) == (1, 1)
    assert len(lines.of("quarantine.begun_anew")) == 1


async def test_a_locked_file_at_the_start_is_no_reason_to_stop(
    tmp_path: Path, lines: Lines, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trimming that fails at the start is told, and the writer runs."""
    async with kept_in(tmp_path) as quarantine:
        await quarantine.newest(1)

        async def locked(_: Any) -> int:
            raise StoreError("locked") from sqlite3.OperationalError("locked")

        monkeypatch.setattr(quarantine, "trim", locked)
        writes = writer(quarantine)
        with running(writes):
            writes.note(request(), refused)
            await asyncio.sleep(0.1)
        assert writes.kept == 1
    assert len(lines.of("quarantine.failed")) == 1


async def test_a_stop_in_the_middle_loses_nothing(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """However far the writing came when `run` is cancelled, the close writes the rest, once."""
    for turns in range(12):
        folder = tmp_path / str(turns)
        folder.mkdir()
        async with kept_in(folder) as quarantine:
            writes = writer(quarantine)
            with running(writes):
                for _ in range(20):
                    writes.note(request(), refused)
                for _ in range(turns):
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            await writes.close()
            assert len(await quarantine.newest(99)) == 20


async def test_noting_never_raises(tmp_path: Path, lines: Lines) -> None:
    """A refusal without checks, of a source that is not there, or that is none at all."""
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine)
        writes.note(request(source="gone"), refusal(gate(), request()))
        writes.note(request(token=None), Refused(reason=module.UNKNOWN_SOURCE))  # type: ignore[arg-type]
        writes.note(None, None)  # type: ignore[arg-type]
        writes.note(request(token="\udcff"), refusal(gate(), request(token="\udcff")))
        await writes.close()
        assert writes.kept == 2
    assert len(lines.of("refusal.not_noted")) == 1


async def test_explaining_is_bounded(
    tmp_path: Path, lines: Lines, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few a flush, none for large bodies, and a slow one uses up the time of those to come."""
    source = gate()
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, source)
        writes.note(request(bytes(module.EXPLAINED_BYTES + 1)), refused)
        await writes._flush()
        assert source.explained == 0
        for _ in range(100):
            writes.note(request(), refused)
        await writes._flush()
        assert source.explained == module.EXPLAINED
        writes._spent = 5 * module.EXPLAINING
        for _ in range(4):
            writes.note(request(), refused)
            await writes._flush()
        assert source.explained == module.EXPLAINED
        await asyncio.sleep(0)
        writes.note(request(), refused)
        await writes._flush()
        assert source.explained == module.EXPLAINED + 1


async def test_a_provider_that_cannot_explain_is_said_so(
    tmp_path: Path, lines: Lines, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plugin raises becomes a check that names its type alone, and the request is kept."""
    monkeypatch.setattr(verify, "log", lines)
    source = gate()
    source.raising = True
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, source)
        writes.note(request(), refused)
        await writes.close()
        (found,) = await all_of(quarantine)
    assert found.checks[-1].detail == "the provider's code raised RuntimeError"
    assert len(lines.of("explain.raised")) == 1


async def test_no_line_holds_a_token_a_secret_or_what_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Canaries in settings, token, headers and body appear in no log line, and no token in the file."""
    source = gate(secret=SECRET)
    headers = ((b"authorization", b"canary-header"), (b"x-sign", b"canary-signature"))
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, source)
        for token in ("canary-presented-token", TOKEN, None):
            one = request(token=token, headers=headers)
            writes.note(one, refusal(source, one))
            source.raising = True
        await writes.close()
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    written = capsys.readouterr().err
    assert {json.loads(line)["event"] for line in written.splitlines()} == {"receipt.refused", "explain.raised"}
    assert "canary" not in written
    assert b"canary-presented-token" not in stored
    assert TOKEN.encode() not in stored
    assert SPOKEN.encode() in stored


async def test_received_at_is_the_time_of_explaining(tmp_path: Path, lines: Lines, refused: Refused) -> None:
    """A request is judged as at the time when it came, however late it is written."""
    seen: list[float] = []
    source = gate()
    source.explain = lambda _, now: (seen.append(now), ())[1]  # type: ignore[assignment, method-assign, func-returns-value]
    async with kept_in(tmp_path) as quarantine:
        writes = writer(quarantine, source)
        writes.note(request(received_at=int(NOW * 1000) - 5000), refused)
        await writes.close()
    assert seen == [NOW - 5]
