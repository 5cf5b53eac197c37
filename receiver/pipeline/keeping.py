"""What is kept of a proven request, whether a provider called or was asked: the receipt's row, and how it is read again."""

from typing import Any

import msgspec
import structlog

from receiver.contract.asking import Fetched
from receiver.contract.model import JOB_HEADER, InboundRequest, JobToken, Receipt, ReceiptState, Verdict
from receiver.contract.proof import Proven
from receiver.contract.provider import Provider
from receiver.store.ids import JOB, RECEIPT, encode
from receiver.store.jobs import JobRow
from receiver.store.records import NewReceipt, StoredReceipt, pack_headers, redelivery_key, unpack_headers
from receiver.store.store import Store

log = structlog.get_logger()

_DAY_MS = 86_400_000
_ASKED = (Verdict.FETCHED, Verdict.CONFIRMED)
JOB_ID_HEADER = b"hookscribe-job-id"
"""The provider's name for the job that was asked about, for bodies that do not say it."""


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
    late = isinstance(proven.request.token, JobToken) and proven.request.token.late
    if proven.verdict is not Verdict.TOKEN:
        return ReceiptState.RECEIVED
    if late or (provider.settings.confirm == "auto" and provider.can_confirm()):
        return ReceiptState.CONFIRMING
    return ReceiptState.RECEIVED


def fetched_receipt(store: Store, provider: Provider[Any], fetched: Fetched, job: JobRow | None) -> NewReceipt:
    """Make the row to keep from a provider's answer; `job` is ours that it was asked about, if any."""
    request = InboundRequest(
        source=provider.source,
        token=None,
        headers=fetched_headers(fetched, job),
        body=fetched.body,
        received_at=store.now_ms(),
    )
    return receipt_for(provider, Proven(request=request, verdict=Verdict.FETCHED), store.ids.next())


def fetched_headers(fetched: Fetched, job: JobRow | None) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that are kept with a provider's answer."""
    more: list[tuple[bytes, bytes]] = []
    job_id = fetched.job_id or (job.job_id if job else None)
    if job_id and not any(name == JOB_ID_HEADER for name, _ in fetched.headers):
        more.append((JOB_ID_HEADER, job_id.encode()))
    if job is not None:
        more.append((JOB_HEADER, encode(JOB, job.id).encode()))
    return (*fetched.headers, *more)


def receipt_of(stored: StoredReceipt) -> Receipt:
    """Return a row as providers read it, without what a sender put into headers of our names: those of what we asked for
    say what its body does not.
    """
    headers = unpack_headers(stored.headers)
    if stored.verdict not in _ASKED:
        headers = tuple(pair for pair in headers if not pair[0].startswith(b"hookscribe-"))
    return Receipt(
        id=encode(RECEIPT, stored.id),
        source=stored.source,
        provider=stored.provider,
        verdict=Verdict(stored.verdict),
        received_at=stored.received_at,
        headers=headers,
        body=stored.body,
        tries=stored.tries,
    )
