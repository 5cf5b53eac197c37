"""A CallMissed source, what arrives there, and signatures made by OpenSSL."""

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from handlers.providers.callmissed import CallMissed, CallMissedSettings
from receiver.contract.model import InboundRequest, Outcome, Result, Verdict
from receiver.contract.proof import Proven
from receiver.contract.settings import Secret
from receiver.testing.fixtures import receipt_of

FIXTURES = Path(__file__).parents[1] / "fixtures" / "callmissed"
HEADER = "X-CallMissed-Signature"
SIGNED = {"secrets": ["one", "two", "three"]}
NOW = 1_783_075_200.0
TIME = "2026-07-03T10:39:41.324000+00:00"
BODY = b'{"event":"test","timestamp":"2026-07-03T10:39:41+00:00","data":{"message":"hello"}}'


def settings_of(table: dict[str, Any]) -> CallMissedSettings:
    """Read settings as a source has them."""
    whole = {"provider": "callmissed", **table}
    return msgspec.convert(whole, CallMissedSettings, dec_hook=lambda _, value: Secret(value))


def callmissed(table: dict[str, Any]) -> CallMissed:
    """Make a provider from a table of settings."""
    return CallMissed("source", settings_of(table))


def request_of(body: bytes = BODY, token: str | None = None, signature: str | None = None) -> InboundRequest:
    """Make a request, signed or not."""
    headers = ((HEADER.lower().encode(), signature.encode("latin-1")),) if signature is not None else ()
    return InboundRequest(source="source", token=token, headers=headers, body=body, received_at=0)


def openssl(secret: str, body: bytes = BODY) -> str:
    """Sign with OpenSSL, which is not ours."""
    command = ["openssl", "dgst", "-sha256", "-hmac", secret, "-binary"]
    return "sha256=" + subprocess.run(command, input=body, capture_output=True, check=True).stdout.hex()


def event(name: str, data: Any, time: str | None = TIME) -> bytes:
    """Make a delivery's body."""
    return json.dumps({"event": name, "data": data, "timestamp": time}).encode()


def outcome_of(body: bytes, **settings: Any) -> Outcome:
    """Normalize a body that was proven."""
    proven = Proven(request=request_of(body), verdict=Verdict.SIGNATURE)
    (outcome,) = callmissed({**SIGNED, **settings}).normalize(receipt_of(proven, "callmissed"))
    return outcome


def result_of(data: dict[str, Any], **settings: Any) -> Result:
    """Normalize the analysis of a session."""
    outcome = outcome_of(event("voice_analysis.completed", {"analysis_id": "a1", **data}), **settings)
    assert isinstance(outcome, Result)
    return outcome


def key_of(body: bytes) -> bytes:
    """Return the message key of a proven body."""
    return callmissed(SIGNED).message_key(Proven(request=request_of(body), verdict=Verdict.SIGNATURE))
