"""The provider: which token, signature and key prove a callback, and what tells two messages apart.

Sources, on developer.invoxmedical.com: /ai-services/transcribe-pre-recorded-audio/generate-presign-url (the callback).
"""

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from handlers.providers.invox import transcription
from handlers.providers.invox.settings import InvoxSettings
from handlers.providers.invox.signature import JoinedValues, Layout, check
from receiver.contract import ecmascript
from receiver.contract.errors import Unreadable
from receiver.contract.model import InboundRequest, Outcome, Receipt, Verdict
from receiver.contract.proof import Check, Proven, Reason, Refused, Tokens, digest
from receiver.contract.provider import Provider, SignedRequest

CALLBACK = Layout(signature="signature", order=("requestId", "transcription", "createdAt"))
"""Inferred: the webhooks' rule, on the members in the order of the documented example."""

_ADVISED = 1 << 20
"""A signature that decides nothing is not looked for in a larger body; an hour of talk is a fifth of it."""


class Invox(Provider[InvoxSettings]):
    """Transcription callbacks: proven by the token in their URL, by an inferred signature where that is required."""

    name: ClassVar[str] = "invox"
    Settings: ClassVar[type[InvoxSettings]] = InvoxSettings
    normalizer: ClassVar[str] = "invox/1"
    setup: ClassVar[str] = "Give it as `callbackUrl` whenever you ask /api/v1/generate-presigned-url for an upload."
    ignored: ClassVar[Mapping[str, str]] = {"signature": "proof of the message, not content"}

    def __init__(self, source: str, settings: InvoxSettings) -> None:
        super().__init__(source, settings)
        self._tokens = Tokens(settings.token)
        self._values = JoinedValues(CALLBACK, settings)
        self._required = settings.callback_signature == "required"
        self._advised = settings.callback_signature == "advisory" and bool(self._values)

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof; an advisory signature is none, because its scheme is inferred."""
        return ("signature",) * self._required + ("token",) * bool(self._tokens)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:  # noqa: ARG002 -- no time is signed
        """Ask for the token, then for the signature where it is required, or note whether it matches."""
        if self._tokens or request.token is not None or not self._required:
            refused = self._tokens.refusal(request.token)
            if refused is not None:
                return refused
        if self._required:
            return self._signed(request)
        checks = (self._note(request.body),) if self._advised else ()
        return Proven(request=request, verdict=Verdict.TOKEN, checks=checks)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:  # noqa: ARG002
        """Say how the signature stands, also where the token was refused first."""
        return (self._verify(request.body, None)[1],) if self._values else ()

    def message_key(self, proven: Proven) -> bytes:
        """Return the request id with a digest of it, the status and the transcription as they stand in the body."""
        body = proven.request.body
        try:
            message = _MESSAGE.decode(body)
        except (ValueError, RecursionError):
            return b"unreadable:" + digest(body).hex().encode()
        content = hashlib.sha256(b"%b\0%b\0" % (message.request_id.encode(), (message.status or "").encode()))
        content.update(message.transcription)
        return f"{message.request_id[:100]}:{content.hexdigest()}".encode()

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Return the transcript, or the progress that a polled answer tells of."""
        return (transcription.outcome(transcription.read(receipt.body), self.settings.roles),)

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return the callback for another request id, its segments said again until it is large enough."""
        document = transcription.read(body)
        transcription.outcome(document, {})
        document["requestId"] = f"fresh-{serial}"
        if document.get("transcription"):
            _grow(document, grow_to)
        return ecmascript.stringify(document).encode()

    def sign(self, body: bytes, now: float) -> SignedRequest:  # noqa: ARG002 -- no time is signed
        """Return the callback as INVOX would send it; signed where keys are configured and the body can be read."""
        if self._values:
            with contextlib.suppress(Unreadable):
                document = transcription.read(body)
                document["signature"] = self._values.sign(document)
                body = ecmascript.stringify(document).encode()
        token = self.settings.token[0].value if self.settings.token else None
        return SignedRequest(token=token, headers=((b"content-type", b"application/json"),), body=body)

    def _signed(self, request: InboundRequest) -> Proven | Refused:
        reason, noted = self._verify(request.body, self._values.glance(request.body))
        if reason is not None:
            return Refused(reason=reason, checks=(noted,))
        return Proven(request=request, verdict=Verdict.SIGNATURE, checks=(noted,))

    def _note(self, body: bytes) -> Check:
        if len(body) > _ADVISED:
            return check(None, f"not looked for in a body of more than {_ADVISED} bytes")
        return self._values.glance(body) or self._verify(body, None)[1]

    def _verify(self, body: bytes, match: Check | None) -> tuple[Reason | None, Check]:
        try:
            document = ecmascript.parse(body)
        except ecmascript.NotJson as error:
            return Reason.BODY_UNEXPECTED, check(None, str(error))
        if (wrong := _misshapen(document)) is not None:
            return Reason.BODY_UNEXPECTED, check(None, wrong)
        return (None, match) if match else self._values.verify(document)


class _Message(msgspec.Struct, rename="camel"):
    """What tells messages apart; a callback has no status, two polled answers may differ in nothing else."""

    request_id: str
    transcription: msgspec.Raw = msgspec.Raw(b"")
    processing_status: str | None = None
    transcription_status: str | None = None

    @property
    def status(self) -> str | None:
        return self.processing_status or self.transcription_status


_MESSAGE = msgspec.json.Decoder(_Message)


def _misshapen(document: Any) -> str | None:
    """Say why values so placed could be signed and yet mean something else: they are joined without escaping."""
    if not isinstance(document, dict):
        return "the body is not an object"
    request_id = document.get("requestId")
    if not isinstance(request_id, str) or not request_id or "|" in request_id:
        return 'member requestId is not a text without "|"'
    if not isinstance(document.get("transcription"), list | None):
        return "member transcription is not a list"
    if isinstance(document.get("createdAt"), bool | list | dict):
        return "member createdAt is neither a number nor a text"
    return None


def _grow(document: dict[str, Any], size: int) -> None:
    """Say the segments again, one recording after the other, until the body has `size` bytes."""
    segments = list(document["transcription"])
    length = max(segment.get("end") or 0 for segment in segments)
    missing = size - len(ecmascript.stringify(document).encode())
    while missing > 0:
        turn, index = divmod(len(document["transcription"]), len(segments))
        later = _later(segments[index], turn * length)
        document["transcription"].append(later)
        missing -= len(ecmascript.stringify(later).encode()) + 1


def _later(segment: dict[str, Any], seconds: float) -> dict[str, Any]:
    times = {name: round(segment[name] + seconds, 3) for name in ("start", "end") if segment.get(name) is not None}
    return {**segment, **times}
