"""Verify: say of any request what proves it or what is wrong with it, and admit from the quarantine what proves now."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from receiver.contract.model import InboundRequest, kept_token
from receiver.contract.proof import Check, Proven, Reason, Refused
from receiver.contract.provider import Provider
from receiver.masking import shown_headers
from receiver.pipeline.ingest import prove
from receiver.pipeline.keeping import receipt_for
from receiver.pipeline.tokens import JobTokens
from receiver.store.jobs import Jobs
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import Quarantined
from receiver.store.records import Kept, NewReceipt
from receiver.store.store import Store

log = structlog.get_logger()

_DAY_MS = 86_400_000


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How proof ended, every check with what else would have matched, and what it was tried on, without content."""

    proof: Proven | Refused
    checks: tuple[Check, ...]
    tried_on: Mapping[str, Any]


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one quarantined request: kept as a receipt, or still there; `why` says why it does not prove."""

    id: int
    kept: Kept | None = None
    why: str | None = None


def explain_proof(provider: Provider[Any], request: InboundRequest, now: float) -> Explanation:
    """Prove `request` as at `now` (Unix seconds) and say everything that an operator can be told."""
    proof = prove(provider, request, now)
    checks = tuple(dict.fromkeys((*proof.checks, *_steps(provider, request), *explained(provider, request, now))))
    return Explanation(proof=proof, checks=checks, tried_on=described(request))


def _steps(provider: Provider[Any], request: InboundRequest) -> tuple[Check, ...]:
    try:
        return provider.steps(request)
    except Exception as error:  # noqa: BLE001 -- a stranger's bytes in a plugin's code
        log.error("steps.raised", source=request.source, error=type(error).__name__)
        return ()


def explained(provider: Provider[Any], request: InboundRequest, now: float) -> tuple[Check, ...]:
    """Return what the provider knows besides its verdict; slow. A provider that raises explains that."""
    try:
        return provider.explain(request, now)
    except Exception as error:  # noqa: BLE001 -- a stranger's bytes in a plugin's code
        log.error("explain.raised", source=request.source, error=type(error).__name__)
        return (Check(scheme="provider", ok=None, detail=f"the provider's code raised {type(error).__name__}"),)


def described(request: InboundRequest) -> dict[str, Any]:
    """Return what can be compared with the sender's own notes: lengths, digests, headers that tell nothing secret."""
    token = kept_token(request)
    return {
        "body": f"{len(request.body)} bytes, SHA-256 {hashlib.sha256(request.body).hexdigest()}",
        "url_token": f"{token.length} characters, SHA-256 {token.digest.hex()[:16]}…" if token else "none",
        "headers": shown_headers(request.headers),
    }


async def admit(
    found: Sequence[Quarantined], sources: Mapping[str, Provider[Any]], store: Store, quarantine: Quarantine
) -> list[Admission]:
    """Keep as receipts those that prove, as at the time when they came, and take these out of the quarantine.

    Done twice, it finds redeliveries: a crash in between loses and doubles nothing. Raises StoreUnavailable.
    """
    tokens = JobTokens(Jobs(store), sources)
    proofs = {one.id: _proof(sources, one, await tokens.looked_up(one.request)) for one in found}
    proven = {number: proof for number, proof in proofs.items() if isinstance(proof, Proven)}
    receipts = [_receipt(sources[proof.request.source], proof, store) for proof in proven.values()]
    kept = dict(zip(proven, await store.keep(receipts) if receipts else (), strict=True))
    if kept:
        await quarantine.drop([*kept])
    return [
        Admission(id=number, kept=kept.get(number), why=_why(proof) if isinstance(proof, Refused) else None)
        for number, proof in proofs.items()
    ]


async def would_admit(
    found: Sequence[Quarantined], sources: Mapping[str, Provider[Any]], store: Store
) -> list[Admission]:
    """Say of each whether it proves now, and do nothing."""
    tokens = JobTokens(Jobs(store), sources)
    proofs = {one.id: _proof(sources, one, await tokens.looked_up(one.request)) for one in found}
    return [
        Admission(id=number, why=_why(proof) if isinstance(proof, Refused) else None)
        for number, proof in proofs.items()
    ]


def _proof(sources: Mapping[str, Provider[Any]], one: Quarantined, request: InboundRequest) -> Proven | Refused:
    provider = sources.get(one.request.source)
    if provider is not None:
        return prove(provider, request, one.request.received_at / 1000)
    gone = Check(scheme="source", ok=None, detail=f"no source is called {one.request.source!r} any more")
    return Refused(reason=Reason(one.reason), checks=(gone,))


def _why(refused: Refused) -> str:
    return f"{refused.reason}: {refused.checks[0].detail}" if refused.checks else refused.reason


def _receipt(provider: Provider[Any], proven: Proven, store: Store) -> NewReceipt:
    """Make the row; its redelivery key counts from today, so that a copy which came in the meantime is found."""
    receipt = receipt_for(provider, proven, store.ids.next())
    return msgspec.structs.replace(receipt, day=store.now_ms() // _DAY_MS)
