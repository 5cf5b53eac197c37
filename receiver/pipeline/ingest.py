"""Ingest: prove a request, keep it with others in one commit, and only then let the 200 go out."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from receiver.contract.errors import StoreUnavailable
from receiver.contract.model import InboundRequest, ReceiptState, Verdict
from receiver.contract.proof import Check, Proven, Reason, Refused
from receiver.contract.provider import Provider
from receiver.store.ids import Ids
from receiver.store.records import Kept, NewReceipt, pack_headers, redelivery_key

log = structlog.get_logger()

_DAY_MS = 86_400_000
_GROUP_COUNT = 512
_GROUP_BYTES = 4 * 1024 * 1024
_UNDER_WAY = 3
_LARGE = 256 * 1024
"""From here on proof leaves the event loop."""


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
    ) -> None:
        """`keep` puts receipts on disk before it returns; `kept` is told after each commit; `now` is Unix seconds."""
        self.sources = sources
        self._ids = ids
        self._refusals = refusals
        self._now = now
        self._group = GroupCommit(keep, kept)
        self.watch: Callable[[InboundRequest, Kept | Refused], None] | None = None
        """Told how every request ended, for people who look on; quick, and never raises."""

    async def receive(self, request: InboundRequest) -> Kept | Refused:
        """Prove and keep a request of a known source. Raises StoreUnavailable where it cannot be kept."""
        provider = self.sources[request.source]
        if len(request.body) < _LARGE:
            made = self._prepare(provider, request)
        else:
            made = await asyncio.to_thread(self._prepare, provider, request)
        if isinstance(made, Refused):
            self._refusals.note(request, made)
        result = made if isinstance(made, Refused) else await self._group.commit(made)
        if self.watch is not None:
            self.watch(request, result)
        return result

    def _prepare(self, provider: Provider[Any], request: InboundRequest) -> NewReceipt | Refused:
        proof = prove(provider, request, self._now())
        if isinstance(proof, Refused):
            return proof
        return receipt_for(provider, proof, self._ids.next())

    async def close(self) -> None:
        """Wait for the commits that are under way."""
        await self._group.close()


def prove(provider: Provider[Any], request: InboundRequest, now: float) -> Proven | Refused:
    """Ask the provider who sent this; a provider that raises has proven nothing."""
    if provider.settings.verify == "none":
        return Proven(request=request, verdict=Verdict.UNVERIFIED)
    try:
        return provider.prove(request, now)
    except Exception as error:  # noqa: BLE001 -- a stranger's bytes in a plugin's code
        log.error("proof.raised", source=request.source, error=type(error).__name__)
        check = Check(scheme="provider", ok=False, detail=f"the provider's code raised {type(error).__name__}")
        return Refused(reason=Reason.BODY_UNEXPECTED, checks=(check,))


def receipt_for(provider: Provider[Any], proven: Proven, receipt_id: int) -> NewReceipt:
    """Make the row to keep from a proven request."""
    request = proven.request
    key, key_rest = redelivery_key(request.source, _message_key(provider, proven))
    return NewReceipt(
        receipt_id,
        request.source,
        provider.name,
        request.received_at // _DAY_MS,
        key,
        key_rest,
        proven.verdict,
        _first_state(provider, proven),
        request.received_at,
        len(request.body),
        msgspec.json.encode(proven.checks).decode() if proven.checks else None,
        pack_headers(request.headers),
        request.body,
    )


def _message_key(provider: Provider[Any], proven: Proven) -> bytes:
    try:
        return provider.message_key(proven)
    except Exception as error:  # noqa: BLE001 -- proven bytes are kept whatever a plugin makes of them
        log.error("message_key.raised", source=proven.request.source, error=type(error).__name__)
        return proven.request.body


def _first_state(provider: Provider[Any], proven: Proven) -> ReceiptState:
    if proven.verdict is Verdict.TOKEN and provider.settings.confirm == "auto" and provider.can_confirm():
        return ReceiptState.CONFIRMING
    return ReceiptState.RECEIVED


class _Group(asyncio.Future[list[Kept]]):
    """Receipts that go to disk together; one future for all who wait, which none of them can cancel."""

    def __init__(self) -> None:
        super().__init__()
        self.receipts: list[NewReceipt] = []
        self.size = 0

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002
        return False


class GroupCommit:
    """Receipts that come while others are on their way to the disk go together, a few groups under way at once."""

    def __init__(
        self, keep: Callable[[Sequence[NewReceipt]], Awaitable[list[Kept]]], kept: Callable[[], None]
    ) -> None:
        self._keep = keep
        self._kept = kept
        self._groups: deque[_Group] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def commit(self, receipt: NewReceipt) -> Kept:
        """Return once the receipt is on disk. Raises what `keep` raises, for the whole group."""
        groups = self._groups
        if not groups or len(groups[-1].receipts) >= _GROUP_COUNT or groups[-1].size + receipt.size > _GROUP_BYTES:
            groups.append(_Group())
            self._start()
        group = groups[-1]
        place = len(group.receipts)
        group.receipts.append(receipt)
        group.size += receipt.size
        return (await group)[place]

    def _start(self) -> None:
        """Begin the next commit, unless enough are under way; what comes before it runs is in it."""
        if self._groups and len(self._under_way) < _UNDER_WAY:
            task = asyncio.get_running_loop().create_task(self._commit())
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._start()

    async def _commit(self) -> None:
        if not self._groups:
            return
        group = self._groups.popleft()
        try:
            kept = await self._keep(group.receipts)
        except Exception as error:  # noqa: BLE001 -- each of those who wait gets it
            group.set_exception(error)
            group.exception()
        except asyncio.CancelledError:
            group.set_exception(StoreUnavailable("the receiver is stopping"))
            group.exception()
            raise
        else:
            group.set_result(kept)
            self._kept()

    async def close(self) -> None:
        """Wait for the commits that are under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)
