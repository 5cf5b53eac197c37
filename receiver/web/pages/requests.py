"""Kept requests as they came, for proving them again."""

from receiver.contract.errors import NotFound
from receiver.contract.model import InboundRequest, ReceiptState
from receiver.store.gone import gone
from receiver.store.ids import RECEIPT, decode
from receiver.store.records import unpack_headers
from receiver.store.store import Engine


async def receipt_request(engine: Engine, public_id: str) -> InboundRequest:
    """Return the request of a receipt, without its token, which is not kept. Raises NotFound or Gone."""
    number = decode(RECEIPT, public_id)
    rows = await engine.rows("list_receipts", {"id": number, "limit": 1}, ["id = :id"])
    if not rows:
        raise NotFound(f"there is no {public_id}")
    _, source, _, _, _, _, received_at, *_, headers = rows[0]
    ((body, state),) = await engine.rows("receipt_body", {"id": number})
    if state == ReceiptState.GONE:
        raise gone(public_id)
    return InboundRequest(
        source=source, token=None, headers=unpack_headers(headers), body=body, received_at=received_at
    )
