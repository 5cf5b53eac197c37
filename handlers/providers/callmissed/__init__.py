"""CallMissed: webhooks of its voice agents, calls, messages and billing, and what its read endpoints answer.

Sources: S1 docs/webhooks, S2 docs/voice-sessions-api, S3 docs/call-analytics, S5 docs/whatsapp-api, S6 docs/email-webhooks,
S9 docs/call-analysis, of the vendor's public repository of documentation; all at docs.callmissed.com. Read in: `events` (what
is posted), `answers` (what is fetched), `findings` (what was concluded). Every delivery is signed (S1).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import msgspec

from handlers.providers.callmissed import answers, events, simulate
from handlers.providers.callmissed.api import CallMissedApi
from receiver.contract.door import Door
from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.model import InboundRequest, Outcome, Receipt
from receiver.contract.proof import Check, Proven, Reason, Refused, SignatureSettings
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret, SourceSettings, about

_SIGNATURE = SignatureSettings(header="X-CallMissed-Signature", prefix="sha256=")
"""HMAC-SHA256 of the body's bytes, in hex; the secret's text is the key, as it was given (S1, S2, S5)."""

_MASK = "****"
_WAITING = Check(
    scheme="hmac-sha256",
    ok=False,
    detail="no secret is known yet: `hookscribe subscriptions create` makes a subscription and keeps its secret",
)


class CallMissedSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of a CallMissed source."""

    secrets: Annotated[
        tuple[Secret, ...],
        about(
            "secrets of the webhook subscriptions; several for several subscriptions, and for rotation without a gap"
        ),
    ] = ()

    api_key: Annotated[
        Secret | None, about("a key with the scope webhooks:write: with it CallMissed can be asked and subscribed to")
    ] = None
    api_url: Annotated[str, about("CallMissed's API server")] = "https://api.callmissed.com"
    subscribe: Annotated[
        tuple[str, ...],
        about("events that `hookscribe subscriptions create` subscribes to; default: voice_analysis.completed"),
    ] = ()

    def seals(self) -> bool:
        """Say whether a subscription's secret, which is shown once, may be kept in the store."""
        return self.api_key is not None

    def has_secret(self) -> bool:
        """Say whether secrets are set."""
        return bool(self.secrets)

    def with_secrets(self, secrets: tuple[Secret, ...]) -> Self:
        """Return the same settings with more secrets."""
        return msgspec.structs.replace(self, secrets=(*self.secrets, *secrets))

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
    api_settings = ("api_key",)
    ignored: ClassVar[Mapping[str, str]] = answers.IGNORED

    def __init__(self, source: str, settings: CallMissedSettings) -> None:
        super().__init__(source, settings)
        self._door = Door(settings, _SIGNATURE if settings.secrets else None, settings.secrets, "all")
        self._waits = settings.seals() and not settings.secrets and settings.verify != "none"

    def api(self) -> CallMissedApi | None:
        """Return how CallMissed is asked, where a key is set."""
        settings = self.settings
        return CallMissedApi(settings.api_url, settings.api_key, settings.subscribe) if settings.api_key else None

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof that the settings allow, in words; one that waits proves nothing before it is there."""
        return self._door.ways() + ("the secret of a subscription to be made",) * self._waits

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Say who sent `request`: by signature, by token, or by both; no age counts, since replays are meant to be late."""
        if self._waits:
            return Refused(reason=Reason.SIGNATURE_MISMATCH, checks=(_WAITING,))
        return self._door.prove(request, now)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return what was compared, and how each secret fares."""
        return self._door.steps(request)

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
