"""CallMissed: webhooks of its voice agents, calls, messages and billing, and what its read endpoints answer.

Sources: S1 docs/webhooks, S2 docs/voice-sessions-api, S3 docs/call-analytics, S5 docs/whatsapp-api, S6 docs/email-webhooks,
S9 docs/call-analysis, of the vendor's public repository of documentation; all at docs.callmissed.com. Read in: `events` (what
is posted), `answers` (what is fetched), `findings` (what was concluded). Every delivery is signed (S1).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from handlers.providers.callmissed import answers, events, simulate
from receiver.contract.door import Door
from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.model import InboundRequest, Outcome, Receipt
from receiver.contract.proof import Check, Proven, Refused, SignatureSettings
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret, SourceSettings, about

_SIGNATURE = SignatureSettings(header="X-CallMissed-Signature", prefix="sha256=")
"""HMAC-SHA256 of the body's bytes, in hex; the secret's text is the key, as it was given (S1, S2, S5)."""

_MASK = "****"


class CallMissedSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of a CallMissed source."""

    secrets: Annotated[
        tuple[Secret, ...],
        about(
            "secrets of the webhook subscriptions; several for several subscriptions, and for rotation without a gap"
        ),
    ] = ()

    def check(self) -> None:
        if any(_MASK in secret.value for secret in self.secrets):
            raise ConfigError(
                f"secrets: one of the values holds {_MASK}, so it is the masked form that CallMissed lists. The whole "
                "secret stands only in the answer that created the subscription: create another one, then delete this"
            )


class CallMissed(Provider[CallMissedSettings]):
    """Knows CallMissed's deliveries in both envelopes, voice sessions, their turns, and upload analyses."""

    name = "callmissed"
    Settings = CallMissedSettings
    normalizer = "callmissed/1"
    setup = (
        "Give it as `url` to POST /api/v1/webhooks with the events you want; the `secret` in the answer is shown once, "
        "and belongs into `secrets`."
    )
    ignored: ClassVar[Mapping[str, str]] = answers.IGNORED

    def __init__(self, source: str, settings: CallMissedSettings) -> None:
        super().__init__(source, settings)
        self._door = Door(settings, _SIGNATURE if settings.secrets else None, settings.secrets, "all")

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof that the settings allow, in words."""
        return self._door.ways()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Say who sent `request`: by signature, by token, or by both; no age counts, since replays are meant to be late."""
        return self._door.prove(request, now)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """Return which proof is right by itself, and what would have matched the signature."""
        return self._door.explain(request, now)

    def message_key(self, proven: Proven) -> bytes:
        """Return event, id and digest of what it says, without the time that a replay stamps anew."""
        return events.message_key(proven.request.body) or answers.message_key(proven)

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn a delivery into an analysis or a notice, or a fetched answer into what its shape says it is."""
        found = events.outcome(receipt.body, self.settings) or answers.outcome(receipt, self.settings)
        if found is None:
            raise Unreadable("it names no event, in event or type, and has the shape of no answer that is known")
        return (found,)

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return `body` as one about another session, message or call; it grows by repeating a message's text."""
        return simulate.fresh(body, serial, grow_to)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the delivery that CallMissed would post with `body`, proven by the first secret and the first token."""
        token, headers = self._door.sign(body, now)
        return SignedRequest(token=token, headers=(*simulate.headers(body), *headers), body=body)
