"""Rythmex: call analytics that are uploaded, polled and listed; no page of the vendor names a callback.

Source: rythmex.com/documentation (call-analytics, introduction). The format of the results is inferred to be that of
Amazon Transcribe Call Analytics (tca-output-batch). Read in: `shapes` (where in an answer the result is), `results` (what
it becomes), `turns`, `characteristics`. `api` asks Rythmex.
"""

from collections.abc import Mapping
from typing import ClassVar

from handlers.providers.rythmex import results, simulate
from handlers.providers.rythmex.api import RythmexApi
from handlers.providers.rythmex.settings import RythmexSettings
from receiver.contract.door import Door
from receiver.contract.model import InboundRequest, Outcome, Receipt
from receiver.contract.proof import Check, Proven, Refused
from receiver.contract.provider import Provider, SignedRequest

__all__ = ["Rythmex", "RythmexSettings"]


class Rythmex(Provider[RythmexSettings]):
    """Reads what Rythmex answers; should it call one day, a token in the URL proves it."""

    name = "rythmex"
    Settings = RythmexSettings
    normalizer = "rythmex/1"
    setup = (
        "Nothing: Rythmex documents no callbacks. Submit with `hookscribe submit`, and the result is asked for; "
        "`hookscribe sweep` takes what was submitted elsewhere."
    )
    api_settings = ("api_token",)
    ignored: ClassVar[Mapping[str, str]] = results.IGNORED

    def __init__(self, source: str, settings: RythmexSettings) -> None:
        super().__init__(source, settings)
        self._door = Door(settings, None, (), "all")

    def api(self) -> RythmexApi | None:
        """Return how Rythmex is asked, where there is a way to be let in."""
        return RythmexApi(self.settings) if self.settings.has_access() else None

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof: what is asked for is proven by having been asked for."""
        return (*self._door.ways(), *("answers to what we ask",) * self.settings.has_access())

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Compare the token in the URL; without one nobody who calls is believed."""
        return self._door.prove(request, now)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return how each configured token fares."""
        return self._door.steps(request)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """Return which token is right."""
        return self._door.explain(request, now)

    def message_key(self, proven: Proven) -> bytes:
        """Return the analysis that was asked about and its status, or a digest of what does not say them."""
        return results.message_key(proven, self.settings)

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn an answer into a result, or into progress where its status is none of an end."""
        return (results.outcome(receipt, self.settings),)

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return `body` as another analysis; it grows by repeating its turns."""
        return simulate.fresh(body, serial, grow_to, self.settings)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return a request with the first token, such as Rythmex might send."""
        token, headers = self._door.sign(body, now)
        return SignedRequest(token=token, headers=((b"content-type", b"application/json"), *headers), body=body)
