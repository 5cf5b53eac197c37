"""Ingest: prove a request, keep it with others in one commit, and only then let the 200 go out."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import structlog

from receiver.contract.errors import Overloaded
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Check, Proven, Reason, Refused
from receiver.contract.provider import Provider
from receiver.pipeline.histogram import SECONDS, SIZES, Histogram
from receiver.pipeline.keeping import receipt_for
from receiver.pipeline.tokens import JobTokens, by_token
from receiver.store.ids import Ids
from receiver.store.records import Kept, NewReceipt

log = structlog.get_logger()

_GROUP_COUNT = 512
_GROUP_BYTES = 1024 * 1024
"""A larger body goes alone."""
_WAITING_BYTES = 64 * 1024 * 1024
"""Bodies that wait for the disk; while it stalls, more are asked to come again."""
_LARGE = 256 * 1024
"""From here on proof leaves the event loop."""


Told = Callable[[Kept | Refused | Exception], None]
"""Told how one request ended; must not raise."""
Watch = Callable[[InboundRequest, Kept | Refused], None]


class Refusals(Protocol):
    """Where refused requests go: counted in memory, some kept in the quarantine."""

    def note(self, request: InboundRequest, refused: Refused) -> None:
        """Take notice of a refused request; quick, and never raises."""
        ...


class Ingest:
    """The receiving path: proof, redelivery key, group commit."""

    def __init__(
        self,
        sources: Mapping[str, Provider[Any]],
        *,
        ids: Ids,
        keep: Callable[[Sequence[NewReceipt]], Awaitable[list[Kept]]],
        refusals: Refusals,
        now: Callable[[], float],
        kept: Callable[[], None],
        tokens: JobTokens | None = None,
        at_once: int = 1,
    ) -> None:
        """`keep` puts receipts on disk before it returns, and is given `at_once` groups side by side; `kept` is told after
        each commit; `now` is Unix seconds.
        """
        self.sources = sources
        self._tokens = tokens
        self._looking: set[asyncio.Task[None]] = set()
        self._ids = ids
        self._refusals = refusals
        self._now = now
        self.commits = GroupCommit(keep, kept, at_once)
        self.watch: Watch | None = None
        """Told how every request ended, for people who look on; quick, and never raises."""

    def take(self, request: InboundRequest, told: Told) -> None:
        """Prove a request of a known source now, and tell how it ended: at once where it is refused, else once it is
        on disk. Told an exception where it cannot be kept. For bodies that are quickly proven.
        """
        if self._tokens is not None and self._tokens.may_know(request):
            task = asyncio.get_running_loop().create_task(self._look_up(request, told))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
            return
        self._keep(request, self._proven(request, self._ids.next()), told)

    async def receive(self, request: InboundRequest) -> Kept | Refused:
        """Prove and keep a request of a known source, however large. Raises StoreUnavailable where it cannot be kept."""
        answer: asyncio.Future[Kept | Refused] = asyncio.get_running_loop().create_future()
        if len(request.body) < _LARGE:
            self.take(request, partial(_settle, answer))
        else:
            known = await self._known(request)
            made = await asyncio.to_thread(self._proven, known, self._ids.next())
            self._keep(request, made, partial(_settle, answer))
        return await answer

    def change(self, sources: Mapping[str, Provider[Any]]) -> None:
        """Go by other settings from the next request on."""
        self.sources = sources
        if self._tokens is not None:
            self._tokens.change(sources)

    async def _look_up(self, request: InboundRequest, told: Told) -> None:
        try:
            known = await self._known(request)
            made = self._proven(known, self._ids.next())
        except Exception as error:  # noqa: BLE001 -- it was not kept: let the sender come again
            told(error)
        else:
            self._keep(request, made, told)

    async def _known(self, request: InboundRequest) -> InboundRequest:
        """Return a request with what its token stands for, where it is a job's."""
        return request if self._tokens is None else await self._tokens.looked_up(request)

    def _proven(self, request: InboundRequest, receipt_id: int) -> NewReceipt | Refused:
        provider = self.sources.get(request.source)
        if provider is None:  # taken out of the settings while its body was on the way
            return Refused(reason=Reason.TOKEN_UNKNOWN)
        proof = prove(provider, request, self._now())
        return proof if isinstance(proof, Refused) else receipt_for(provider, proof, receipt_id)

    def _keep(self, request: InboundRequest, made: NewReceipt | Refused, told: Told) -> None:
        if self.watch is not None:
            told = partial(_watched, self.watch, request, told)
        if isinstance(made, Refused):
            self._refusals.note(request, made)
            told(made)
        else:
            self.commits.add(made, told)

    async def close(self) -> None:
        """Wait for the commits that are under way."""
        while self._looking:
            await asyncio.wait(self._looking)
        await self.commits.close()


def _settle(answer: asyncio.Future[Kept | Refused], result: Kept | Refused | Exception) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _watched(watch: Watch, request: InboundRequest, told: Told, result: Kept | Refused | Exception) -> None:
    told(result)
    if not isinstance(result, Exception):
        watch(request, result)


def prove(provider: Provider[Any], request: InboundRequest, now: float) -> Proven | Refused:
    """Ask the provider who sent this; a provider that raises has proven nothing."""
    try:
        proof = provider.prove(request, now)
    except Exception as error:  # noqa: BLE001 -- a stranger's bytes in a plugin's code
        log.error("proof.raised", source=request.source, error=type(error).__name__)
        check = Check(scheme="provider", ok=False, detail=f"the provider's code raised {type(error).__name__}")
        proof = Refused(reason=Reason.BODY_UNEXPECTED, checks=(check,))
    proof = by_token(request, proof)
    if isinstance(proof, Refused) and provider.settings.verify == "none":
        return Proven(request=request, verdict=Verdict.UNVERIFIED, checks=proof.checks)
    return proof


class _Group:
    """Receipts that go to disk together, each with who waits for it."""

    __slots__ = ("receipts", "size", "told")

    def __init__(self) -> None:
        self.receipts: list[NewReceipt] = []
        self.told: list[Told] = []
        self.size = 0


class GroupCommit:
    """Receipts that come while others are on their way to the disk go there together.

    Where the store can write one group only at a time, a second on its way would be closed early, and be smaller.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[NewReceipt]], Awaitable[list[Kept]]],
        kept: Callable[[], None],
        at_once: int = 1,
    ) -> None:
        self._keep = keep
        self._kept = kept
        self._at_once = at_once
        self._groups: deque[_Group] = deque()
        self._under_way = 0
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.kept: Counter[tuple[str, bool]] = Counter()
        """Receipts by source, and whether they were redeliveries."""
        self.not_kept: Counter[str] = Counter()
        self.failures = 0
        self.sizes = Histogram(SIZES)
        self.seconds = Histogram(SECONDS)

    def add(self, receipt: NewReceipt, told: Told) -> None:
        """Tell once the receipt is on disk, or what `keep` raised for its whole group.

        At once told Overloaded where too much waits already.
        """
        if self._waiting and self._waiting + receipt.size > _WAITING_BYTES:
            self.not_kept[receipt.source] += 1
            told(Overloaded("the store takes callbacks more slowly than they come"))
            return
        self._waiting += receipt.size
        groups = self._groups
        if not groups or len(groups[-1].receipts) >= _GROUP_COUNT or groups[-1].size + receipt.size > _GROUP_BYTES:
            groups.append(_Group())
        group = groups[-1]
        group.receipts.append(receipt)
        group.told.append(told)
        group.size += receipt.size
        if self._under_way < self._at_once:
            self._under_way += 1
            task = asyncio.get_running_loop().create_task(self._commit())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _commit(self) -> None:
        """Commit group after group; the next is on its way before those who wait for the last are told."""
        loop = asyncio.get_running_loop()
        while self._groups:
            group, begun = self._groups.popleft(), time.perf_counter()
            try:
                results: Sequence[Kept | Exception] = await self._keep(group.receipts)
            except Exception as error:  # noqa: BLE001 -- each of those who wait is told
                results = [error] * len(group.told)
            else:
                self._kept()
            self._waiting -= group.size
            loop.call_soon(_tell, group, results)
            self._count(group.receipts, results, time.perf_counter() - begun)
        self._under_way -= 1

    def _count(self, receipts: Sequence[NewReceipt], results: Sequence[Kept | Exception], seconds: float) -> None:
        if isinstance(results[0], Exception):
            self.failures += 1
            self.not_kept.update(receipt.source for receipt in receipts)
            return
        self.sizes.add(len(receipts))
        self.seconds.add(seconds)
        pairs = zip(receipts, results, strict=True)
        self.kept.update((receipt.source, result.duplicate) for receipt, result in pairs if isinstance(result, Kept))

    async def close(self) -> None:
        """Wait until everything that was added is committed and told."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)


def _tell(group: _Group, results: Sequence[Kept | Exception]) -> None:
    for told, result in zip(group.told, results, strict=True):
        told(result)
