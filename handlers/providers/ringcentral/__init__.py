"""RingCentral: asynchronous responses of its AI API, and the notifications of subscriptions, ACE insights among them.

Read in: `door` (token, header, handshake), `identity` (which of the two, message key), `job` (an AI response: the
envelope and what it becomes), `speech` (text, segments, words), `findings` (insights, summaries), `notification` (a
subscription's envelope, telephony), `ace` (insights of a recording). `api` asks RingCentral.
"""

from typing import ClassVar

from handlers.providers.ringcentral import identity, job, notification, simulate
from handlers.providers.ringcentral.api import RingCentralApi
from handlers.providers.ringcentral.door import SubscriptionDoor
from handlers.providers.ringcentral.settings import RingCentralSettings
from receiver.contract.model import InboundRequest, Outcome, Receipt
from receiver.contract.proof import Check, Proven, Refused, digest
from receiver.contract.provider import Provider, Reply, SignedRequest
from receiver.contract.reading import read_object

__all__ = ["RingCentral", "RingCentralSettings"]


class RingCentral(Provider[RingCentralSettings]):
    """AI job results, and what subscriptions send: ACE insights as transcripts, everything else passed on."""

    name = "ringcentral"
    Settings = RingCentralSettings
    normalizer = "ringcentral/2"
    setup = (
        "Add it, URL-encoded, as `?webhook=…` to every asynchronous AI request, such as …/async/speech-to-text; "
        "for ACE and telephony give it as `deliveryMode.address` of a subscription."
    )
    api_settings = ("client_id", "client_secret", "jwt")
    ignored: ClassVar[dict[str, str]] = {
        "response.words[].*": "with utterances it repeats utterances[].wordTimings: what these lack is filled in from "
        "it, the rest is the same words; without utterances it becomes the segments",
    }

    def __init__(self, source: str, settings: RingCentralSettings) -> None:
        super().__init__(source, settings)
        self._door = SubscriptionDoor(settings)

    def api(self) -> RingCentralApi | None:
        """Return how RingCentral is asked, where the app's and the user's credentials are set."""
        settings = self.settings
        if settings.client_id is None or settings.client_secret is None or settings.jwt is None:
            return None
        return RingCentralApi(settings, (settings.client_id, settings.client_secret, settings.jwt))

    def proofs(self) -> tuple[str, ...]:
        """Return the URL's token and the subscription's, where they are set: RingCentral signs neither product."""
        return self._door.ways()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:  # noqa: ARG002 -- no time is signed
        """Compare the tokens; the body proves nothing (a jobId is a version-1 UUID, which can be guessed)."""
        return self._door.prove(request)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return how each configured token fares."""
        return self._door.steps(request)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:  # noqa: ARG002
        """Return which token is right by itself, and where else in the request a token of a subscription stands."""
        return self._door.explain(request)

    def handshake(self, request: InboundRequest) -> Reply | None:
        """Echo `Validation-Token`, which RingCentral posts without a body when a subscription is made."""
        return self._door.handshake(request)

    def message_key(self, proven: Proven) -> bytes:
        """Return what names the message: a job with its status, a record with its time and content, or a uuid."""
        return identity.message_key(proven.request.body)

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn a callback, or the body of the status endpoint, into a result, into progress, or into a notice."""
        document, unnamed = read_object(receipt.body), identity.DIGEST_PREFIX + digest(receipt.body).hex()
        read = notification.outcome if identity.is_notification(document) else job.outcome
        return (read(document, unnamed, self.settings),)

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return the body with other ids; it grows by saying its words, utterances, texts or transcript again, later."""
        return simulate.fresh(body, serial, grow_to)

    def sign(self, body: bytes, now: float) -> SignedRequest:  # noqa: ARG002 -- no time is signed
        """Return the callback as RingCentral posts it to a URL with the first token, and with the first header."""
        token, headers = self._door.headers(body)
        return SignedRequest(token=token, headers=headers, body=body)
