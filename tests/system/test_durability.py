"""A 200 means that it is on disk: seen from outside, in the order of the system calls."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from system.harness import Process, Site, serving
from system.sender import Acknowledged, Factory, Sender, load

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("strace") is None and not os.environ.get("CI"),
        reason="strace is not installed: apt-get install it",
    ),
]

CALLS = "write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range"
_LINE = re.compile(rb"(?P<task>\d+) +[\d.]+ (?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\((?P<rest>.*))")
_SYNC = (b"fsync", b"fdatasync")


class Call(msgspec.Struct, kw_only=True):
    """A system call: the lines of the trace between which it ran, its name, its arguments as strace writes them."""

    begun: int
    ended: int
    name: bytes
    text: bytes

    def on(self, *files: bytes) -> bool:
        """Say whether it is about one of these files."""
        return any(self.text.partition(b"<")[2].startswith(file + b">") for file in files)


def read_trace(text: bytes) -> list[Call]:
    """Read what strace wrote; a call that other tasks interrupted has two lines."""
    calls: list[Call] = []
    open_calls: dict[bytes, Call] = {}
    for number, line in enumerate(text.splitlines()):
        found = _LINE.match(line)
        if not found:
            continue
        if found["resumed"]:
            if call := open_calls.pop(found["task"], None):
                call.ended = number
            continue
        call = Call(begun=number, ended=number, name=found["call"], text=found["rest"])
        if line.endswith(b"<unfinished ...>"):
            call.ended = 1 << 62
            open_calls[found["task"]] = call
        calls.append(call)
    return calls


class Trace:
    """The calls of one run that matter."""

    def __init__(self, text: bytes, site: Site, port: int) -> None:
        calls = read_trace(text)
        wal, file = f"{site.store}-wal".encode(), str(site.store).encode()
        place = b"127.0.0.1:%d->" % port
        self.syncs = [call for call in calls if call.name in _SYNC and call.on(wal, file)]
        self.writes = [call for call in calls if call.name.startswith(b"pwrite") and call.on(wal, file)]
        self.replies = dict(_replies(call for call in calls if place in call.text.partition(b">, ")[0]))

    def before_its_sync(self, acknowledged: Sequence[Acknowledged], marks: Sequence[bytes] = ()) -> Iterator[str]:
        """Yield the jobs whose 200 began without a sync since the write of what they sent."""
        for one in acknowledged:
            job = one.callback.job
            reply = self.replies[one.id]
            written = [
                next((call.ended for call in self.writes if mark in call.text), 1 << 62)
                for mark in (job.encode(), *marks)
            ]
            if not any(sync.begun > max(written) and sync.ended < reply.begun for sync in self.syncs):
                yield job


def _replies(calls: Iterable[Call]) -> Iterator[tuple[str, Call]]:
    """Yield the id that each 200 names, and the call that began to write it; its head may be a call of its own."""
    heads: dict[bytes, Call] = {}
    for call in calls:
        socket = call.text.partition(b">, ")[0]
        if b"HTTP/1.1 " in call.text:
            heads[socket] = call
        if found := re.search(rb"rcp_[0-9a-z]{13}", call.text):
            assert b"HTTP/1.1 200 " in heads[socket].text
            yield found[0].decode(), heads[socket]


async def traced(site: Site, *, point: str | None = None, size: int = 0) -> tuple[Trace, list[Acknowledged]]:
    """Receive from several connections under strace."""
    output = site.folder / "trace"
    strace = ["strace", "-f", "-ttt", "-yy", "-s", "8192", "-o", str(output), "-e", f"trace={CALLS}"]
    async with serving(site, "web", point=point, through=strace) as process:
        address = process.address()
        assert address
        if size:
            sender = Sender(site.address)
            await sender.send([Factory(site).of_call("large", "large.0", text="x" * size + "the-end-of-it")])
        else:
            async with load(site, lanes=24) as sender:
                await sender.goes_on(240)
        await stopped(process)
    assert {one.status for one in sender.acknowledged} == {"accepted"}
    return Trace(output.read_bytes(), site, address[1]), sender.acknowledged


async def stopped(process: Process) -> None:
    """Stop what strace runs; strace ends with it."""
    process.signal(15)
    await process.ended()


async def test_each_200_follows_the_sync_of_its_receipt(tmp_path: Path) -> None:
    """For every callback of several connections at once, a sync ran after its write and before its 200."""
    trace, acknowledged = await traced(Site(tmp_path))
    assert not list(trace.before_its_sync(acknowledged))
    last = max(reply.begun for reply in trace.replies.values())
    assert len([sync for sync in trace.syncs if sync.begun < last]) < len(acknowledged), (
        "nothing was committed together"
    )


async def test_a_large_body_is_synced_to_its_end(tmp_path: Path) -> None:
    """A body that was streamed to disk is in the store, beginning and end, before the sync before its 200."""
    trace, acknowledged = await traced(Site(tmp_path), size=3_000_000)
    assert not list(trace.before_its_sync(acknowledged, [b"the-end-of-it"]))


async def test_the_check_fails_where_nothing_is_synced(tmp_path: Path) -> None:
    """With `synchronous=OFF` the same check finds every callback: it would see a lost sync."""
    trace, acknowledged = await traced(Site(tmp_path), point="no-sync")
    assert len(list(trace.before_its_sync(acknowledged))) > len(acknowledged) * 0.9
