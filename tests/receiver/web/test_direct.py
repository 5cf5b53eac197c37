"""Callbacks that many connections bring at once are read together, and stay apart."""

import asyncio
from pathlib import Path

import msgspec
from kept import kept_in
from pipeline_fakes import PATIENCE, Acme

from receiver.contract.model import InboundRequest
from receiver.contract.proof import Refused
from receiver.contract.settings import SourceSettings
from receiver.pipeline.ingest import Ingest
from receiver.store.ids import RECEIPT, decode
from receiver.testing.store import Clock
from receiver.web.body import Bodies
from receiver.web.direct import _TOGETHER, direct_protocol
from receiver.web.public import Hooks, public_app
from receiver.web.serve import _listening

MANY = 3 * _TOGETHER + 1


class Nobody:
    """Takes no notice of refusals."""

    def note(self, request: InboundRequest, refused: Refused) -> None:
        """Forget it."""


def written(number: int) -> bytes:
    """Return a callback of its own, every third with a wrong token."""
    token, body = b"right" if number % 3 else b"wrong", b"%d" % number
    return b"POST /hooks/acme/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (token, len(body), body)


async def read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the status line and the body of an answer."""
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        return head.partition(b"\r\n")[0], await reader.readuntil(b"}")


async def test_callbacks_that_come_together_each_get_their_own_answer(tmp_path: Path) -> None:
    """More than are read before they are proven: everybody is told the id of their own bytes, or refused."""
    async with kept_in(tmp_path / "store.db", Clock()) as store:
        ingest = Ingest(
            {"acme": Acme("acme", SourceSettings(provider="acme"))},
            ids=store.ids,
            keep=store.keep,
            refusals=Nobody(),
            now=store._now,
            kept=lambda: None,
        )
        bodies = Bodies(memory=1 << 20, disk=1 << 20, large=10_000, seconds=PATIENCE, folder=tmp_path)
        hooks = Hooks(ingest, bodies, lambda: None)
        async with _listening(public_app(hooks), "127.0.0.1:0", 1, direct_protocol(hooks)) as url:
            host, _, port = url.removeprefix("http://").rpartition(":")
            links = [await asyncio.open_connection(host, int(port)) for _ in range(MANY)]
            for number, (_, writer) in enumerate(links):
                writer.write(written(number))
            answers = [await read(reader) for reader, _ in links]
            for _, writer in links:
                writer.close()
        for number, (status, answer) in enumerate(answers):
            if number % 3 == 0:
                assert (status, answer) == (b"HTTP/1.1 404 Not Found", b'{"error":"not found"}')
            else:
                told = decode(RECEIPT, msgspec.json.decode(answer)["id"])
                assert (await store.receipt(told)).body == b"%d" % number
