"""The provider: which token, signature and key prove a callback or an event, and what tells two messages apart.

Sources, on developer.invoxmedical.com: /ai-services/transcribe-pre-recorded-audio/generate-presign-url (the callback),
/webhooks/introduction and /webhooks/events/* (the events).
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from handlers.providers.invox import aura, callback, events, simulated, transcription
from handlers.providers.invox.api import JOB_ID_HEADER, InvoxApi
from handlers.providers.invox.events import Message
from handlers.providers.invox.settings import InvoxSettings
from handlers.providers.invox.signature import JoinedValues, check
from receiver.contract import ecmascript
from receiver.contract.diagnosis import signed_otherwise
from receiver.contract.errors import Unreadable
from receiver.contract.model import Headers, InboundRequest, Outcome, Receipt, Verdict
from receiver.contract.proof import Check, Proven, Reason, Refused, Tokens, digest
from receiver.contract.provider import Provider, SignedRequest

_ADVISED = 1 << 20
"""A signature that decides nothing is not looked for in a larger body; an hour of talk is a fifth of it."""

Judged = tuple[Reason | None, Check]
"""Why a signature proves nothing, or None where it does, and what is to be noted of it."""


class Invox(Provider[InvoxSettings]):
    """Callbacks: proven by the token in their URL, by an inferred signature where that is required; events: signed."""

    name: ClassVar[str] = "invox"
    Settings: ClassVar[type[InvoxSettings]] = InvoxSettings
    normalizer: ClassVar[str] = "invox/2"
    setup: ClassVar[str] = (
        "Give it as `callbackUrl` whenever you ask /api/v1/generate-presigned-url for an upload, and enter it for the webhooks."
    )
    api_settings: ClassVar[tuple[str, ...]] = ("app_id", "api_key", "api_url", "token_url")
    ignored: ClassVar[Mapping[str, str]] = {
        "signature": "proof of the message, not content",
        "requestSignature": "proof of the message, not content",
    }

    def __init__(self, source: str, settings: InvoxSettings) -> None:
        super().__init__(source, settings)
        self._tokens = Tokens(settings.token)
        self._values = JoinedValues(callback.LAYOUT, settings, "api_key")
        self._events = {name: JoinedValues(event.layout, settings) for name, event in events.EVENTS.items()}
        self._required = settings.callback_signature == "required"
        self._advised = settings.callback_signature == "advisory" and bool(self._values)

    def api(self) -> InvoxApi | None:
        """Return how INVOX is asked, where credentials and addresses are set: no readable page names the addresses."""
        settings = self.settings
        if not (settings.app_id and settings.api_key and settings.api_url and settings.token_url):
            return None
        return InvoxApi(settings, settings.app_id, settings.api_key[0], (settings.api_url, settings.token_url))

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof; an advisory signature is none, because its scheme is inferred."""
        signature = "signature" if self._required else "signature of events" if self._signs_events else None
        return ((signature,) if signature else ()) + ("token",) * bool(self._tokens)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Ask for the token, then for the signature where it is required, or note whether it matches."""
        is_event = events.is_event(request.body)
        if self._tokens or request.token is not None or not (self._required or is_event):
            refused = self._tokens.refusal(request.token)
            if refused is not None:
                return refused
        if is_event:
            return _decided(request, self._judged_event(request.body, now))
        if self._required:
            return _decided(request, self._judged(request.body, self._values.glance(request.body)))
        checks = (self._note(request.body),) if self._advised else ()
        return Proven(request=request, verdict=Verdict.TOKEN, checks=checks)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return what is signed and how each pair of keys fares, and which token it is."""
        values, document = self._signed(request.body)
        return (*(values.steps(document) if values else ()), *self._tokens.steps(request.token))

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """Say how the signature stands, also where the token was refused first, and what would have matched."""
        is_event = events.is_event(request.body)
        noted = self._explained_event(request.body, now) if is_event else (self._judged(request.body, None)[1],)
        values, document = self._signed(request.body)
        if not values:
            return noted if is_event else ()
        if any(one.ok for one in noted):
            return noted
        keys = (*self.settings.webhook_secret_key, *self.settings.webhook_api_key, *self.settings.api_key)
        return (*noted, *values.otherwise(document), *signed_otherwise(request, keys))

    def _signed(self, body: bytes) -> tuple[JoinedValues | None, dict[str, Any]]:
        """Return how a message is signed, and its members; None for one that cannot be read, or without keys."""
        with contextlib.suppress(Unreadable, ecmascript.NotJson):
            if events.is_event(body):
                message = events.read(body)
                return self._events.get(message.name) or None, dict(message.members)
            document = ecmascript.parse(body)
            if callback.misshapen(document) is None:
                return self._values or None, document
        return None, {}

    def message_key(self, proven: Proven) -> bytes:
        """Return what a redelivery repeats: ids and a digest of what was signed of the result."""
        body = proven.request.body
        if not events.is_event(body):
            return callback.key(body, _asked_for(proven.verdict, proven.request.headers))
        with contextlib.suppress(Unreadable):
            message = events.read(body)
            if message.wrong() is None:
                return message.key()
        return b"unreadable:" + digest(body).hex().encode()

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Return the result, the audio's notice, or the progress that a message tells of."""
        if events.is_event(receipt.body):
            return (aura.outcome(events.read(receipt.body), self.settings.roles),)
        asked_for = _asked_for(receipt.verdict, receipt.headers)
        return (transcription.outcome(transcription.read(receipt.body), self.settings.roles, asked_for),)

    def agreed(self, came: bytes, reread: bytes) -> bytes:
        """Return the callback where polling says the same without the speakers, which polling never has."""
        return came if transcription.says_as_much(came, reread) else reread

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return the message for other ids, with the same said again until it is large enough."""
        made = simulated.fresh if events.is_event(body) else callback.fresh
        return made(body, serial, grow_to)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the message as INVOX would send it; signed where keys are configured and the body can be read."""
        token = self.settings.token[0].value if self.settings.token else None
        if events.is_event(body):
            headers, body = simulated.signed(body, self._events, now)
            return SignedRequest(token=token, headers=headers, body=body)
        if self._values:
            with contextlib.suppress(Unreadable):
                document = transcription.read(body)
                document["signature"] = self._values.sign(document)
                body = ecmascript.stringify(document).encode()
        return SignedRequest(token=token, headers=((b"content-type", b"application/json"),), body=body)

    @property
    def _signs_events(self) -> bool:
        return all(self._events.values())

    def _judged_event(self, body: bytes, now: float) -> Judged:
        try:
            message = events.read(body)
        except Unreadable as error:
            return Reason.BODY_UNEXPECTED, check(None, str(error))
        if (wrong := message.wrong() or message.ambiguous()) is not None:
            return Reason.BODY_UNEXPECTED, check(None, wrong)
        if not self._signs_events:
            detail = "an event is proven with webhook_api_key and webhook_secret_key, which are not set"
            return Reason.SIGNATURE_MISMATCH, check(None, detail)
        reason, noted = self._events[message.name].verify(message.members)
        late = self._late(message, now) if reason is None else None
        return (reason, noted) if late is None else (Reason.TIMESTAMP_STALE, late)

    def _explained_event(self, body: bytes, now: float) -> tuple[Check, ...]:
        """Say how the signature stands too where the event was not judged by it."""
        reason, noted = self._judged_event(body, now)
        if reason is Reason.BODY_UNEXPECTED and self._signs_events:
            with contextlib.suppress(Unreadable):
                message = events.read(body)
                return noted, self._events[message.name].verify(message.members)[1]
        return (noted,)

    def _late(self, message: Message, now: float) -> Check | None:
        """Say how far the time of delivery is from our clock where that is too far; audio comes without one."""
        allowed, stamp = self.settings.event_tolerance, message.members.get("timestamp")
        if allowed is None or stamp is None:
            return None
        skew = _seconds(stamp) - now
        detail = f"sent {abs(skew):.0f} s {'after' if skew > 0 else 'before'} our clock, {allowed:.0f} s allowed"
        return None if abs(skew) <= allowed else check(False, detail, skew=skew)

    def _note(self, body: bytes) -> Check:
        if len(body) > _ADVISED:
            return check(None, f"not looked for in a body of more than {_ADVISED} bytes")
        return self._values.glance(body) or self._judged(body, None)[1]

    def _judged(self, body: bytes, match: Check | None) -> Judged:
        try:
            document = ecmascript.parse(body)
        except ecmascript.NotJson as error:
            return Reason.BODY_UNEXPECTED, check(None, str(error))
        if (wrong := callback.misshapen(document)) is not None:
            return Reason.BODY_UNEXPECTED, check(None, wrong)
        return (None, match) if match else self._values.verify(document)


def _asked_for(verdict: Verdict, headers: Headers) -> str | None:
    """Return the request id that was asked about; a header that somebody else sent tells nothing."""
    if verdict not in {Verdict.FETCHED, Verdict.CONFIRMED}:
        return None
    return next((value.decode() for name, value in headers if name == JOB_ID_HEADER), None)


def _decided(request: InboundRequest, judged: Judged) -> Proven | Refused:
    reason, noted = judged
    if reason is not None:
        return Refused(reason=reason, checks=(noted,))
    return Proven(request=request, verdict=Verdict.SIGNATURE, checks=(noted,))


def _seconds(stamp: str) -> float:
    """Read the time of delivery, in UTC where it does not say; one that no calendar has is infinitely long ago."""
    try:
        moment = datetime.fromisoformat(stamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -float("inf")
