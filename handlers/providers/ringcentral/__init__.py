"""RingCentral: the asynchronous responses of its AI API, proven by the token in the URL.

Read in: `job` (the envelope and what it becomes), `speech` (text, segments, words), `findings` (insights, summaries).
"""

from typing import ClassVar

import msgspec

from handlers.providers.ringcentral import job, simulate
from receiver.contract.door import Door
from receiver.contract.model import InboundRequest, Outcome, Receipt
from receiver.contract.proof import Proven, Refused, digest
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import SourceSettings


class RingCentralSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of a RingCentral source: nothing signs an AI callback, so the token in its URL is the proof."""


class _Identity(msgspec.Struct, gc=False):
    """What identifies a message; the rest of a body is skipped, however large."""

    jobId: str | None = None  # noqa: N815 -- the provider's name
    status: str | None = None


_IDENTITY = msgspec.json.Decoder(_Identity)


class RingCentral(Provider[RingCentralSettings]):
    """AI job results; subscription webhooks (Verification-Token, handshake, ACE) are not read yet."""

    name = "ringcentral"
    Settings = RingCentralSettings
    normalizer = "ringcentral/1"
    setup = "Add it, URL-encoded, as `?webhook=…` to every asynchronous AI request, such as …/async/speech-to-text."
    ignored: ClassVar[dict[str, str]] = {
        "response.words[].*": "with utterances it repeats utterances[].wordTimings: what these lack is filled in from "
        "it, the rest is the same words; without utterances it becomes the segments",
    }

    def __init__(self, source: str, settings: RingCentralSettings) -> None:
        super().__init__(source, settings)
        self._door = Door(settings, None, (), "all")

    def proofs(self) -> tuple[str, ...]:
        """Return the URL's token where one is set: no signature, header or handshake is documented for AI callbacks."""
        return self._door.ways()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Compare the URL's token; the body proves nothing (a jobId is a version-1 UUID, which can be guessed)."""
        return self._door.prove(request, now)

    def message_key(self, proven: Proven) -> bytes:
        """Return jobId and status as a JSON list; bodies without a jobId (2022) go by their digest."""
        body = proven.request.body
        try:
            identity = _IDENTITY.decode(body)
        except (ValueError, RecursionError):
            identity = _Identity()
        if identity.jobId:
            return msgspec.json.encode((identity.jobId, identity.status))
        return job.DIGEST_PREFIX.encode() + digest(body).hex().encode()

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn a callback, or the body of the status endpoint, into one result, or into progress."""
        return (job.outcome(receipt.body, self.settings),)

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return the body with another jobId; it grows by saying its words, utterances or texts again, later."""
        return simulate.fresh(body, serial, grow_to)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the callback as RingCentral posts it to a URL with the first token."""
        token, _ = self._door.sign(body, now)
        return SignedRequest(token=token, headers=((b"content-type", b"application/json"),), body=body)
