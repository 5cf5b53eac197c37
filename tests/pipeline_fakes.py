"""A store with a clock, a provider that says what a test tells it, sinks that answer what a test likes."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from kept import kept_in

from receiver.contract.model import Delivery, InboundRequest, Receipt, Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.contract.provider import Provider
from receiver.contract.settings import SinkSettings, SourceSettings
from receiver.contract.sink import Delivered, HttpAnswer, Sink, SinkPorts
from receiver.pipeline.normalize import Normalize
from receiver.pipeline.offload import Offload
from receiver.pipeline.outbox import Outbox, Route
from receiver.pipeline.wanted import Wanted
from receiver.store.store import Store
from receiver.testing.store import Clock, a_receipt

PATIENCE = 10.0


class Acme(Provider[SourceSettings]):
    """Says of each body what `said` has for it: outcomes, or an exception to raise."""

    name = "acme"
    Settings = SourceSettings
    normalizer = "acme/1"

    def __init__(self, source: str = "acme", settings: SourceSettings | None = None) -> None:
        super().__init__(source, settings or SourceSettings(provider="acme"))
        self.said: dict[bytes, Any] = {}
        self.confirms = False

    def proofs(self) -> tuple[str, ...]:
        return ("token in the URL",)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        if request.token == "raise":
            raise RuntimeError("words of a call")
        if request.token == "right":
            return Proven(request=request, verdict=Verdict.TOKEN)
        return Refused(reason=Reason.TOKEN_UNKNOWN if request.token else Reason.SIGNATURE_MISSING)

    def can_confirm(self) -> bool:
        return self.confirms

    def message_key(self, proven: Proven) -> bytes:
        if proven.request.body.startswith(b"keyless"):
            raise ValueError("words of a call")
        return proven.request.body

    def normalize(self, receipt: Receipt) -> Any:
        said = self.said.get(receipt.body, ())
        if isinstance(said, BaseException):
            raise said
        return said


class World:
    """A store, its clock, one source called acme, and the step that normalizes."""

    def __init__(
        self,
        store: Store,
        path: Path,
        clock: Clock,
        routes: Sequence[Route],
        prefix: str,
        settings: SourceSettings,
    ) -> None:
        self.store = store
        self.path = path
        self.clock = clock
        self.acme = Acme("acme", settings)
        self.sources: dict[str, Provider[Any]] = {"acme": self.acme}
        self.offload = Offload(PATIENCE)
        wanted = Wanted(include=settings.include, ignore=settings.ignore)
        self.outbox = Outbox(routes, store.ids, prefix, {"acme": wanted})
        self.normalize = Normalize(store, self.sources, self.outbox, offload=self.offload)
        self._bodies = 0

    async def keep(self, *said: Any, **changes: Any) -> int:
        """Keep a receipt of which the provider will say this; an exception is raised. Return its id."""
        self._bodies += 1
        body = changes.pop("body", b"%d" % self._bodies)
        self.acme.said[body] = said[0] if said and isinstance(said[0], BaseException | list) else said
        receipt = a_receipt(self.store, body, body=body, **changes)
        await self.store.keep([receipt])
        return receipt.id

    async def say(self, *said: Any, **changes: Any) -> int:
        """Keep a receipt and normalize it."""
        number = await self.keep(*said, **changes)
        await self.settle()
        return number

    async def settle(self) -> None:
        """Normalize until nothing waits."""
        while await self.normalize.step():
            pass

    def sql(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Look into the file."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query, params).fetchall()

    def types(self) -> list[str]:
        """Return the types of all events, in their order."""
        return [row[0] for row in self.sql("SELECT type FROM events ORDER BY seq")]

    def states(self) -> list[tuple[str, str | None]]:
        """Return how each receipt ended, and why."""
        return self.sql("SELECT state, reason FROM receipts ORDER BY id")


EVERYWHERE = [Route(sink="archive", events=("*",), sources=("*",))]


@contextlib.asynccontextmanager
async def world(
    folder: Path, routes: Sequence[Route] = EVERYWHERE, prefix: str = "", **settings: Any
) -> AsyncIterator[World]:
    """Give an empty world in a folder; `settings` are the source's."""
    of_source = SourceSettings(provider="acme", **settings)
    clock = Clock()
    async with kept_in(folder / "store.db", clock) as store:
        made = World(store, folder / "store.db", clock, routes, prefix, of_source)
        try:
            yield made
        finally:
            await made.offload.close()


class Unused:
    """An HTTP client that nobody asks."""

    async def post(self, url: str, **_: Any) -> HttpAnswer:
        """Fail."""
        raise AssertionError(url)


class Fake(Sink[SinkSettings]):
    """Writes down what it is sent, and answers what `answers` makes of it."""

    Settings = SinkSettings
    default_order: Literal["call", "none"] = "none"

    def __init__(self, name: str = "archive", *, batch: int = 1, concurrency: int = 1, **settings: Any) -> None:
        made = SinkSettings(kind="fake", **{"concurrency": concurrency, "timeout": PATIENCE, **settings})
        super().__init__(name, made, SinkPorts(http=Unused(), links=None, now=time.time))
        self.batch = batch  # type: ignore[misc]
        self.sent: list[list[Delivery]] = []
        self.answer: Callable[[Sequence[Delivery]], Any] = lambda deliveries: [Delivered()] * len(deliveries)
        self.opened = 0
        self.closed = 0
        self.open_raises: list[BaseException] = []
        self.close_hangs = False
        self.gate: asyncio.Event | None = None
        self.under_way = 0
        self.most_under_way = 0

    async def open(self) -> None:
        self.opened += 1
        if self.open_raises:
            raise self.open_raises.pop(0)

    async def send(self, deliveries: Sequence[Delivery]) -> Any:
        self.sent.append(list(deliveries))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            answer = self.answer(deliveries)
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        self.closed += 1
        if self.close_hangs:
            await asyncio.Event().wait()

    @property
    def ids(self) -> list[str]:
        """Return the ids of what was sent, in its order, repeats included."""
        return [one.id for batch in self.sent for one in batch]


async def until(condition: Callable[[], Any], what: str = "it") -> None:
    """Let the loop run until a condition holds; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        await asyncio.sleep(0.002)
