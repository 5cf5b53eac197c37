"""What providers do: they send callbacks over a few connections, and send again what was not acknowledged."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import msgspec

from receiver.contract.model import Receipt, Result, Verdict
from receiver.contract.provider import Provider
from receiver.making import sources
from receiver.registry import fixtures
from receiver.testing.fixtures import load_case
from system.harness import Site, until

CASES = {"callcov": "completed", "ringcentral": "stt-plain", "invox": "two-speakers"}
_PAUSE = 0.004
"""Seconds between two callbacks of one connection: load, not a flood that takes minutes to deliver."""


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback, and the result that it stands for."""

    source: str
    request: bytes
    body: bytes
    job: str
    call: str | None = None


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was answered 200."""

    callback: Callback
    status: str
    id: str


class Factory:
    """Makes callbacks as the providers would, signed."""

    def __init__(self, site: Site) -> None:
        config, registry = site.config()
        self._sources = sources(config, registry)
        self._bodies = {
            name: load_case(found / case).body
            for name, case in CASES.items()
            if (found := fixtures(registry.provider(name)))
        }
        assert self._bodies.keys() == CASES.keys()

    def of(self, source: str, serial: str, *, size: int = 0) -> Callback:
        """Make a provider's recorded callback into another job's."""
        provider = self._sources[source]
        return self._made(provider, provider.fresh(self._bodies[source], serial, size), None)

    def of_call(self, call: str, job: str, **members: Any) -> Callback:
        """Make one result of a call."""
        body = {"job": job, "call": call, "text": "said", **members}
        return self._made(self._sources["calls"], json.dumps(body).encode(), call, job)

    def call(self, call: str, results: int) -> Iterator[Callback]:
        """Make the results of a call, in order."""
        for number in range(results):
            yield self.of_call(call, f"{call}.{number}")

    def mixture(self, name: str) -> Iterator[Callback]:
        """Make callbacks of every source without end; `name` makes them others than those of another lane."""
        for number in itertools.count():
            yield from self.call(f"{name}-{number}", 3)
            for source in CASES:
                yield self.of(source, f"{name}-{number}")

    def _made(self, provider: Provider[Any], body: bytes, call: str | None, job: str | None = None) -> Callback:
        signed = provider.sign(body, time.time())
        path = f"/hooks/{provider.source}" + (f"/{signed.token}" if signed.token else "")
        head = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(signed.body)}"]
        head += [f"{name.decode()}: {value.decode()}" for name, value in signed.headers]
        return Callback(
            source=provider.source,
            request="\r\n".join([*head, "", ""]).encode() + signed.body,
            body=signed.body,
            job=job or _job(provider, signed.body),
            call=call,
        )


def _job(provider: Provider[Any], body: bytes) -> str:
    receipt = Receipt(
        id="rcp_test",
        source=provider.source,
        provider=provider.name,
        verdict=Verdict.TOKEN,
        received_at=0,
        headers=(),
        body=body,
    )
    (outcome,) = provider.normalize(receipt)
    assert isinstance(outcome, Result)
    return outcome.job_id


class Sender:
    """Sends, and keeps what was acknowledged, in the order of the answers."""

    def __init__(self, address: Callable[[], tuple[str, int] | None]) -> None:
        """`address` says where the receiver listens now, None while it does not."""
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[int] = []
        """Answers that are neither 200 nor 503."""
        self.busy = 0
        """Answers 503."""
        self.lanes: list[asyncio.Task[None]] = []
        self._address = address
        self._stopping = False

    async def send(self, callbacks: Iterable[Callback]) -> None:
        """Send one after the other over one connection, each until it is acknowledged or `stop` is called."""
        line = _Line()
        with contextlib.closing(line):
            for callback in callbacks:
                while not self._stopping and not await self._sent(callback, line):
                    await asyncio.sleep(_PAUSE)
                if self._stopping:
                    break
                await asyncio.sleep(_PAUSE)

    async def _sent(self, callback: Callback, line: "_Line") -> bool:
        try:
            address = self._address()
            return address is not None and self._taken(callback, *await line.exchange(address, callback.request))
        except (OSError, asyncio.IncompleteReadError):
            line.close()
            return False

    def _taken(self, callback: Callback, status: int, answer: bytes) -> bool:
        if status == 200:
            self.acknowledged.append(Acknowledged(callback=callback, **json.loads(answer)))
        elif status == 503:
            self.busy += 1
            return False
        else:
            self.refused.append(status)
        return True

    async def goes_on(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted, f"{count} more acknowledgements")

    async def stop(self) -> None:
        """Let what is under way be answered, and send nothing more."""
        self._stopping = True
        await asyncio.gather(*self.lanes)


@contextlib.asynccontextmanager
async def load(site: Site, *, lanes: int = 8) -> AsyncIterator[Sender]:
    """Send callbacks of every source over several connections as long as the block runs."""
    factory = Factory(site)
    sender = Sender(site.address)
    name = f"{time.time_ns():x}"
    async with asyncio.TaskGroup() as group:
        for lane in range(lanes):
            sender.lanes.append(group.create_task(sender.send(factory.mixture(f"{name}-{lane}"))))
        try:
            yield sender
        finally:
            await sender.stop()


class _Line:
    """A connection that is made when it is needed."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, address: tuple[str, int], request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body of the answer. Raises OSError or IncompleteReadError."""
        self._streams = self._streams or await asyncio.open_connection(*address)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(size)

    def close(self) -> None:
        """Hang up."""
        streams, self._streams = self._streams, None
        if streams:
            streams[1].close()
