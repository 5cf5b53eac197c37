"""A provider as a third party would bring it: it names calls, and can be told to die while it normalizes."""

import os
import signal
from hashlib import sha256
from typing import ClassVar

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.model import Call, InboundRequest, Outcome, Receipt, Result, Verdict
from receiver.contract.proof import Proven, Refused, Tokens
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import SourceSettings


class CallsSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of a source of calls: a token."""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A callback: result `job` of call `call`; a poisonous one kills the process that normalizes it."""

    job: str
    call: str
    text: str = ""
    poison: bool = False


class Calls(Provider[CallsSettings]):
    """Several results of one call, each a callback of its own."""

    name = "calls"
    Settings = CallsSettings
    normalizer = "calls/1"
    ignored: ClassVar[dict[str, str]] = {"poison": "acted on"}

    def __init__(self, source: str, settings: CallsSettings) -> None:
        super().__init__(source, settings)
        self._tokens = Tokens(settings.token)

    def proofs(self) -> tuple[str, ...]:
        """Return the URL's token."""
        return ("token in the URL",) if self._tokens else ()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Compare the token."""
        return self._tokens.refusal(request.token) or Proven(request=request, verdict=Verdict.TOKEN)

    def message_key(self, proven: Proven) -> bytes:
        """Return the digest of the body."""
        return sha256(proven.request.body).digest()

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Return one result, or die."""
        try:
            body = msgspec.json.decode(receipt.body, type=Body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable("not a body of calls") from error
        if body.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        call = Call(external_id=body.call)
        return (Result(kind="transcript", operation="part", job_id=body.job, call=call, text=body.text),)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the request with the first token."""
        return SignedRequest(token=self.settings.token[0].value, headers=(), body=body)
