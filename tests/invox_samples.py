"""A clinic's INVOX Medical source, what arrives there, and signatures made by Node."""

import json
from typing import Any, Literal

from javascript import Node

from handlers.providers.invox import Invox, InvoxSettings
from receiver.contract.model import InboundRequest, Outcome, Receipt, Result, Verdict
from receiver.contract.settings import Secret

Mode = Literal["advisory", "required", "off"]
TOKEN = "a-token-of-this-test"
ORGANIZATION: dict[str, Any] = {"webhook_api_key": ["public-key"], "webhook_secret_key": ["secret-key"]}
CALLBACK: dict[str, Any] = {
    "requestId": "request-1",
    "transcription": [
        {"text": "¿Alergias? 🩺\n", "start": 0.05, "end": 2, "speaker": "0"},
        {"text": 'Ninguna "conocida"', "start": 2.5, "end": 4.125},
    ],
    "signature": "",
    "createdAt": 1762934391250,
}
DOCUMENTED = ["requestId", "transcription", "createdAt"]


def source(mode: Mode = "advisory", *, token: bool = True, **keys: Any) -> Invox:
    """Make a source with these keys, checked as at a start."""
    secrets: dict[str, Any] = {key: tuple(map(Secret, values)) for key, values in keys.items()}
    tokens = (Secret(TOKEN),) * token
    made = InvoxSettings(provider="invox", callback_signature=mode, token=tokens, **secrets)
    made.check()
    return Invox("clinic", made)


def arriving(body: bytes | str | dict[str, Any], token: str | None = TOKEN) -> InboundRequest:
    if isinstance(body, dict):
        body = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    raw = body.encode() if isinstance(body, str) else body
    return InboundRequest(source="clinic", token=token, headers=(), body=raw, received_at=0)


def signed(node: Node, body: dict[str, Any], names: list[str], api_key: str, key: str) -> dict[str, Any]:
    """Return the body with a signature made by Node over the values of these members, absent ones as undefined."""
    values = [json.dumps(body[name]) if name in body else None for name in names]
    return {**body, "signature": node.ask({"values": values, "apiKey": api_key, "key": key})}


def outcome(body: bytes | str | dict[str, Any], **keys: Any) -> Outcome:
    """Normalize a body that a token proved."""
    request = arriving(body)
    receipt = Receipt(
        id="rcp_1",
        source="clinic",
        provider="invox",
        verdict=Verdict.TOKEN,
        received_at=0,
        headers=(),
        body=request.body,
    )
    (only,) = source(**keys).normalize(receipt)
    return only


def result(body: bytes | str | dict[str, Any]) -> Result:
    found = outcome(body)
    assert isinstance(found, Result)
    return found
